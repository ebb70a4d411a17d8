"""All windows of a series that end with a block, and those of them that may be far enough from normal.

Scale i gives those that began 4 to 7 times 2**i blocks ago, scale 0 those of 2 and 3 blocks, too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, LEVELS, Bools, Columns, Floats, Places
from stream.detectors.quiet.settled import Settled
from stream.detectors.quiet.windows import Sums

KEPT: Final = 8
"""Boundaries that a scale keeps: those that windows begin at, and no more."""

_SLOTS: Final = KEPT - 1
"""A number & this is the number modulo KEPT, which is a power of two, at a fifth of the cost."""

SCALES: Final = np.array([0, 0, *np.repeat(np.arange(LEVELS), 4)], np.intp)
BACK: Final = np.array([2, 3, *np.tile(np.arange(4, 8), LEVELS)], np.intp)
"""The scale of each window, and how many boundaries of it ago the window began."""

HAIR: Final = 1e-9
"""What a bound on the screen is wider by than what it is for, so that no rounding decides."""


class Windows(NamedTuple):
    """Windows of a stretch, flat, that end with *block* of the series at *row*; SCALES has their *column*.

    They began *since* that block, hold *n* readings that add up to *inside*, and are compared with *past*.
    """

    row: Places
    block: Places
    column: Places
    since: Places
    n: Floats
    inside: Floats
    past_n: Floats
    past: Floats

    def at(self, which: Places | Bools) -> Windows:
        """Give some of them."""
        row, block, column, since, n, inside, past_n, past = self
        return Windows(
            row[which],
            block[which],
            column[which],
            since[which],
            n[which],
            inside[which],
            past_n[which],
            past[which],
        )


def far_enough(columns: Columns, sums: Sums, normal: Settled, least: Floats, tested: Bools) -> Windows:
    """Give the windows of the blocks that are *tested* which may be as far from normal as counts, *least*.

    Most are not, and cost no more than to see that. Those that the baseline has a part of are all given.
    *least* has shape (series,).
    """
    places = sums.place
    row, block = np.nonzero(tested)
    count = sums.number[row, block][:, None]
    back = (count >> SCALES) - BACK
    since = back << SCALES
    size = count - since
    before = _before(columns, sums, row, back, since)
    inside = sums.total[row, block + 1] - before
    base = normal.total[:, 0] / np.maximum(normal.n, 1.0)
    may = inside >= size * (BLOCK * (base + least) - HAIR)[row, None]
    if np.count_nonzero(both := columns.both[places] > 0):
        low = np.where(both, BLOCK * (base - least) + HAIR, -np.inf)
        may |= inside <= size * low[row, None]
    may |= since < normal.joined[row, None]
    may &= since >= columns.healed[places][row, None]
    which, column = np.nonzero(may)
    row, block, since, before = row[which], block[which], since[may], before[may]
    past = normal.without(row, since, before[:, None])
    n = BLOCK * size[may].astype(np.float64)
    return Windows(row, block, column, since, n, inside[may], past.n, past.total[:, 0])


def _before(columns: Columns, sums: Sums, row: Places, back: Places, since: Places) -> Floats:
    """Give the totals when windows began, *since* that block, *back* at its scale, shape (blocks, 34)."""
    kept = columns.bounds[sums.place].reshape(len(sums.place), LEVELS * KEPT)
    every = np.concatenate((kept, sums.total[:, :, 0]), 1)
    inside = since - sums.before[row, None]
    at = np.where(inside >= 0, inside + LEVELS * KEPT, (back & _SLOTS) + KEPT * SCALES)
    at += every.shape[1] * row[:, None]
    return every.ravel().take(at)
