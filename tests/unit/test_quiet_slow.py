"""Changes that grow over days are found, whatever was learned of them; what gets worse is told again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.core.nouns import Finding
from stream.detectors.quiet import Family, Pool, QuietBank, Spec
from stream.detectors.quiet.records import DAY

PER_DAY = 1_440
BEGINS = 14
DAYS = 24
QUALITY = Spec(pool=Pool.QUALITY)
NUMBER = Spec(family=Family.NUMBER, pool=Pool.DRIFT)


def watch(values: NDArray[np.float64], spec: Spec) -> list[Finding]:
    bank = QuietBank()
    slot = bank.add(only_rise=not spec.has_cells, spec=spec)
    times = 1.7e9 + DAY / PER_DAY * np.arange(len(values), dtype=np.float64)
    return [one.finding for one in bank.update(np.full(len(values), slot), values, times)]


def grown(ramp_days: float) -> NDArray[np.float64]:
    """Give how much of a change is there that begins on day 14 and grows for so many days."""
    days = np.arange(DAYS * PER_DAY) / PER_DAY - BEGINS
    return np.asarray(np.clip(days / ramp_days, 0.0, 1.0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ramp_days", [1.0, 3.0, 7.0])
@pytest.mark.parametrize(("before", "after"), [(0.0, 0.05), (0.01, 0.11), (0.15, 0.24)])
def test_a_rate_that_grows_over_days_while_its_baseline_does_is_found(
    before: float, after: float, ramp_days: float, seed: int
) -> None:
    rng = np.random.default_rng([seed, 1])
    chance = before + (after - before) * grown(ramp_days)
    found = watch((rng.random(len(chance)) < chance).astype(np.float64), QUALITY)
    assert found
    assert all(one.index >= BEGINS * PER_DAY for one in found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ramp_days", [1.0, 3.0, 7.0])
def test_a_number_that_moves_over_days_while_its_baseline_grows_is_found(ramp_days: float, seed: int) -> None:
    rng = np.random.default_rng([seed, 2])
    moved = rng.normal(size=DAYS * PER_DAY) + 0.8 * grown(ramp_days)
    found = watch(moved, NUMBER)
    assert found
    assert all(one.index >= BEGINS * PER_DAY for one in found)


def test_the_first_readings_of_what_never_was_are_found_within_hours() -> None:
    rng = np.random.default_rng(11)
    chance = np.where(np.arange(DAYS * PER_DAY) < BEGINS * PER_DAY, 0.0, 0.05)
    first = watch((rng.random(len(chance)) < chance).astype(np.float64), QUALITY)[0]
    assert first.index < (BEGINS + 0.2) * PER_DAY


def rates(*parts: tuple[int, float]) -> NDArray[np.float64]:
    rng = np.random.default_rng(11)
    return np.concatenate([(rng.random(size) < p).astype(np.float64) for size, p in parts])


def test_what_goes_much_further_than_was_told_is_told_again() -> None:
    first, second = watch(rates((40_000, 0.15), (10_000, 0.22), (10_000, 0.40)), Spec())
    assert (first.is_worse, second.is_worse) == (False, True)
    assert 40_000 <= first.index < 50_000 <= second.index < 51_000
    assert second.expected == pytest.approx(first.expected, abs=0.005)
    assert second.observed - second.expected >= 2.0 * (first.observed - first.expected)


def test_a_number_that_goes_much_further_is_told_again() -> None:
    rng = np.random.default_rng(11)
    parts = [rng.normal(mean, 1.0, size) for mean, size in ((0.0, 40_000), (0.6, 8_000), (2.5, 4_000))]
    first, second = watch(np.concatenate(parts), NUMBER)
    assert (first.is_worse, second.is_worse) == (False, True)
    assert second.index >= 48_000


@pytest.mark.parametrize("after", [0.2, 0.3, 0.6, 1.0])
def test_a_change_at_once_is_told_once(after: float) -> None:
    (only,) = watch(rates((40_000, 0.1), (30_000, after)), Spec())
    assert not only.is_worse


def test_a_change_that_goes_on_a_little_is_told_once() -> None:
    assert len(watch(rates((40_000, 0.1), (10_000, 0.2), (10_000, 0.22), (10_000, 0.24)), Spec())) == 1
