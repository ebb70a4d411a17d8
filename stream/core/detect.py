"""Detect: readings to findings, by the detectors that the policy chose for each series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import Policy
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Column, Readings, SeriesKey, Tally, Watched
from stream.core.ports import Detector, DetectorFactory


class SeriesRow(msgspec.Struct, array_like=True):
    """The state of one series as it is kept: its direction, its newest time, its detector's snapshot."""

    only_rise: bool
    clock: float
    snapshot: bytes


@dataclass(slots=True)
class Series:
    """A series that is watched; *clock* is its newest event time, in seconds since the epoch."""

    detector: Detector
    only_rise: bool
    clock: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SeriesRow).decode


class Watch:
    """Keeps a detector for every series of one model."""

    def __init__(self, policy: Policy, factory: DetectorFactory) -> None:
        self._chosen = policy.detectors
        self._factory = factory
        self._series: dict[SeriesKey, Series] = {}
        self._changed: set[SeriesKey] = set()

    def watch(self, columns: Iterable[Column], tally: Tally) -> list[Watched]:
        """Show every column to its series' detector; give what was read and what was found.

        The times of what is given are the series' clock: a reading of an older event has the newest time.
        """
        watched: list[Watched] = []
        clocks = _Clocks()
        for spec, readings in columns:
            series = self._series.get(spec.key)
            if series is None:
                detector = self._factory.make(self._chosen, only_rise=spec.only_rise)
                series = self._series[spec.key] = Series(detector, spec.only_rise)
            clocked = clocks.of(readings, series.clock)
            series.clock = float(clocked.times[-1])
            findings = series.detector.update(clocked)
            self._changed.add(spec.key)
            watched.append(Watched(spec=spec, readings=clocked, findings=findings))
            key = spec.key
            mean = float(readings.values.sum()) / len(readings)
            tally.gauge("signal_value", key.model, key.version, key.signal, value=mean)
            for finding in findings:
                tally.count("findings_total", key.model, key.signal, finding.detector)
        return watched

    def forget(self, version: str) -> list[SeriesKey]:
        """Drop every series of *version*; give their keys, in order."""
        gone = sorted(key for key in self._series if key.version == version)
        for key in gone:
            del self._series[key]
        self._changed.difference_update(gone)
        return gone

    def rows(self) -> dict[SeriesKey, bytes]:
        """Give the state of the series that changed since the last call."""
        changed, self._changed = self._changed, set()
        rows: dict[SeriesKey, bytes] = {}
        for key in sorted(changed):
            series = self._series[key]
            rows[key] = _encode(SeriesRow(series.only_rise, series.clock, series.detector.snapshot()))
        return rows

    def restore(self, key: SeriesKey, row: bytes) -> None:
        """Take the state of one series; raises UnreadableRowError where it cannot be read."""
        try:
            kept = _decode(row)
        except msgspec.DecodeError as error:
            raise UnreadableRowError(str(error)) from error
        detector = self._factory.restore(self._chosen, kept.snapshot, only_rise=kept.only_rise)
        self._series[key] = Series(detector, kept.only_rise, kept.clock)


class _Clocks:
    """Makes times never go back; columns that share their times, and whose clocks agree, share the result."""

    def __init__(self) -> None:
        self._given: NDArray[np.float64] | None = None
        self._clock = 0.0
        self._made = np.empty(0)

    def of(self, readings: Readings, clock: float) -> Readings:
        """Give *readings* with the times of a clock that stood at *clock*, in seconds since the epoch."""
        if readings.times is not self._given or clock != self._clock:
            self._given, self._clock = readings.times, clock
            self._made = np.maximum(np.maximum.accumulate(readings.times), clock)
        return Readings(values=readings.values, times=self._made, at=readings.at)
