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
from stream.detectors.runs import Places, Runs, grown, ranges, runs_of

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
        self._rows: Values = np.zeros((2, CLOCK))  # the last two are nobody's
        self._shown = np.zeros(0, dtype=np.int8)

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""
        self._windows += [None] * (capacity - len(self._windows))
        self._n = grown(self._n, capacity)
        self._rows = grown(self._rows, capacity + 2)
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
        taken = n % CLOCK
        self._n[runs.slots] = n + runs.lengths
        shifts: list[Shift] = []
        is_long = runs.lengths > CLOCK
        if not is_long.any():
            self._side_by_side(runs, taken, values, runs.starts, shifts)
            return shifts
        self._one_by_one(runs, taken, np.flatnonzero(is_long), values, shifts)
        short = np.flatnonzero(~is_long)
        if len(short):
            part = runs_of(runs.slots[short], runs.lengths[short])
            starts = runs.starts[short]
            self._side_by_side(part, taken[short], values[ranges(starts, part.lengths)], starts, shifts)
        return shifts

    def _one_by_one(
        self, runs: Runs, taken: Places, chosen: Places, values: Values, shifts: list[Shift]
    ) -> None:
        """Take the *chosen* runs, of more than :data:`CLOCK` readings, each by itself.

        Of each slot *taken* readings are in its row.
        """
        columns = (runs.slots[chosen], runs.starts[chosen], runs.lengths[chosen], taken[chosen])
        for slot, start, length, before in zip(*(column.tolist() for column in columns), strict=True):
            row, end = self._rows[slot], start + length
            left = (before + length) % CLOCK
            waiting = row[self._shown[slot] : before].tolist()
            rest = iter(waiting + values[start : end - left].tolist())
            while any(map(self._window(slot).update, rest)):
                self._cut(slot, end, rest.__length_hint__() + left, shifts)
            row[:left] = values[end - left : end]
            self._shown[slot] = 0

    def _side_by_side(
        self, runs: Runs, taken: Places, values: Values, starts: Places, shifts: list[Shift]
    ) -> None:
        """Take *runs* of at most :data:`CLOCK` readings, of which each began at *starts* of the batch.

        Of each slot *taken* readings are in its row. Where that becomes full, what comes goes to nobody's
        rows at first, which are long enough for any.
        """
        filled = taken + runs.lengths
        full = np.flatnonzero(filled >= CLOCK)
        row = runs.slots * CLOCK
        row[full] = self._rows.size - 2 * CLOCK
        row += taken
        row -= runs.starts
        places = row.repeat(runs.lengths)
        places += np.arange(len(values))
        self._rows.reshape(-1)[places] = values
        ends = starts + runs.lengths
        for first in range(0, len(full), LOT):
            self._show(runs, taken, full[first : first + LOT], values, ends, shifts)

    def _show(
        self, runs: Runs, taken: Places, full: Places, values: Values, ends: Places, shifts: list[Shift]
    ) -> None:
        """Show the rows of the *full* runs, to which their *values* are put, to their windows."""
        slots, lengths, before = runs.slots[full], runs.lengths[full], taken[full]
        rows: Values = np.empty((len(full), 2 * CLOCK))
        rows[:, :CLOCK] = self._rows[slots]
        places = ranges(np.arange(0, rows.size, 2 * CLOCK) + before, lengths)
        rows.reshape(-1)[places] = values[ranges(runs.starts[full], lengths)]
        self._rows[slots] = rows[:, CLOCK:]
        shown = rows[:, :CLOCK].tolist()
        for at in np.flatnonzero(self._shown[slots]).tolist():
            del shown[at][: self._shown[slots[at]]]
        self._shown[slots] = 0
        left = before + lengths - CLOCK
        for slot, end, after, row in zip(
            slots.tolist(), ends[full].tolist(), left.tolist(), shown, strict=True
        ):
            # A window tells of a cut with the last reading of a row only.
            if any(map(self._window(slot).update, row)):
                self._cut(slot, end, after, shifts)

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
