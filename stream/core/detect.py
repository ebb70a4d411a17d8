"""Detect: readings to findings, by the detectors that the policy chose for each series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import Detectors, Policy
from stream.core.columns import Arrivals
from stream.core.errors import UnreadableRowError
from stream.core.nouns import (
    Column,
    Explanation,
    Finding,
    Healed,
    Readings,
    SeriesKey,
    SeriesSpec,
    Tally,
    Watched,
)
from stream.core.ports import Bank, DetectorFactory
from stream.core.rows import UNREADABLE, Moment


class SeriesRow(msgspec.Struct, array_like=True):
    """The state of one series as it is kept: its direction, its newest time, its detectors' snapshot."""

    only_rise: bool
    clock: Moment
    snapshot: bytes


@dataclass(slots=True)
class Series:
    """A series that is watched; *clock* is its newest event time, in seconds since the epoch."""

    slot: int
    only_rise: bool
    clock: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SeriesRow).decode


class Banks:
    """The banks of one pipeline: one for all series whose detectors have the same settings."""

    def __init__(self, factory: DetectorFactory) -> None:
        self._factory = factory
        self._of: dict[Detectors, Bank] = {}

    def of(self, chosen: Detectors) -> Bank:
        """Give the bank of the detectors *chosen*."""
        if chosen not in self._of:
            self._of[chosen] = self._factory.bank(chosen)
        return self._of[chosen]


class Watch:
    """Keeps a slot, in the bank of the policy's detectors, for every series of one model."""

    def __init__(self, policy: Policy, banks: Banks) -> None:
        self._bank = banks.of(policy.detectors)
        self._series: dict[SeriesKey, Series] = {}
        self._changed: set[SeriesKey] = set()

    def __contains__(self, key: object) -> bool:
        """Tell whether the series named *key* is watched."""
        return key in self._series

    def watch(self, columns: Iterable[Column], tally: Tally) -> list[Watched]:
        """Show all columns to the bank at once; give what was read and what was found.

        The times of what is given are the series' clock: a reading of an older event has the newest time.
        """
        specs: list[SeriesSpec] = []
        read: list[Readings] = []
        slots: list[int] = []
        clocks = _Clocks()
        for spec, readings in columns:
            series = self._series.get(spec.key) or self._new(spec)
            clocked, series.clock = clocks.of(readings, series.clock)
            specs.append(spec)
            read.append(clocked)
            slots.append(series.slot)
        if not specs:
            return []
        self._changed.update([spec.key for spec in specs])
        lengths = np.fromiter(map(len, read), dtype=np.intp, count=len(read))
        ends = lengths.cumsum()
        values = np.concatenate([readings.values for readings in read])
        times = np.concatenate([readings.times for readings in read])
        findings: dict[int, list[Finding | Healed]] = {}
        order = _order_of(read)
        found_in = self._bank.update(np.array(slots, dtype=np.intp).repeat(lengths), values, times, order)
        for _, finding in found_in:
            column = int(ends.searchsorted(finding.index, side="right"))
            index = finding.index - int(ends[column] - lengths[column])
            findings.setdefault(column, []).append(replace(finding, index=index))
        means = np.add.reduceat(values, ends - lengths) / lengths
        for spec, mean in zip(specs, means.tolist(), strict=True):
            tally.gauge("signal_value", spec.key.model, spec.key.version, spec.key.signal, value=mean)
        for column, found in sorted(findings.items()):
            for finding in found:
                if isinstance(finding, Healed):
                    continue
                tally.count(
                    "findings_total", specs[column].key.model, specs[column].key.signal, finding.detector
                )
        return [
            Watched(spec=spec, readings=readings, findings=findings.get(column, ()))
            for column, (spec, readings) in enumerate(zip(specs, read, strict=True))
        ]

    def explain(self) -> list[tuple[SeriesKey, Explanation]]:
        """Say how every series is watched now, in the order of their keys."""
        return [(key, self._bank.explain(series.slot)) for key, series in sorted(self._series.items())]

    def forget(self, version: str | None = None) -> list[SeriesKey]:
        """Drop every series of *version*, of all where None is given; give their keys, in order."""
        gone = sorted(key for key in self._series if version is None or key.version == version)
        for key in gone:
            self._bank.drop(self._series.pop(key).slot)
        self._changed.difference_update(gone)
        return gone

    def rows(self) -> dict[SeriesKey, bytes]:
        """Give the state of the series that changed since the last call."""
        changed, self._changed = self._changed, set()
        rows: dict[SeriesKey, bytes] = {}
        for key in sorted(changed):
            series = self._series[key]
            rows[key] = _encode(SeriesRow(series.only_rise, series.clock, self._bank.snapshot(series.slot)))
        return rows

    def restore(self, key: SeriesKey, row: bytes) -> None:
        """Take the state of one series; raises UnreadableRowError where it cannot be read."""
        try:
            kept = _decode(row)
        except UNREADABLE as error:
            raise UnreadableRowError(str(error)) from error
        slot = self._bank.restore(kept.snapshot, only_rise=kept.only_rise)
        self._series[key] = Series(slot, kept.only_rise, kept.clock)

    def _new(self, spec: SeriesSpec) -> Series:
        slot = self._bank.add(only_rise=spec.only_rise, spec=spec)
        series = self._series[spec.key] = Series(slot, spec.only_rise)
        return series


def _order_of(read: Sequence[Readings]) -> NDArray[np.int64] | None:
    """Give the numbers in the log of the events behind *read*; None where one of them names no events."""
    parts = [readings.at.seqs() for readings in read if isinstance(readings.at, Arrivals)]
    return np.concatenate(parts) if len(parts) == len(read) else None


class _Clocks:
    """Makes times never go back; columns that share their times, and whose clocks agree, share the result."""

    def __init__(self) -> None:
        self._given: NDArray[np.float64] | None = None
        self._clock = 0.0
        self._made: NDArray[np.float64] | None = None
        self._newest = 0.0

    def of(self, readings: Readings, clock: float) -> tuple[Readings, float]:
        """Give *readings* with the times of a clock that stood at *clock*, and where it stands then.

        In seconds since the epoch.
        """
        times = readings.times
        if times is not self._given or clock != self._clock:
            self._given, self._clock, self._made = times, clock, None
            if times[0] < clock or (times[1:] < times[:-1]).any():
                self._made = np.maximum(np.maximum.accumulate(times), clock)
            self._newest = float(times[-1] if self._made is None else self._made[-1])
        if self._made is not None:
            readings = Readings(values=readings.values, times=self._made, at=readings.at)
        return readings, self._newest
