"""ADWIN: adaptive windowing (Bifet and Gavalda, 2007), by river, on standardised readings.

River's Python class does no more than call its Rust window and make a new one after a detection; its package
`river.drift` loads scipy for another detector, which makes a process three times as large. The window itself
loads nothing.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from river._river_rust.drift import AdaptiveWindowing

from schemas.policy import Adwin as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.cut import Cut
from stream.detectors.runs import Runs, grown

CLOCK: Final = 32
"""River's own setting, as are the next three: a window is tested once in so many readings."""

MAX_BUCKETS: Final = 5
MIN_WINDOW_LENGTH: Final = 5
GRACE_PERIOD: Final = 10

LONG: Final = 8
"""Readings a run, on average, from which on each run is shown to its window by itself."""


class State(msgspec.Struct, array_like=True):
    """What there is to know of an ADWIN: readings since its last detection, and river's own state."""

    n: int
    window: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Adwin:
    """Cuts a slot's window where two parts of it differ more than chance allows at confidence ``delta``."""

    name = "adwin"

    def __init__(self, settings: Settings) -> None:
        self._delta = settings.delta
        self._windows: NDArray[np.object_] = np.empty(0, dtype=np.object_)
        self._has_window = np.zeros(0, dtype=np.bool_)
        self._n = np.zeros(0, dtype=np.int64)

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""
        windows = np.empty(capacity, dtype=np.object_)
        windows[: len(self._windows)] = self._windows
        self._windows = windows
        self._has_window = grown(self._has_window, capacity)
        self._n = grown(self._n, capacity)

    def begin(self, slot: int, *, only_rise: bool) -> None:  # noqa: ARG002 - a window knows no direction
        """Begin anew in *slot*; its window is made when the first reading comes."""
        self.end(slot)

    def end(self, slot: int) -> None:
        """Let go of the window of *slot*."""
        self._windows[slot] = None
        self._has_window[slot] = False
        self._n[slot] = 0

    def update(self, runs: Runs, values: NDArray[np.float64]) -> list[Shift]:
        """Take *runs* of standardised *values*, shape (n,); give the shifts by their place there."""
        for slot in runs.slots[~self._has_window[runs.slots]].tolist():
            self._put(slot, self._new_window())
        self._n[runs.slots] += runs.lengths
        shifts: list[Shift] = []
        if len(values) < LONG * len(runs):
            self._side_by_side(runs, values, shifts)
        else:
            self._one_by_one(runs, values, shifts)
        return shifts

    def _one_by_one(self, runs: Runs, values: NDArray[np.float64], shifts: list[Shift]) -> None:
        """Show each run to its window."""
        where = zip(runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist(), strict=True)
        for slot, start, length in where:
            end = start + length
            rest = iter(values[start:end].tolist())
            while any(map(self._windows[slot].update, rest)):
                self._cut(slot, end, rest.__length_hint__(), shifts)

    def _side_by_side(self, runs: Runs, values: NDArray[np.float64], shifts: list[Shift]) -> None:
        """Show every reading to the window of its run, in one pass over them all."""
        windows: list[AdaptiveWindowing] = self._windows[runs.slots.repeat(runs.lengths)].tolist()
        window_of, rest = iter(windows), iter(values.tolist())
        while any(map(AdaptiveWindowing.update, window_of, rest)):
            place = len(windows) - rest.__length_hint__() - 1
            run = int(runs.starts.searchsorted(place, side="right")) - 1
            slot, end = int(runs.slots[run]), int(runs.starts[run] + runs.lengths[run])
            left = end - place - 1
            self._cut(slot, end, left, shifts)
            windows[place + 1 : end] = [self._windows[slot]] * left

    def _cut(self, slot: int, end: int, left: int, shifts: list[Shift]) -> None:
        """Take note of a shift with *left* readings to come before *end*; begin a new window."""
        shifts.append(Shift(end - left - 1, latest=int(self._n[slot]) - left))
        self._n[slot] = left
        self._put(slot, self._new_window())

    def threshold(self, _slot: int, cut: Cut) -> float:
        """Give epsilon_cut of the paper (theorem 3.2, the form by the window's variance).

        River does not tell where it cut: for the cut that is estimated here a statistic may lie some
        percent below the threshold that it exceeded there.
        """
        inverse = 1.0 / cut.before + 1.0 / cut.after
        log = math.log(2.0 * math.log(max(cut.before + cut.after, 3)) / self._delta)
        return math.sqrt(2.0 * inverse * cut.variance * log) + 2.0 / 3.0 * inverse * log

    def snapshot(self, slot: int) -> bytes:
        """Give the state of *slot* as bytes."""
        window = self._windows[slot] if self._has_window[slot] else self._new_window()
        return _encode(State(int(self._n[slot]), window.__getstate__()))

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Take the state of *slot* back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            window = self._new_window()
            window.__setstate__(state.window)
            self._put(slot, window)
            self._n[slot] = state.n

    def _put(self, slot: int, window: AdaptiveWindowing) -> None:
        self._windows[slot] = window
        self._has_window[slot] = True

    def _new_window(self) -> AdaptiveWindowing:
        return AdaptiveWindowing(self._delta, CLOCK, MAX_BUCKETS, MIN_WINDOW_LENGTH, GRACE_PERIOD)
