"""Windows of many scales that end now, as differences of a running total.

At scale i the running total is kept at the last few multiples of 2**i blocks. A run of 2**j blocks that
ends now (a node of the binary counter) and a window that began at a kept boundary are both one
subtraction.

A stretch is some blocks in a row of each of some series, all looked at together: arrays of shape (series,
blocks). What is worked out for a block depends on none that come later, so that a stretch may be taken up
to any of its blocks, and no result depends on how long stretches are.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, LEVELS, RUNGS, Bools, Columns, Floats, Places

_RUN: Final = 1 << np.arange(RUNGS)

_ENDED: Final = np.zeros(_RUN[-1] + 1, np.intp)
"""How many runs end with a block, by the largest power of two that its number is a multiple of."""
_ENDED[_RUN] = np.arange(1, RUNGS + 1)


class Sums(NamedTuple):
    """Running totals of a stretch.

    *place* and *before*, the blocks that each series had, have shape (series,); *number* (series, blocks)
    counts them; *total* (series, blocks + 1, width) begins with what it was before.
    """

    place: Places
    before: Places
    number: Places
    total: Floats

    def at(self, columns: Columns, row: Places, boundary: Places, scale: Places) -> Floats:
        """Give the totals of the series at *row* after *boundary* blocks, kept at *scale* or of the stretch.

        All have shape (n,), the result (n, width).
        """
        inside = boundary - self.before[row]
        result: Floats = self.total[row, np.maximum(inside, 0)]
        kept = (inside < 0).nonzero()[0]
        row, boundary, scale = row[kept], boundary[kept], scale[kept]
        result[kept] = columns.bounds[self.place[row], scale, (boundary >> scale) % columns.bounds.shape[2]]
        return result


class Nodes(NamedTuple):
    """Runs of 2**scale blocks that end with a block, flat, by series and block.

    *row* and *block* are places in the stretch; *total* is the run's sum, shape (nodes, width).
    """

    row: Places
    block: Places
    scale: Places
    size: Floats
    total: Floats

    def at(self, which: Places | Bools) -> Nodes:
        """Give some of them."""
        return Nodes(
            self.row[which], self.block[which], self.scale[which], self.size[which], self.total[which]
        )


def running(columns: Columns, places: Places, totals: Floats, first: Floats) -> Sums:
    """Add up the blocks of a stretch, sums of shape (series, blocks, width), that begins at *first*."""
    before = columns.blocks[places]
    new = before == 0
    if np.count_nonzero(new):
        columns.bound_times[places[new], :, 0] = first[new, None]
    number = before[:, None] + np.arange(1, totals.shape[1] + 1)
    return Sums(places, before, number, running_sum(columns.total[places], totals))


def running_sum(before: Floats, added: Floats) -> Floats:
    """Give *before* and the sums after each of *added* (axis 1), added one after the other."""
    result: Floats = np.add.accumulate(np.concatenate((before[:, None], added), 1), axis=1)
    return result


def add(to: Floats, at: Places, amounts: Floats) -> Floats:
    """Give the array *to* with *amounts* added *at* places of its first axes as if flat, one after the other.

    *amounts* has shape (n[, width]), and *to*, which is used up, ends with the same width.
    """
    if amounts.ndim > 1 and amounts.shape[1] > 1:
        at = (at[:, None] * amounts.shape[1] + np.arange(amounts.shape[1])).ravel()
    result = to.ravel()
    np.add.at(result, at, amounts.ravel())
    return result.reshape(to.shape)


def nodes(columns: Columns, sums: Sums) -> Nodes:
    """Give the nodes that end in a stretch."""
    number = sums.number.ravel()
    count = _ENDED[np.minimum(number & -number, _RUN[-1])]
    at = np.arange(len(number)).repeat(count)
    scale = np.arange(len(at)) - (np.add.accumulate(count) - count)[at]
    row, block = np.divmod(at, sums.number.shape[1])
    begun = number[at] - _RUN[scale]
    total = sums.total[row, block + 1] - sums.at(columns, row, begun, np.minimum(scale, LEVELS - 1))
    return Nodes(row, block, scale, BLOCK * _RUN[scale].astype(np.float64), total)


def keep(columns: Columns, sums: Sums, ended: Nodes, latest: Floats, stop: Places) -> None:
    """Keep the running totals up to block *stop* of each series, shape (series,)."""
    here = (ended.scale < LEVELS) & (ended.block <= stop[ended.row])
    row, block, scale = ended.row[here], ended.block[here], ended.scale[here]
    places = sums.place[row]
    slot = (sums.number[row, block] >> scale) % columns.bounds.shape[2]
    # Where a slot is written twice, the later block comes last, and stays.
    columns.bounds[places, scale, slot] = sums.total[row, block + 1]
    columns.bound_times[places, scale, slot] = latest[row, block]
    everyone = np.arange(len(stop))
    columns.blocks[sums.place] = sums.number[everyone, stop]
    columns.total[sums.place] = sums.total[everyone, stop + 1]
