"""Cut readings of many series into blocks of 32 of one series, wherever batches begin and end.

What does not fill a block waits, reading by reading, in the record of its series: a block is always made
of the same 32 readings, and so whatever is concluded of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, Bools, Columns, Floats, Places


class Blocks(NamedTuple):
    """Full blocks, those of a series together and in log order.

    *place* has shape (n,); *values* and *times* (n, 32); *last* is where the last reading of each came from.
    """

    place: Places
    values: Floats
    times: Floats
    last: Places

    def at(self, which: Bools) -> Blocks:
        """Give some of them."""
        return Blocks(self.place[which], self.values[which], self.times[which], self.last[which])


def cut(columns: Columns, places: Places, values: Floats, times: Floats, index: Places) -> Blocks:
    """Fill blocks with the readings given, shape (n,) each, in log order; *index* names each of them."""
    order = _by_series(places)
    ordered = places[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    series = ordered[starts]
    fresh = np.diff(np.append(starts, len(ordered)))
    filled = columns.filled[series].astype(np.intp)
    sizes = filled + fresh
    offset = np.cumsum(sizes) - sizes
    target = np.arange(len(ordered)) + np.repeat(np.cumsum(filled), fresh)
    all_values, all_times = np.empty(sizes.sum()), np.empty(sizes.sum())
    origin = np.zeros(sizes.sum(), np.intp)
    all_values[target], all_times[target], origin[target] = values[order], times[order], index[order]
    slots = np.arange(BLOCK)
    waiting = slots < filled[:, None]
    where = (offset[:, None] + slots)[waiting]
    all_values[where] = columns.waiting[series][waiting]
    all_times[where] = columns.waiting_times[series][waiting]
    full = sizes // BLOCK
    rest = sizes - BLOCK * full
    stays = slots < rest[:, None]
    where = np.minimum((offset + BLOCK * full)[:, None] + slots, len(all_values) - 1)
    columns.waiting[series] = np.where(stays, all_values[where], 0.0)
    columns.waiting_times[series] = np.where(stays, all_times[where], 0.0)
    columns.filled[series] = rest
    turn = np.arange(full.sum()) - np.repeat(np.cumsum(full) - full, full)
    begin = np.repeat(offset, full) + BLOCK * turn
    where = begin[:, None] + slots
    return Blocks(
        place=np.repeat(series, full),
        values=all_values[where],
        times=all_times[where],
        last=origin[begin + BLOCK - 1],
    )


def _by_series(places: Places) -> Places:
    """Give the order that puts the readings of a series together; few series sort as small numbers, fast."""
    small = places.astype(np.uint16) if places.max() < 1 << 16 else places
    return np.argsort(small, kind="stable")
