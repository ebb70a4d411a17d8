"""Standardised: shift detectors on readings measured against the series' own warm-up.

A threshold in standard deviations means the same for every series; one in the units of the data does not: on
raw features Page-Hinkley alarms thousands of times.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding, Readings
from stream.detectors.contract import Shift, ShiftDetector
from stream.detectors.recent import Recent, RecentState

CLIP = 10.0
"""Standard deviations beyond which a reading says no more than that it lies far out."""

LARGEST = 1e150
"""What a larger reading counts as: sums and squares must stay finite."""

_CHECKSUM_BYTES = 4


class State(msgspec.Struct, array_like=True):
    """What there is to know of a standardised detector; *mean* and *sd* are null while warming up."""

    settings: str
    warm_up: list[float]
    mean: float | None
    sd: float | None
    recent: RecentState
    detectors: dict[str, bytes]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Standardised:
    """Learns mean and spread from the first *warm_up* readings, then shows its detectors z = (x - mean) / sd.

    With *only_rise* it stays silent about a shift to a lower value. *settings* names what the detectors were
    made with: a snapshot of others is not restored.
    """

    def __init__(
        self, detectors: Sequence[ShiftDetector], *, warm_up: int, only_rise: bool, settings: str
    ) -> None:
        self._detectors = detectors
        self._warm_up = warm_up
        self._only_rise = only_rise
        self._settings = settings
        self._learning: list[float] = []
        self._mean: float | None = None
        self._sd = 1.0
        self._recent = Recent()

    def update(self, readings: Readings) -> list[Finding]:
        """Take *readings*: values, shape (n,), finite, and their event times, in the log's order.

        Raises ValueError where a value is not finite, before anything is taken.
        """
        if not np.isfinite(readings.values).all() or not np.isfinite(readings.times).all():
            raise ValueError("a detector takes finite readings only")
        values = np.clip(readings.values, -LARGEST, LARGEST)
        start = self._learn(values)
        if self._mean is None or start == len(readings):
            return []
        with np.errstate(over="ignore"):
            standardised = np.clip((values[start:] - self._mean) / self._sd, -CLIP, CLIP)
        scaled, watched = standardised.tolist(), values[start:].tolist()
        times = readings.times[start:].tolist()
        shifts = [(shift, own) for own in self._detectors for shift in own.update(standardised)]
        findings, told = [], 0
        for shift, detector in sorted(shifts, key=lambda found: found[0].place):
            news = slice(told, shift.place + 1)
            self._recent.add(scaled[news], watched[news], times[news])
            told = news.stop
            finding = self._finding(shift, detector, start, times)
            if finding is not None:
                findings.append(finding)
        self._recent.add(scaled[told:], watched[told:], times[told:])
        return findings

    def snapshot(self) -> bytes:
        """Give all there is to know, as bytes, behind their checksum."""
        state = _encode(
            State(
                settings=self._settings,
                warm_up=self._learning,
                mean=self._mean,
                sd=self._sd,
                recent=self._recent.state(),
                detectors={detector.name: detector.snapshot() for detector in self._detectors},
            )
        )
        return zlib.crc32(state).to_bytes(_CHECKSUM_BYTES) + state

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged or of other settings."""
        checksum, body = snapshot[:_CHECKSUM_BYTES], snapshot[_CHECKSUM_BYTES:]
        if checksum != zlib.crc32(body).to_bytes(_CHECKSUM_BYTES):
            raise UnreadableRowError("the checksum is wrong")
        try:
            state = _decode(body)
        except msgspec.DecodeError as error:
            raise UnreadableRowError(str(error)) from error
        if state.settings != self._settings:
            raise UnreadableRowError(f"made with {state.settings}, now {self._settings}")
        for detector in self._detectors:
            if detector.name not in state.detectors:
                raise UnreadableRowError(f"no state of {detector.name}")
            detector.restore(state.detectors[detector.name])
        self._learning = state.warm_up
        self._mean = state.mean
        self._sd = state.sd if state.sd is not None else 1.0
        self._recent = Recent(state.recent)

    def _learn(self, values: NDArray[np.float64]) -> int:
        """Use *values* to warm up while that lasts; give the place of the first one that is watched."""
        if self._mean is not None:
            return 0
        wanted = self._warm_up - len(self._learning)
        self._learning += values[:wanted].tolist()
        if len(self._learning) == self._warm_up:
            self._mean, self._sd = _mean_and_spread(self._learning)
            self._learning = []
        return min(wanted, len(values))

    def _finding(
        self, shift: Shift, detector: ShiftDetector, start: int, times: Sequence[float]
    ) -> Finding | None:
        """Say what changed when; None where only a rise counts and this was none."""
        mean = 0.0 if self._mean is None else self._mean
        cut = self._recent.best_cut(shift.latest) or self._recent.against_warm_up(self._warm_up, mean)
        rose = cut.mean_after > cut.mean_before if shift.rise is None else shift.rise
        if self._only_rise and not rose:
            return None
        difference = abs(cut.mean_after - cut.mean_before)
        return Finding(
            index=start + shift.place,
            detector=detector.name,
            observed=cut.observed,
            expected=cut.expected,
            statistic=difference if shift.statistic is None else shift.statistic,
            threshold=detector.threshold(cut),
            n=cut.after,
            window_start=cut.since,
            window_end=times[shift.place],
        )


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
