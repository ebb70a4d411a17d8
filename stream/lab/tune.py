"""`driftline tune`: what a budget of false alarms would have bought on a log of one's own.

The log is led through the pipeline once, up to the detectors. The readings of a period in which all was well
are then drawn again into copies (:mod:`.bootstrap`), and the detectors watch each copy: what they raise is
false. A copy begins with days that are not counted, in which detectors learn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import msgspec
import numpy as np

from schemas.policy import Detectors
from stream.core.nouns import Finding
from stream.detectors.registry import Registry
from stream.lab import bootstrap
from stream.lab.errors import LabError
from stream.lab.measures import Interval, poisson_interval
from stream.lab.recorded import Recorded
from stream.lab.sources import DAY_SECONDS

LEARNING_DAYS: Final = 7
"""Days before those that are counted."""

FEWEST_DAYS: Final = 7
"""Whole days that a period needs: fewer have no week to speak for."""

FEWEST_READINGS: Final = 2_000
"""Readings that the default detector learns from: a series with fewer in a copy is not watched."""

EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """Whole days in UTC: the first, as days since the epoch, and how many."""

    first: int
    days: int

    def __str__(self) -> str:
        last = self.first + self.days - 1
        return f"{_date(self.first)} to {_date(last)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one model raised in all copies together."""

    false_alarms: float
    months: float
    by_series: Mapping[str, int]

    @property
    def alarms(self) -> int:
        """All that was raised."""
        return sum(self.by_series.values())

    @property
    def rate(self) -> float:
        """False alarms in 30 days."""
        return self.alarms / self.months

    @property
    def interval(self) -> Interval:
        """Between what the rate lies, as far as chance in drawing the copies goes."""
        low, high = poisson_interval(self.alarms)
        return Interval(low / self.months, high / self.months)


def period_of(series: Sequence[Recorded], first: date | None, last: date | None) -> Period:
    """Give the whole days from *first* to *last* for which there are readings.

    Raises LabError where there are too few.
    """
    if not series:
        raise LabError("the log has no readings: no prediction in it has an output, a score or a feature")
    begin = min(float(one.times[0]) for one in series)
    end = max(float(one.times[-1]) for one in series)
    known_first, known_last = int(np.ceil(begin / DAY_SECONDS)), int(end // DAY_SECONDS) - 1
    start = known_first if first is None else max(known_first, (first - EPOCH).days)
    stop = known_last if last is None else min(known_last, (last - EPOCH).days)
    days = stop - start + 1
    if days < FEWEST_DAYS:
        raise LabError(
            f"{max(days, 0)} whole days are too few, {FEWEST_DAYS} are needed: the log has whole days from "
            f"{_date(known_first)} to {_date(known_last)} (UTC); give a longer log, or another --period"
        )
    return Period(first=start, days=days)


def measure(
    series: Sequence[Recorded],
    period: Period,
    detectors: Detectors,
    *,
    false_alarms: float,
    copies: int,
    days: int,
    seed: int,
) -> Measured:
    """Draw copies of *days* of one model's *series* and count what is raised in them; the seed makes them."""
    rng = np.random.default_rng(seed)
    raised: Counter[str] = Counter()
    for _ in range(copies):
        drawn = bootstrap.draw(rng, period.first, period.days, LEARNING_DAYS + days)
        counted_from = (drawn.first + LEARNING_DAYS) * DAY_SECONDS
        for name, time in _watch(series, drawn, detectors, false_alarms):
            raised[name] += time >= counted_from
    return Measured(
        false_alarms=false_alarms,
        months=copies * days / 30.0,
        by_series={name: count for name, count in raised.most_common() if count},
    )


def as_it_was(
    series: Sequence[Recorded], period: Period, detectors: Detectors, *, false_alarms: float
) -> list[tuple[str, date]]:
    """Watch the period itself, as it was; give what was raised in it, and when."""
    drawn = bootstrap.Draw(period.first, np.arange(period.first, period.first + period.days))
    return [
        (name, _date(int(time // DAY_SECONDS)))
        for name, time in _watch(series, drawn, detectors, false_alarms)
    ]


def unwatched(series: Sequence[Recorded], period: Period, days: int) -> list[str]:
    """Give the signals of which a copy has too few readings to be watched by the default detector."""
    begin, end = period.first * DAY_SECONDS, (period.first + period.days) * DAY_SECONDS
    few: list[str] = []
    for one in series:
        inside = np.count_nonzero((one.times >= begin) & (one.times < end))
        if inside / period.days * (LEARNING_DAYS + days) < FEWEST_READINGS:
            few.append(name_of(one))
    return few


def name_of(series: Recorded) -> str:
    """Give a series' signal, with its version and segment."""
    segment = f" [{series.spec.key.segment}]" if series.spec.key.segment else ""
    return f"{series.spec.key.signal} of {series.spec.key.version}{segment}"


def _watch(
    series: Sequence[Recorded], drawn: bootstrap.Draw, detectors: Detectors, false_alarms: float
) -> list[tuple[str, float]]:
    """Show a copy to new detectors; give the series and the time of all that begins an incident."""
    bank = Registry().bank(msgspec.structs.replace(detectors, false_alarms=false_alarms))
    where = {bank.add(only_rise=one.only_rise, spec=one.spec): place for place, one in enumerate(series)}
    slots = {place: slot for slot, place in where.items()}
    latest = [-np.inf] * len(series)
    raised: list[tuple[str, float]] = []
    for number in range(len(drawn.days)):
        parts = [bootstrap.day_of(one.values, one.times, drawn, number) for one in series]
        lengths = [len(values) for values, _ in parts]
        if not any(lengths):
            continue
        owners = np.repeat([slots[place] for place in range(len(series))], lengths)
        values, times = (np.concatenate(column) for column in zip(*parts, strict=True))
        for slot, finding in bank.update(owners, values, times):
            if not isinstance(finding, Finding):
                continue
            place, time = where[slot], float(times[finding.index])
            # Quiet says each thing once; others say it again while it lasts, and a day ends an incident.
            if finding.detector == "quiet" or time - latest[place] > DAY_SECONDS:
                raised.append((name_of(series[place]), time))
            latest[place] = time
    return raised


def _date(day: int) -> date:
    return EPOCH + timedelta(days=day)
