"""Standardised: shift detectors on readings measured against each series' own warm-up.

A threshold in standard deviations means the same for every series; one in the units of the data does not: on
raw features Page-Hinkley alarms thousands of times.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.baselines import PublishedBaseline
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Baseline, Explanation, Finding, SeriesKey, SeriesSpec, Stage, Standing
from stream.core.ports import Found
from stream.detectors.contract import Shift, ShiftBank
from stream.detectors.cut import History
from stream.detectors.recent import CLIP, Recent, Scale
from stream.detectors.runs import Places, Runs, group, grown, ranges, runs_of
from stream.detectors.sealed import sealed, unsealed

LARGEST: Final = 1e150
"""What a larger reading counts as: sums and squares must stay finite."""

SLOTS_AT_FIRST: Final = 16

Values = NDArray[np.float64]


class State(msgspec.Struct, array_like=True):
    """What there is to know of a series; *mean* and *sd* are null while warming up."""

    settings: str
    warm_up: list[float]
    mean: float | None
    sd: float | None
    recent: History
    detectors: dict[str, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode
_encode_json = msgspec.json.Encoder().encode


class Standardised:
    """A bank that learns mean and spread of a series from its first *warm_up* readings.

    What follows it shows to its detectors as z = (x - mean) / sd, or as it is where they are *raw*. A series
    that has only rises to fear stays silent about a shift to a lower value. *settings* names what the
    detectors were made with: a snapshot of others is not restored.
    """

    def __init__(
        self, detectors: Sequence[ShiftBank], *, warm_up: int, settings: str, raw: bool = False
    ) -> None:
        self._detectors = detectors
        self._warm_up = warm_up
        self._settings = settings
        self._raw = raw
        self._clip = LARGEST if raw else CLIP
        self._recent = Recent(self._clip)
        self._learning: dict[int, array[float]] = {}
        self._is_taken = np.zeros(0, dtype=np.bool_)
        self._is_warm = np.zeros(0, dtype=np.bool_)
        self._only_rise = np.zeros(0, dtype=np.bool_)
        self._mean: Values = np.zeros(0)
        self._sd: Values = np.zeros(0)
        self._free: list[int] = []

    def add(self, *, only_rise: bool, spec: SeriesSpec | None = None) -> int:  # noqa: ARG002 - as below
        """Take a new series; give its slot. With *only_rise* it stays silent about a fall."""
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self._is_taken[slot], self._only_rise[slot] = True, only_rise
        self._learning[slot] = array("d")
        for detector in self._detectors:
            detector.begin(slot, only_rise=only_rise)
        return slot

    def drop(self, slot: int) -> None:
        """Forget the series of *slot*, which another one may get."""
        self._check_one(slot)
        self._is_taken[slot] = self._is_warm[slot] = False
        self._learning.pop(slot, None)
        self._recent.clear(slot)
        for detector in self._detectors:
            detector.end(slot)
        self._free.append(slot)

    def update(
        self,
        slots: Places,
        values: Values,
        times: Values,
        order: NDArray[np.int64] | None = None,  # noqa: ARG002 - these series make no difference to each other
    ) -> list[Found]:
        """Take readings of many series, all of shape (n,); give what was found, by its place in them.

        Raises ValueError where a value or a time is not finite, before anything is taken.
        """
        if not np.isfinite(values).all() or not np.isfinite(times).all():
            raise ValueError("a detector takes finite readings only")
        if not len(slots):
            return []
        runs, places = group(slots)
        self._check(runs.slots)
        values = np.maximum(values, -LARGEST)
        np.minimum(values, LARGEST, out=values)
        if places is not None:
            values, times = values[places], times[places]
        if not self._is_warm[runs.slots].all():
            runs, rest = runs.without_first(self._learn(runs, values))
            values, times, places = values[rest], times[rest], rest if places is None else places[rest]
        if not len(runs):
            return []
        return self._watch(runs, values, times, places)

    def explain(self, slot: int) -> Explanation:
        """Say how the series of *slot* is watched now."""
        self._check_one(slot)
        is_warm = bool(self._is_warm[slot])
        return Explanation(
            watched_by=", ".join(detector.name for detector in self._detectors),
            stage=Stage.WATCHING if is_warm else Stage.LEARNING,
            readings=self._warm_up if is_warm else len(self._learning[slot]),
            normal=float(self._mean[slot]) if is_warm else None,
            needed=self._warm_up,
            baseline=self.baseline(slot),
        )

    def baseline(self, slot: int) -> Baseline | None:
        """Give what the series of *slot* is measured by: its warm-up, None while that lasts."""
        self._check_one(slot)
        if not self._is_warm[slot]:
            return None
        body = _encode_json([self._warm_up, float(self._mean[slot]), float(self._sd[slot])])
        digest = hashlib.sha256(body).hexdigest()
        return Baseline(standing=Standing.FROZEN, readings=self._warm_up, since=None, digest=digest)

    def accept(self, slot: int) -> bool:
        """Let the series of *slot* warm up anew: of a change that is still there nobody here knows."""
        self.relearn(slot)
        return True

    def relearn(self, slot: int) -> None:
        """Forget what the series of *slot* was like, and warm up with what follows."""
        self._check_one(slot)
        self._is_warm[slot] = False
        self._learning[slot] = array("d")
        self._recent.clear(slot)
        for detector in self._detectors:
            detector.end(slot)
            detector.begin(slot, only_rise=bool(self._only_rise[slot]))

    def published(self, slot: int, key: SeriesKey) -> None:
        """Give none: no baseline of these series is published."""

    def take(self, slot: int, baseline: PublishedBaseline) -> bool:  # noqa: ARG002 - as the core asks for it
        """Refuse: what is published is of another kind."""
        return False

    def freeze(self, slot: int) -> None:
        """Do nothing: what a series is measured by is that of its warm-up, and never changes."""
        self._check_one(slot)

    def snapshot(self, slot: int) -> bytes:
        """Give all there is to know of *slot*, as bytes, behind their checksum."""
        self._check_one(slot)
        is_warm = bool(self._is_warm[slot])
        state = _encode(
            State(
                settings=self._settings,
                warm_up=list(self._learning.get(slot, ())),
                mean=float(self._mean[slot]) if is_warm else None,
                sd=float(self._sd[slot]) if is_warm else None,
                recent=self._history(slot),
                detectors={detector.name: detector.snapshot(slot) for detector in self._detectors},
            )
        )
        return sealed(state)

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        """Take a series back; give its slot. Raises UnreadableRowError where the snapshot cannot be read.

        That is where it is damaged, foreign, or of other settings.
        """
        body = unsealed(snapshot)
        try:
            state = _decode(body)
        except (msgspec.DecodeError, ValueError) as error:
            raise UnreadableRowError(str(error)) from error
        if state.settings != self._settings:
            raise UnreadableRowError(f"made with {state.settings}, now {self._settings}")
        slot = self.add(only_rise=only_rise)
        try:
            self._restore(slot, state)
        except UnreadableRowError:
            self.drop(slot)
            raise
        return slot

    def _restore(self, slot: int, state: State) -> None:
        for detector in self._detectors:
            if detector.name not in state.detectors:
                raise UnreadableRowError(f"no state of {detector.name}")
            detector.restore(slot, state.detectors[detector.name])
        try:
            self._recent.restore(slot, state.recent)
        except ValueError as error:
            raise UnreadableRowError(str(error)) from error
        if state.mean is None or state.sd is None:
            self._learning[slot].extend(state.warm_up)
        else:
            self._warm(slot, state.mean, state.sd)

    def _grow(self) -> None:
        """Make room for twice as many slots."""
        size = len(self._is_taken)
        capacity = max(2 * size, SLOTS_AT_FIRST)
        self._is_taken = grown(self._is_taken, capacity)
        self._is_warm = grown(self._is_warm, capacity)
        self._only_rise = grown(self._only_rise, capacity)
        self._mean, self._sd = grown(self._mean, capacity), grown(self._sd, capacity)
        self._recent.grow(capacity)
        for detector in self._detectors:
            detector.grow(capacity)
        self._free += range(capacity - 1, size - 1, -1)

    def _check(self, slots: Places) -> None:
        if slots.min() < 0 or slots.max() >= len(self._is_taken) or not self._is_taken[slots].all():
            raise IndexError("no series has this slot")

    def _check_one(self, slot: int) -> None:
        if not 0 <= slot < len(self._is_taken) or not self._is_taken[slot]:
            raise IndexError("no series has this slot")

    def _learn(self, runs: Runs, values: Values) -> Places:
        """Use readings to warm up where that lasts; give how many of each run."""
        used = np.zeros_like(runs.lengths)
        for run in np.flatnonzero(~self._is_warm[runs.slots]).tolist():
            slot, start = int(runs.slots[run]), int(runs.starts[run])
            learning = self._learning[slot]
            count = min(self._warm_up - len(learning), int(runs.lengths[run]))
            learning.frombytes(values[start : start + count].tobytes())
            used[run] = count
            if len(learning) == self._warm_up:
                self._warm(slot, *_mean_and_spread(learning))
        return used

    def _warm(self, slot: int, mean: float, sd: float) -> None:
        del self._learning[slot]
        self._mean[slot], self._sd[slot], self._is_warm[slot] = mean, sd, True

    def _watch(self, runs: Runs, values: Values, times: Values, places: Places | None) -> list[Found]:
        """Show *runs* of warm series to the detectors; give what they found, by *places* where given."""
        scale = self._scale(runs.slots)
        longer = Scale(scale.mean.repeat(runs.lengths), scale.sd.repeat(runs.lengths), self._clip)
        scaled = longer.of(values)
        shifts = [(shift, own) for own in self._detectors for shift in own.update(runs, scaled)]
        if not shifts:
            self._recent.add(runs, values, times, scale)
            return []
        found: list[Found] = []
        for shift, detector in self._one_after_the_other(shifts, runs, values, times, scale):
            run = int(runs.starts.searchsorted(shift.place, side="right")) - 1
            index = shift.place if places is None else int(places[shift.place])
            finding = self._finding(int(runs.slots[run]), shift, detector, index, float(times[shift.place]))
            if finding is not None:
                found.append(finding)
        found.sort(key=lambda one: one.finding.index)
        return found

    def _one_after_the_other(
        self,
        shifts: list[tuple[Shift, ShiftBank]],
        runs: Runs,
        values: Values,
        times: Values,
        scale: Scale,
    ) -> Iterator[tuple[Shift, ShiftBank]]:
        """Give the shifts of each series in turn, each when what was read up to it, and no more, is kept.

        All series go on side by side: to the first shift of each, to the second.
        """
        ahead: dict[int, deque[tuple[Shift, ShiftBank]]] = {}
        for pair in sorted(shifts, key=lambda one: one[0].place):
            run = int(runs.starts.searchsorted(pair[0].place, side="right")) - 1
            ahead.setdefault(run, deque()).append(pair)
        kept, until = np.zeros_like(runs.lengths), runs.lengths.copy()
        active = np.arange(len(runs))
        while len(active):
            for run, of_run in ahead.items():
                until[run] = of_run[0][0].place + 1 - runs.starts[run] if of_run else runs.lengths[run]
            new = active[until[active] > kept[active]]
            part = runs_of(runs.slots[new], (until - kept)[new])
            places = ranges((runs.starts + kept)[new], part.lengths)
            self._recent.add(part, values[places], times[places], scale.at(new))
            kept[active] = until[active]
            ahead = {run: of_run for run, of_run in ahead.items() if of_run}
            active = np.array(list(ahead), dtype=np.intp)
            for of_run in ahead.values():
                yield of_run.popleft()

    def _finding(self, slot: int, shift: Shift, detector: ShiftBank, index: int, time: float) -> Found | None:
        """Say what changed when; None where only a rise counts and this was none."""
        history = self._history(slot)
        cut = history.best_cut(shift.latest)
        if cut is None:
            cut = history.against_warm_up(self._warm_up, float(self._mean[slot]))
        rose = cut.mean_after > cut.mean_before if shift.rise is None else shift.rise
        if self._only_rise[slot] and not rose:
            return None
        difference = abs(cut.mean_after - cut.mean_before)
        finding = Finding(
            index=index,
            detector=detector.name,
            observed=cut.observed,
            expected=cut.expected,
            statistic=difference if shift.statistic is None else shift.statistic,
            threshold=detector.threshold(slot, cut) if shift.threshold is None else shift.threshold,
            n=cut.after,
            window_start=cut.since,
            window_end=time,
        )
        return Found(slot, finding)

    def _history(self, slot: int) -> History:
        scale = self._scale(np.array([slot]))
        return self._recent.history(slot, float(scale.mean[0]), float(scale.sd[0]))

    def _scale(self, slots: Places) -> Scale:
        """Give what the readings of each of *slots* are measured by."""
        if self._raw:
            return Scale(np.zeros(len(slots)), np.ones(len(slots)), self._clip)
        return Scale(self._mean[slots], self._sd[slots], self._clip)


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Give the mean and standard deviation of the warm-up, never 0.

    Rates of 0 and 1 are smoothed as if one reading in two had gone each way; a constant has the spread of a
    thousandth of its size.
    """
    n = len(values)
    mean = math.fsum(values) / n
    if all(value in {0.0, 1.0} for value in values):
        rate = (mean * n + 0.5) / (n + 1.0)
        return mean, math.sqrt(rate * (1.0 - rate))
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n)
    return mean, max(spread, abs(mean) * 1e-3, 1e-9)
