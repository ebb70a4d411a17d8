"""A weekly cycle of a distribution is learned, no cause for alarm then, and no cover for a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.detectors.quiet import Family, Pool, QuietBank, Spec

DAY = 86_400.0
PER_DAY = 1_440
MONDAY = 4 * DAY + 7_000 * DAY
USUAL = np.array((0.50, 0.30, 0.15, 0.05))
WEEKEND = np.array((0.25, 0.30, 0.15, 0.30))
OTHER = np.array((0.30, 0.20, 0.15, 0.35))

CATEGORY = Spec(family=Family.CATEGORY, pool=Pool.DRIFT, season=True)
NUMBER = Spec(family=Family.NUMBER, pool=Pool.DRIFT, season=True)


def traffic(seed: int, days: int, spec: Spec, *, changes_on: int = 1_000) -> tuple[Any, Any]:
    """Give values and times from a Monday on; from the day *changes_on* all days are like no other."""
    rng = np.random.default_rng([seed, 17])
    times = MONDAY + np.arange(days * PER_DAY) * (DAY / PER_DAY)
    day = ((times - MONDAY) // DAY).astype(int)
    shares = np.where((day % 7 >= 5)[:, None], WEEKEND, USUAL)
    shares = np.where((day >= changes_on)[:, None], OTHER, shares)
    values = (rng.random(len(times))[:, None] > shares.cumsum(1)[:, :-1]).sum(1).astype(np.float64)
    if spec.family is Family.NUMBER:
        values += rng.random(len(times))
    return values, times


def alarms(spec: Spec, values: NDArray[np.float64], times: NDArray[np.float64]) -> list[float]:
    """Give on which days it alarms, as numbers since the first."""
    bank = QuietBank()
    slot = bank.add(only_rise=False, spec=spec)
    found = bank.update(np.full(len(values), slot), values, times)
    return [float(times[one.finding.index] - times[0]) / DAY for one in found]


@pytest.mark.parametrize("spec", [CATEGORY, NUMBER])
def test_a_weekend_that_is_known_raises_nothing(spec: Spec) -> None:
    """The first one may, where it is as large a change as a fault: nobody can know better."""
    for seed in range(4):
        raised = alarms(spec, *traffic(seed, 42, spec))
        assert len(raised) <= 1
        assert all(5.0 <= day < 7.0 for day in raised)


@pytest.mark.parametrize("spec", [CATEGORY, NUMBER])
def test_without_a_season_weekends_raise_alarm_after_alarm(spec: Spec) -> None:
    """What the test above would be worth if the weekend were too small to be seen."""
    bare = Spec(family=spec.family, pool=spec.pool)
    assert sum(len(alarms(bare, *traffic(seed, 42, spec))) for seed in range(4)) >= 8


@pytest.mark.parametrize("spec", [CATEGORY, NUMBER])
def test_a_change_of_a_series_with_a_weekly_cycle_is_found_within_a_day(spec: Spec) -> None:
    for seed in range(4):
        raised = [day for day in alarms(spec, *traffic(seed, 42, spec, changes_on=28)) if day >= 7.0]
        assert 28.0 < raised[0] < 29.0


def test_a_change_in_the_first_week_is_found_where_it_is_large() -> None:
    for seed in range(4):
        raised = alarms(CATEGORY, *traffic(seed, 5, CATEGORY, changes_on=4))
        assert [4.0 < day < 5.0 for day in raised] == [True]
