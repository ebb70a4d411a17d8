"""One each: a bank of detectors that are objects, one for every slot, which take a run at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream.detectors.contract import Shift, ShiftDetector
from stream.detectors.cut import Cut
from stream.detectors.runs import Runs


class OneEach:
    """Keeps a detector for every slot.

    *make* gives a new one, told whether only a rise counts. A batch costs a call for each slot in it: right
    for an algorithm that is slow by itself, and for a new one until it has a bank of its own.
    """

    def __init__(self, name: str, make: Callable[[bool], ShiftDetector]) -> None:
        self.name = name
        self._make = make
        self._of: dict[int, ShiftDetector] = {}

    def grow(self, capacity: int) -> None:
        """Do nothing: a dictionary makes room by itself."""

    def begin(self, slot: int, *, only_rise: bool) -> None:
        """Begin anew in *slot*."""
        self._of[slot] = self._make(only_rise)

    def end(self, slot: int) -> None:
        """Let go of the detector of *slot*."""
        del self._of[slot]

    def update(self, runs: Runs, values: NDArray[np.float64]) -> list[Shift]:
        """Take *runs* of standardised *values*, shape (n,); give the shifts by their place there."""
        shifts: list[Shift] = []
        where = zip(runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist(), strict=True)
        for slot, start, length in where:
            found = self._of[slot].update(values[start : start + length])
            shifts += [shift._replace(place=start + shift.place) for shift in found]
        return shifts

    def threshold(self, slot: int, cut: Cut) -> float:
        """Give what the statistic had to exceed in *slot*."""
        return self._of[slot].threshold(cut)

    def snapshot(self, slot: int) -> bytes:
        """Give the state of *slot* as bytes."""
        return self._of[slot].snapshot()

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Take the state of *slot* back; raises UnreadableRowError where it is damaged."""
        self._of[slot].restore(snapshot)
