"""Cut readings of many series into blocks of 32 of one series, wherever batches begin and end.

What does not fill a block waits, reading by reading, in the record of its series: a block is always made
of the same 32 readings, and so whatever is concluded of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, Bools, Columns, Floats, Places
from stream.detectors.runs import Runs


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


class Readings(NamedTuple):
    """Values and times of readings of many series, shape (n,) each, as they came.

    *order* puts those of a series together, in the log's order; None where they stand so already.
    """

    values: Floats
    times: Floats
    order: Places | None

    def at(self, where: Places) -> tuple[Floats, Floats, Places]:
        """Give values and times at places of the order, and where they came from; the nearest there is."""
        if self.order is not None:
            where = self.order.take(where, mode="clip")
        return self.values.take(where, mode="clip"), self.times.take(where, mode="clip"), where


def grouped(slots: Places) -> tuple[Runs, Places | None]:
    """Find the readings of each of *slots*, shape (n,), none below 0: runs by slot, and the order they take.

    The order is None where they stand in runs already. Few slots sort as small numbers, fast.
    """
    highest, order = int(slots.max()), None
    begin = starts(slots)
    # More runs than slots there may be are not told apart one by one.
    if len(begin) > highest + 1 or len(set(slots[begin].tolist())) < len(begin):
        order = np.argsort(slots.astype(np.uint16) if highest < 1 << 16 else slots, kind="stable")
        slots = slots.take(order)
        begin = starts(slots)
    runs = Runs(slots[begin], begin, np.concatenate((begin[1:], [len(slots)])) - begin)
    if order is None and len(begin) > 1:
        by_slot = np.argsort(runs.slots)
        runs = Runs(runs.slots[by_slot], begin[by_slot], runs.lengths[by_slot])
    return runs, order


def starts(slots: Places) -> Places:
    """Give where runs of the same of *slots*, shape (n,), begin."""
    begins = np.ones(len(slots), np.bool_)
    np.not_equal(slots[1:], slots[:-1], out=begins[1:])
    return begins.nonzero()[0]


def cut(columns: Columns, runs: Runs, given: Readings, limits: tuple[float, float]) -> Blocks:
    """Fill blocks with the readings of *runs* of series, which stand in the order of *given*.

    What lies outside of the *limits* counts as one of them.
    """
    series, slots = runs.slots, np.arange(BLOCK)
    filled = columns.filled[series].astype(np.intp)
    sizes = filled + runs.lengths
    full = sizes // BLOCK
    turn, number = np.add.accumulate(full) - full, int(full.sum())
    # Blocks and then what is left of each series. The first of these begins with what waits, as if that stood
    # before the run.
    begin = runs.starts - filled
    begins = np.concatenate(
        ((begin - BLOCK * turn).repeat(full) + BLOCK * np.arange(number), begin + BLOCK * full)
    )
    values, times, origin = given.at(begins[:, None] + slots)
    np.clip(values, *limits, out=values)
    first, waits = np.where(full > 0, turn, number + np.arange(len(series))), slots < filled[:, None]
    values[first] = np.where(waits, columns.waiting[series], values[first])
    times[first] = np.where(waits, columns.waiting_times[series], times[first])
    stays = slots < (sizes - BLOCK * full)[:, None]
    columns.waiting[series] = np.where(stays, values[number:], 0.0)
    columns.waiting_times[series] = np.where(stays, times[number:], 0.0)
    columns.filled[series] = sizes - BLOCK * full
    return Blocks(series.repeat(full), values[:number], times[:number], origin[:number, -1])
