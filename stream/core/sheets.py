"""Sheets: the readings of many series at once, whatever their model and version, in columns of one length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.observe import Observer

Places = NDArray[np.intp]
Values = NDArray[np.float64]

LARGEST: Final = 1e100
"""Numbers of a larger size are read as this: their squares and sums must stay finite."""


class Stands(NamedTuple):
    """Where readings can stand: events of several versions, those of a version side by side and in order.

    *lane* is the number of the version, *place* that of the event in the batch; times are in seconds since
    the epoch.
    """

    lane: Places
    place: Places
    times: Values

    @classmethod
    def of(cls, lane: Places, place: Sequence[Places], times: Sequence[Values]) -> Stands:
        """Put what several models gave one behind the other."""
        if not len(lane):
            return cls(lane, np.zeros(0, dtype=np.intp), np.zeros(0))
        return cls(lane, _joined(place), _joined(times))

    def only(self, which: Places) -> Stands:
        """Give those at the places *which*."""
        return Stands(self.lane[which], self.place[which], self.times[which])

    def behind(self, other: Stands) -> Stands:
        """Put these behind *other* ones."""
        return Stands(*(np.concatenate(pair) for pair in zip(other, self, strict=True)))


class Block(NamedTuple):
    """A table of readings: a row for each of *columns*, in it one for each of *stands*; NaN is none.

    Columns are those of the versions' forms.
    """

    columns: Sequence[int]
    stands: Places
    values: Values


class Sheet(NamedTuple):
    """Readings of many series, those of a series side by side and in the log's order; shape (n,) each.

    *lanes* are the versions; *cell* is the place of a reading's series in *slots*, those of all lanes one
    behind the other, which begin at *starts*. *stand* is where the reading stands.
    """

    lanes: Sequence[Observer]
    starts: Places
    slots: Places
    cell: Places
    values: Values
    times: Values
    stand: Places
    place: Places

    def series(self, cell: int) -> tuple[Observer, int]:
        """Give the version of the series of a cell, and its column."""
        lane = int(self.starts.searchsorted(cell, side="right")) - 1
        return self.lanes[lane], cell - int(self.starts[lane])


def sheet_of(lanes: Sequence[Observer], stands: Stands, blocks: Sequence[Block]) -> Sheet:
    """Put *blocks* one behind the other; no two of them have a series in common."""
    slots = [lane.slots for lane in lanes]
    starts = np.array([0, *accumulate(map(len, slots[:-1]))], dtype=np.intp)
    firsts, number = starts[stands.lane], sum(block.values.size for block in blocks)
    cell, stand = np.empty(number, dtype=np.intp), np.empty(number, dtype=np.intp)
    values, times = np.empty(number), np.empty(number)
    stop = 0
    for block in blocks:
        start, stop, shape = stop, stop + block.values.size, (len(block.columns), len(block.stands))
        columns = np.array(block.columns, dtype=np.intp)[:, None]
        np.add(columns, firsts[block.stands], out=cell[start:stop].reshape(shape))
        stand[start:stop].reshape(shape)[:] = block.stands
        times[start:stop].reshape(shape)[:] = stands.times[block.stands]
        values[start:stop] = block.values.ravel()
    absent = np.isnan(values)
    if absent.any():
        there = np.flatnonzero(~absent)
        cell, stand, values, times = cell[there], stand[there], values[there], times[there]
    np.maximum(values, -LARGEST, out=values)
    np.minimum(values, LARGEST, out=values)
    return Sheet(lanes, starts, _joined(slots), cell, values, times, stand, stands.place)


def runs_of_lanes(lane: Places) -> Iterator[tuple[int, int, int]]:
    """Give each lane of those that stand side by side, with where it begins and ends."""
    if not len(lane):
        return
    starts = [0, *(np.flatnonzero(lane[1:] != lane[:-1]) + 1).tolist()]
    for start, stop in pairwise([*starts, len(lane)]):
        yield int(lane[start]), start, stop


def blank(
    values: Values, rows: Mapping[str, int], starts: Mapping[int, Mapping[str, int]], lane: Places
) -> None:
    """Take readings away from before where what they are of was met; *lane* is the readings'."""
    for number, of_lane in starts.items():
        own = np.flatnonzero(lane == number)
        for name, start in of_lane.items():
            if start and len(own):
                values[rows[name], own[:start]] = np.nan


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
