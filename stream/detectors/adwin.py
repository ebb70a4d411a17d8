"""ADWIN: adaptive windowing (Bifet and Gavalda, 2007), by river, on standardised readings.

River's Python class does no more than call its Rust window and make a new one after a detection; its package
`river.drift` loads scipy for another detector, which makes a process three times as large. The window itself
loads nothing.

A window is tested once in :data:`CLOCK` readings, and says nothing in between: a slot's readings wait in a
row of numbers until there are so many, and are shown to its window together. Among many slots a window's
memory is cold, and to visit it costs some readings' worth.
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
from stream.detectors.runs import Places, Runs, grown, ranges

CLOCK: Final = 32
"""River's own setting, as are the next three: a window is tested once in so many readings."""

MAX_BUCKETS: Final = 5
MIN_WINDOW_LENGTH: Final = 5
GRACE_PERIOD: Final = 10

LOT: Final = 256
"""Rows that are shown together: what they take as Python's numbers stays in the cache."""

Values = NDArray[np.float64]


class State(msgspec.Struct, array_like=True):
    """What there is to know of an ADWIN: *n* readings since its last detection, and river's own state.

    The last of them, as float64, that the window has not been shown are *waiting*: those since *n* was a
    multiple of :data:`CLOCK`, none in rows of a version that showed each as it came.
    """

    n: int
    window: bytes
    waiting: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Adwin:
    """Cuts a slot's window where two parts of it differ more than chance allows at confidence ``delta``."""

    name = "adwin"

    def __init__(self, settings: Settings) -> None:
        self._delta = settings.delta
        self._windows: list[AdaptiveWindowing | None] = []
        self._n = np.zeros(0, dtype=np.int64)
        self._rows: Values = np.zeros((0, CLOCK))
        self._shown = np.zeros(0, dtype=np.int8)

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""
        self._windows += [None] * (capacity - len(self._windows))
        self._n = grown(self._n, capacity)
        self._rows = grown(self._rows, capacity)
        self._shown = grown(self._shown, capacity)

    def begin(self, slot: int, *, only_rise: bool) -> None:  # noqa: ARG002 - a window knows no direction
        """Begin anew in *slot*; its window is made when it is to be shown something."""
        self.end(slot)

    def end(self, slot: int) -> None:
        """Let go of the window of *slot*."""
        self._windows[slot] = None
        self._n[slot] = 0
        self._shown[slot] = 0

    def update(self, runs: Runs, values: Values) -> list[Shift]:
        """Take *runs* of standardised *values*, shape (n,); give the shifts by their place there."""
        n = self._n[runs.slots]
        self._n[runs.slots] = n + runs.lengths
        taken = n % CLOCK
        filled = taken + runs.lengths
        full = np.flatnonzero(filled >= CLOCK)
        if not len(full):
            self._rows.reshape(-1)[ranges(runs.slots * CLOCK + taken, runs.lengths)] = values
            return []
        shifts: list[Shift] = []
        is_long = runs.lengths[full] > CLOCK
        self._one_by_one(runs, taken, full[is_long], values, shifts)
        short = full[~is_long]
        for first in range(0, len(short), LOT):
            self._side_by_side(runs, taken, short[first : first + LOT], values, shifts)
        self._shown[runs.slots[full]] = 0
        left, to = runs.lengths.copy(), runs.slots * CLOCK + taken
        left[full], to[full] = filled[full] % CLOCK, runs.slots[full] * CLOCK
        self._rows.reshape(-1)[ranges(to, left)] = values[ranges(runs.starts + runs.lengths - left, left)]
        return shifts

    def _one_by_one(
        self, runs: Runs, taken: Places, full: Places, values: Values, shifts: list[Shift]
    ) -> None:
        """Show the *full* runs to their windows, each after what its slot's row has: *taken* readings."""
        slots = runs.slots[full]
        columns = (
            slots,
            runs.starts[full],
            runs.lengths[full],
            taken[full],
            self._shown[slots],
            self._rows[slots],
        )
        for slot, start, length, before, shown, row in zip(*(c.tolist() for c in columns), strict=True):
            end = start + length
            left = (before + length) % CLOCK
            readings = values[start : end - left].tolist()
            readings[:0] = row[shown:before]
            rest = iter(readings)
            while any(map(self._window(slot).update, rest)):
                self._cut(slot, end, rest.__length_hint__() + left, shifts)

    def _side_by_side(
        self, runs: Runs, taken: Places, full: Places, values: Values, shifts: list[Shift]
    ) -> None:
        """Show what the rows of the *full* runs, of at most :data:`CLOCK` readings, are filled with."""
        slots, before = runs.slots[full], taken[full]
        rows = self._rows[slots]
        free = CLOCK - before
        places = ranges(np.arange(0, rows.size, CLOCK) + before, free)
        rows.reshape(-1)[places] = values[ranges(runs.starts[full], free)]
        readings = rows.tolist()
        shown = self._shown[slots]
        for at in np.flatnonzero(shown).tolist():
            del readings[at][: shown[at]]
        windows = self._windows
        for at, (slot, row) in enumerate(zip(slots.tolist(), readings, strict=True)):
            # A window tells of a cut with the last reading of a row only.
            if any(map((windows[slot] or self._window(slot)).update, row)):
                left = int(runs.lengths[full[at]] - free[at])
                self._cut(slot, int(runs.starts[full[at]] + runs.lengths[full[at]]), left, shifts)

    def _cut(self, slot: int, end: int, left: int, shifts: list[Shift]) -> None:
        """Take note of a shift with *left* readings to come before *end*; begin a new window."""
        shifts.append(Shift(end - left - 1, latest=int(self._n[slot]) - left))
        self._n[slot] = left
        self._windows[slot] = None

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
        n, window = int(self._n[slot]), self._windows[slot]
        waiting = self._rows[slot, self._shown[slot] : n % CLOCK]
        return _encode(State(n, (window or self._new_window()).__getstate__(), waiting.tobytes()))

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Take the state of *slot* back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            window = self._new_window()
            window.__setstate__(state.window)
            waiting = np.frombuffer(state.waiting)
            taken = state.n % CLOCK
            shown = taken - len(waiting)
            if shown < 0 or window.get_width() != state.n - len(waiting):
                raise ValueError(f"{len(waiting)} of {state.n} readings wait")
            if not np.isfinite(waiting).all():
                raise ValueError("a reading is not finite")
            self._windows[slot] = window
            self._n[slot] = state.n
            self._shown[slot] = shown
            self._rows[slot, shown:taken] = waiting

    def _window(self, slot: int) -> AdaptiveWindowing:
        """Give the window of *slot*; a new one where it has none."""
        window = self._windows[slot]
        if window is None:
            window = self._windows[slot] = self._new_window()
        return window

    def _new_window(self) -> AdaptiveWindowing:
        return AdaptiveWindowing(self._delta, CLOCK, MAX_BUCKETS, MIN_WINDOW_LENGTH, GRACE_PERIOD)
