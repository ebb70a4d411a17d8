"""What quiet takes for the new normal, and what it keeps of what it knew, when somebody accepts a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.alerts import Kind
from stream.core.nouns import Finding, Healed, SeriesKey, SeriesSpec, Stage, Standing
from stream.detectors.budgeted import HELD, Budgeted
from stream.detectors.quiet import QuietBank

Values = NDArray[np.float64]

BEGAN: Final = 1_700_000_000.0
STEP: Final = 60.0
DAY: Final = 86_400.0


class Series:
    """One series of a bank, and what was found in it."""

    def __init__(self, signal: str, kind: Kind, *, only_rise: bool) -> None:
        self.bank = Budgeted(QuietBank())
        spec = SeriesSpec(key=SeriesKey("m", "1", "", signal), kind=kind, only_rise=only_rise)
        self.slot = self.bank.add(only_rise=only_rise, spec=spec)
        self.only_rise = only_rise
        self.shown = 0
        self.found: list[Finding | Healed] = []

    def show(self, values: Values) -> Sequence[Finding | Healed]:
        times = BEGAN + STEP * np.arange(self.shown, self.shown + len(values), dtype=np.float64)
        self.shown += len(values)
        found = [one.finding for one in self.bank.update(np.full(len(values), self.slot), values, times)]
        self.found += found
        return found

    def restart(self) -> None:
        snapshot = self.bank.snapshot(self.slot)
        self.bank = Budgeted(QuietBank())
        self.slot = self.bank.restore(snapshot, only_rise=self.only_rise)
        assert self.bank.snapshot(self.slot) == snapshot


def errors(*parts: tuple[int, float], seed: int = 0) -> Values:
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(size) < p).astype(np.float64) for size, p in parts])


def an_error() -> Series:
    return Series("error", Kind.PERFORMANCE, only_rise=True)


def a_changed_error() -> Series:
    series = an_error()
    series.show(errors((20_000, 0.1), (3_000, 0.3)))
    assert len(series.found) == 1
    return series


def test_a_rate_begins_with_what_it_showed_since_it_changed() -> None:
    series = a_changed_error()
    before = series.bank.baseline(series.slot)
    (finding,) = series.found
    assert isinstance(finding, Finding)
    assert before is not None
    assert series.bank.accept(series.slot)
    after = series.bank.baseline(series.slot)
    assert after is not None
    assert after.digest != before.digest
    assert after.since == finding.window_start
    assert after.readings == pytest.approx((BEGAN + STEP * 23_000 - finding.window_start) / STEP, abs=64)
    explained = series.bank.explain(series.slot)
    assert explained.normal == pytest.approx(0.3, abs=0.03)
    assert explained.stage is Stage.LEARNING
    assert after.standing is Standing.LEARNING


def test_it_says_nothing_while_the_new_normal_lasts_and_finds_the_next_change() -> None:
    series = a_changed_error()
    series.bank.accept(series.slot)
    assert not series.show(errors((40_000, 0.3), seed=1))
    assert series.bank.explain(series.slot).normal == pytest.approx(0.3, abs=0.01)
    (found,) = series.show(errors((4_000, 0.45), seed=2))
    assert isinstance(found, Finding)
    assert found.expected == pytest.approx(0.3, abs=0.01)


def test_it_is_tested_again_once_it_is_as_old_and_as_large_as_a_baseline_has_to_be() -> None:
    series = a_changed_error()
    series.bank.accept(series.slot)
    baseline = series.bank.baseline(series.slot)
    assert baseline is not None
    assert baseline.since is not None
    left = int((baseline.since + 3 * DAY - BEGAN) / STEP) - series.shown
    series.show(errors((left - 64, 0.3), seed=1))
    assert series.bank.explain(series.slot).stage is Stage.LEARNING
    series.show(errors((128, 0.3), seed=3))
    assert series.bank.explain(series.slot).stage is Stage.WATCHING


def test_what_the_noise_was_known_to_be_is_kept_without_what_the_change_added() -> None:
    series = a_changed_error()
    columns = series.bank._quiet._engines[0].columns  # noqa: SLF001 - nobody else tells the noise
    place = series.bank._quiet._engines[0].specs.copy().popitem()[0]  # noqa: SLF001 - its only series
    known = columns.settled_rung_n[place].copy()
    assert known[0] < columns.rung_n[place, 0]
    assert columns.held_n[place].any()
    series.bank.accept(series.slot)
    assert (columns.rung_n[place] == known).all()
    assert not columns.held_n[place].any()


def test_a_restart_before_or_behind_changes_nothing() -> None:
    straight, restarted = a_changed_error(), a_changed_error()
    restarted.restart()
    for series in (straight, restarted):
        assert series.bank.accept(series.slot)
    restarted.restart()
    following = errors((30_000, 0.3), (4_000, 0.5), seed=1)
    assert straight.show(following) == restarted.show(following)
    assert straight.bank.snapshot(straight.slot) == restarted.bank.snapshot(restarted.slot)


def test_a_daily_pattern_is_kept_and_moved_to_the_new_level() -> None:
    rng = np.random.default_rng(5)
    series, place = an_error(), np.arange(80_000)
    daily = 0.08 * np.sin(2 * np.pi * (BEGAN + STEP * place) / DAY)
    level = np.where(place < 40_000, 0.15, 0.4)
    values = (rng.random(len(place)) < level + daily).astype(np.float64)
    assert [type(one) for one in series.show(values[:43_000])] == [Finding]
    assert series.bank.accept(series.slot)
    assert not series.show(values[43_000:])
    assert series.bank.explain(series.slot).normal == pytest.approx(0.4, abs=0.02)


def test_a_number_that_still_fills_its_cells_begins_with_what_it_showed() -> None:
    rng = np.random.default_rng(7)
    series = Series("feature:amount", Kind.DRIFT, only_rise=False)
    (_,) = series.show(np.concatenate((rng.normal(size=30_000), 0.5 + rng.normal(size=3_000))))
    assert series.bank.accept(series.slot)
    after = series.bank.baseline(series.slot)
    assert after is not None
    assert after.readings > 2_000
    assert not series.show(0.5 + rng.normal(size=30_000))


@pytest.mark.parametrize(
    ("signal", "kind", "only_rise", "scale"),
    [
        ("feature:amount", Kind.DRIFT, False, 1_000.0),
        ("error", Kind.PERFORMANCE, True, 50.0),
    ],
)
def test_what_no_longer_fits_its_cells_or_its_unit_is_learned_anew(
    signal: str, kind: Kind, *, only_rise: bool, scale: float
) -> None:
    rng = np.random.default_rng(9)
    series = Series(signal, kind, only_rise=only_rise)
    (_,) = series.show(np.abs(np.concatenate((rng.normal(size=20_000), scale * rng.normal(size=3_000)))))
    assert series.bank.accept(series.slot)
    assert series.bank.baseline(series.slot) is None
    assert (series.bank.explain(series.slot).stage, series.bank.explain(series.slot).share) == (
        Stage.LEARNING,
        None,
    )
    series.show(np.abs(scale * rng.normal(size=HELD + 3_000)))
    explained = series.bank.explain(series.slot)
    assert explained.share is not None
    assert explained.normal == pytest.approx(scale * 0.8, rel=0.1)


def test_a_constant_that_became_another_one_is_learned_anew() -> None:
    series = Series("score", Kind.DRIFT, only_rise=False)
    (_,) = series.show(np.concatenate((np.full(20_000, 0.5), np.full(3_000, 0.7))))
    assert series.bank.accept(series.slot)
    assert not series.show(np.full(30_000, 0.7))
    (found,) = series.show(np.full(3_000, 0.8))
    assert isinstance(found, Finding)


def test_without_a_change_there_is_nothing_to_accept() -> None:
    series = an_error()
    series.show(errors((100, 0.1)))
    assert not series.bank.accept(series.slot)
    series.show(errors((20_000, 0.1)))
    before = series.bank.snapshot(series.slot)
    assert not series.bank.accept(series.slot)
    assert series.bank.snapshot(series.slot) == before


def test_a_frozen_baseline_does_not_grow_until_there_is_another_one() -> None:
    series = an_error()
    series.show(errors((20_000, 0.1)))
    series.bank.freeze(series.slot)
    frozen = series.bank.baseline(series.slot)
    assert frozen is not None
    assert frozen.standing is Standing.FROZEN
    series.restart()
    series.show(errors((2_000, 0.1), seed=1))
    assert series.bank.baseline(series.slot) == frozen
    (_,) = series.show(errors((3_000, 0.3), seed=2))
    series.bank.accept(series.slot)
    series.show(errors((10_000, 0.3), seed=3))
    grown = series.bank.baseline(series.slot)
    assert grown is not None
    assert (grown.standing, grown.readings > 10_000) == (Standing.GROWING, True)


def test_a_series_that_is_learned_anew_gives_its_part_of_the_budget_back_until_it_is_known() -> None:
    bank = Budgeted(QuietBank())
    keys = [SeriesKey("m", version, "", "error") for version in ("1", "2")]
    slots = [bank.add(only_rise=True, spec=SeriesSpec(key=key, kind=Kind.PERFORMANCE)) for key in keys]
    times = BEGAN + STEP * np.arange(5_000 + HELD, dtype=np.float64)
    for seed, slot in enumerate(slots):
        values = errors((5_000, 0.1), seed=seed)
        bank.update(np.full(len(values), slot), values, times[: len(values)])
    assert bank.explain(slots[0]).share == pytest.approx(0.3)
    bank.relearn(slots[1])
    assert bank.explain(slots[0]).share == pytest.approx(0.6)
    values = errors((HELD, 0.1))
    bank.update(np.full(len(values), slots[1]), values, times[5_000:])
    assert bank.explain(slots[0]).share == pytest.approx(0.3)
