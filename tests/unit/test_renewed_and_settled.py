"""Baselines that settle, and are accepted, frozen or taken over: tests know the one there is, no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.core.nouns import Finding, Healed, SeriesKey, Stage, Standing
from stream.detectors.quiet.records import AGES, KEPT_TWICE, Columns
from tests.unit.test_renewal import BEGAN, DAY, STEP, Series, an_error, errors

Values = NDArray[np.float64]

PER_DAY: Final = int(DAY / STEP)
CUTS: Final = (31, 1_000, 4_097)


def columns_of(series: Series, *, cells: bool = False) -> Columns:
    return series.bank._quiet._engines[cells].columns  # noqa: SLF001 - nobody else tells what settled


def kept_twice(series: Series, age: str) -> list[Any]:
    columns = columns_of(series)
    return [getattr(columns, f"{age}_{name}" if age else name)[0].tolist() for name in KEPT_TWICE]


def grown(days: int, ramp: tuple[float, float], rates: tuple[float, float], seed: int = 0) -> Values:
    """Give errors whose rate goes from one of *rates* to the other between two days."""
    day = np.arange(days * PER_DAY) / PER_DAY
    chance = rates[0] + (rates[1] - rates[0]) * np.clip((day - ramp[0]) / (ramp[1] - ramp[0]), 0.0, 1.0)
    return (np.random.default_rng(seed).random(len(day)) < chance).astype(np.float64)


def a_slow_error(seed: int = 0) -> Series:
    """Give an error that rose from day 14 to day 17, and was told."""
    series = an_error()
    series.show(grown(20, (14.0, 17.0), (0.15, 0.3), seed))
    assert series.bank.explain(series.slot).stage is Stage.CHANGED
    return series


def test_nothing_of_the_baseline_before_is_settled_when_a_change_is_accepted() -> None:
    series = a_slow_error()
    columns = columns_of(series)
    assert columns.turn[0]
    assert series.bank.accept(series.slot)
    for age in AGES:
        assert not any(np.any(value) for value in kept_twice(series, age))
    assert (columns.turn[0], columns.told[0], columns.told_at[0]) == (0.0, 0.0, 0)


def test_the_first_turn_behind_it_settles_the_new_baseline_and_its_noise() -> None:
    series = a_slow_error()
    series.bank.accept(series.slot)
    columns = columns_of(series)
    series.show(errors((3 * PER_DAY, 0.3), seed=7))
    assert columns.turn[0]
    assert columns.settled_base[0, 0] / columns.settled_base_n[0] == pytest.approx(0.3, abs=0.03)
    assert columns.settled_base_n[0] <= columns.base_n[0]
    assert columns.turn[0] > columns.latest[0]
    assert series.bank.explain(series.slot).stage is Stage.WATCHING


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ramp_days", [1.0, 3.0, 6.0])
def test_a_change_that_grew_and_is_accepted_is_said_no_more_and_the_next_one_is(
    ramp_days: float, seed: int
) -> None:
    series = an_error()
    series.show(grown(22, (14.0, 14.0 + ramp_days), (0.15, 0.3), seed))
    assert series.bank.accept(series.slot)
    assert not series.show(errors((14 * PER_DAY, 0.3), seed=seed + 10))
    found, *_ = series.show(errors((2 * PER_DAY, 0.45), seed=seed + 20))
    assert isinstance(found, Finding)
    assert not found.is_worse
    assert found.expected == pytest.approx(0.3, abs=0.02)


def test_what_was_told_again_as_much_worse_is_accepted_from_there_on() -> None:
    series = an_error()
    *_, worse = series.show(errors((30_000, 0.1), (8_000, 0.2), (4_000, 0.6)))
    assert isinstance(worse, Finding)
    assert worse.is_worse
    assert series.bank.accept(series.slot)
    after = series.bank.baseline(series.slot)
    assert after is not None
    assert after.since == worse.window_start
    assert series.bank.explain(series.slot).normal == pytest.approx(0.6, abs=0.02)
    assert not series.show(errors((20_000, 0.6), seed=1))


def test_a_further_change_gets_worse_as_any_other_does() -> None:
    series = an_error()
    series.show(errors((30_000, 0.1), (4_000, 0.2)))
    assert series.bank.accept(series.slot)
    assert not series.show(errors((20_000, 0.2), seed=1))
    found = series.show(errors((8_000, 0.3), (4_000, 0.6), seed=2))
    assert [isinstance(one, Finding) and one.is_worse for one in found] == [False, True]
    assert all(isinstance(one, Finding) and abs(one.expected - 0.2) < 0.02 for one in found)


def test_a_change_that_is_over_cannot_be_accepted() -> None:
    series = an_error()
    said = series.show(errors((60_000, 0.1), (2_000, 0.3), (10_000, 0.1)))
    assert [type(one) for one in said] == [Finding, Healed]
    inner = int(series.bank._inner[series.slot])  # noqa: SLF001 - the bank above asks first
    assert not series.bank._quiet.accept(inner)  # noqa: SLF001
    assert not series.bank.accept(series.slot)


def test_of_a_frozen_baseline_settles_what_had_joined_and_nothing_else() -> None:
    series = an_error()
    series.show(errors((20_000, 0.1)))
    series.bank.freeze(series.slot)
    columns = columns_of(series)
    frozen = (columns.base_n[0], columns.base[0, 0], columns.joined[0])
    assert columns.settled_base_n[0] < frozen[0]
    series.show(errors((30 * PER_DAY, 0.1), seed=1))
    for prefix in ("", "coming_", "settled_"):
        kept = (getattr(columns, f"{prefix}{name}")[0] for name in ("base_n", "base", "joined"))
        assert tuple(float(np.ravel(one)[0]) for one in kept) == frozen
    (found, *_) = series.show(errors((3_000, 0.2), seed=2))
    assert isinstance(found, Finding)
    assert found.expected == pytest.approx(frozen[1] / frozen[0])


def test_a_slow_change_of_a_frozen_baseline_is_found() -> None:
    series = an_error()
    series.show(errors((20_000, 0.15)))
    series.bank.freeze(series.slot)
    found = series.show(grown(20, (3.0, 10.0), (0.15, 0.24), 3))
    assert [isinstance(one, Finding) for one in found][:1] == [True]
    frozen = series.bank.baseline(series.slot)
    assert frozen is not None
    assert frozen.standing is Standing.FROZEN


def test_what_is_published_is_settled_where_it_is_taken_over() -> None:
    old = an_error()
    old.show(errors((30_000, 0.1)))
    baseline = old.bank.published(old.slot, SeriesKey("m", "1", "", "error"))
    assert baseline is not None
    new = an_error()
    assert new.bank.take(new.slot, baseline)
    new.shown = 30_000
    new.show(errors((1, 0.0)))
    assert kept_twice(new, "settled") == kept_twice(new, "coming") == kept_twice(new, "")
    assert columns_of(new).settled_base[0, 0] == baseline.sums[0]
    assert columns_of(new).turn[0] > BEGAN + STEP * 30_000
    (found, *_) = new.show(errors((1_000, 0.25), seed=1))
    assert isinstance(found, Finding)


def _accepted(series: Series) -> None:
    assert series.bank.accept(series.slot)


def _frozen(series: Series) -> None:
    series.bank.freeze(series.slot)


STORIES: Final[dict[str, tuple[Values, Callable[[Series], None], Values]]] = {
    "accepted after a slow change": (
        grown(20, (14.0, 17.0), (0.15, 0.3)), _accepted, errors((8_000, 0.3), (4_000, 0.45), seed=1)
    ),
    "accepted after it got worse": (
        errors((20_000, 0.1), (4_000, 0.2), (2_000, 0.6)), _accepted, errors((8_000, 0.6), (3_000, 0.9))
    ),
    "frozen while it grows": (
        errors((20_000, 0.1)), _frozen, errors((12_000, 0.1), (3_000, 0.2), (3_000, 0.5), seed=1)
    ),
    "frozen in an incident": (
        errors((20_000, 0.1), (1_000, 0.3)), _frozen, errors((2_000, 0.3), (9_000, 0.1), (3_000, 0.4), seed=1)
    ),
}  # fmt: skip


def _told(story: str, cut: int, *, restarts: bool) -> tuple[Sequence[object], bytes]:
    before, done, after = STORIES[story]
    series = an_error()
    for values in (before, after):
        for start in range(0, len(values), cut):
            series.show(values[start : start + cut])
            if restarts:
                series.restart()
        if values is before:
            done(series)
    told = [replace(one, index=0) for one in series.found]  # the place in a batch
    return told, series.bank.snapshot(series.slot)


@pytest.mark.parametrize("story", STORIES)
def test_neither_cuts_nor_restarts_in_the_middle_change_anything(story: str) -> None:
    whole = _told(story, 1_000_000, restarts=False)
    assert len(whole[0]) >= 2
    for cut in CUTS:
        assert _told(story, cut, restarts=True) == whole
