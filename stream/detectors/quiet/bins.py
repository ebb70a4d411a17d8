"""Cells for numbers and categories, learned from the first 512 readings of a series.

A number falls between deciles of what was seen; an edge that would leave a cell under 5 % is dropped. A
category that makes up 5 % has a cell of its own, at most nine of them have; the rest share one, unless
they are under 3 %: then they are counted with the smallest cell that has a name.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, Columns, Floats, Places

CELLS: Final = 10
"""Cells of a series at most. Choice: deciles, as population stability indices are usually counted."""

LEARNED_BLOCKS: Final = 16
"""Blocks after which the cells are fixed; they are not counted into them. Choice: with 512 readings a decile
lies within 2.6 percentage points (two standard errors) of where it should."""

SMALLEST: Final = 0.05
REMAINDER: Final = 0.03
"""The smallest cells. Choice: with 5 % a window of 200 readings expects the 10 that a test needs; a remainder
is one cell at most, and may be rarer."""


class Cells(NamedTuple):
    """*edges*, shape (9,): upper bounds of cells, padded with inf, or names, padded with nan.

    *cells* is their number; *other* the cell of what has no name, -1 for numbers.
    """

    edges: Floats
    cells: int
    other: int


def of_numbers(values: Floats) -> Cells:
    """Cut the numbers that *values*, shape (n,), come from."""
    ordered = np.sort(values)
    size = len(ordered)
    edges: list[float] = []
    last = 0
    for edge in np.unique(ordered[size * np.arange(1, CELLS) // CELLS]).tolist():
        below = int(np.searchsorted(ordered, edge))
        if below - last >= SMALLEST * size and size - below >= SMALLEST * size:
            edges.append(edge)
            last = below
    return Cells(_padded(edges, np.inf), max(len(edges) + 1, 2), -1)


def of_categories(values: Floats) -> Cells:
    """Find the cells of the categories that *values*, shape (n,), stand for."""
    counted = sorted(Counter(values.tolist()).items(), key=lambda item: (-item[1], item[0]))
    named = [name for name, count in counted if count >= SMALLEST * len(values)][: CELLS - 1]
    named = named or [counted[0][0]]
    rest = len(values) - sum(count for name, count in counted if name in set(named))
    has_rest = rest >= REMAINDER * len(values)
    cells = len(named) + has_rest
    return Cells(_padded(named, np.nan), max(cells, 2), len(named) if has_rest else len(named) - 1)


def fix(columns: Columns, place: int, cells: Cells) -> None:
    """Give the series at *place* its cells."""
    columns.edges[place] = cells.edges
    columns.cells[place] = cells.cells
    columns.other[place] = cells.other


def cells_of(columns: Columns, places: Places, values: Floats) -> Places:
    """Give the cells into which blocks of readings fall, shape (n, 32), by the edges of their series."""
    edges = columns.edges[places]
    other = columns.other[places]
    above = np.zeros(values.shape, np.int8)
    for edge in range(CELLS - 1):
        above += values >= edges[:, edge, None]
    cell = above.astype(np.intp)
    if len(named := (other >= 0).nonzero()[0]):
        same = values[named, :, None] == edges[named, None, :]
        cell[named] = np.where(same.any(2), same.argmax(2), other[named, None])
    return cell


def count(cell: Places) -> Floats:
    """Count blocks of cells, shape (n, 32); shape (n, 10)."""
    flat = np.bincount((cell + np.arange(len(cell))[:, None] * CELLS).ravel(), minlength=len(cell) * CELLS)
    return flat.reshape(len(cell), CELLS).astype(np.float64)


def middles(columns: Columns, place: int, values: Floats) -> Floats:
    """Give the mean of those *values*, shape (n,), that fall into each cell of the series at *place*."""
    cell = (values[:, None] >= columns.edges[place]).sum(1)
    counted = np.bincount(cell, minlength=CELLS)
    scale = max(float(np.abs(values).max()), 1.0)  # sums stay finite
    total = np.bincount(cell, values / scale, CELLS)
    result: Floats = total / np.maximum(counted, 1) * scale
    return result


def mean(columns: Columns, place: int, counted: Floats, n: float) -> float:
    """Give about the mean of *n* numbers of which so many were *counted* in each cell.

    A number counts as the mean of what was learned in its cell: one that lies far outside of what was
    learned counts as the mean of the outermost.
    """
    return float((counted / n * columns.middles[place]).sum())


class Learning:
    """Holds the first readings of every series whose cells are not fixed yet."""

    def __init__(self) -> None:
        self.held: dict[int, Floats] = {}

    def take(self, place: int, values: Floats) -> Floats | None:
        """Take blocks, shape (n, 32); give all readings, shape (512,), once there are enough of them."""
        held = np.concatenate((self.held.get(place, np.empty(0)), values.ravel()))
        if len(held) < LEARNED_BLOCKS * BLOCK:
            self.held[place] = held
            return None
        self.held.pop(place, None)
        return held


def _padded(values: list[float], filler: float) -> Floats:
    return np.array([*values, *([filler] * (CELLS - 1 - len(values)))])
