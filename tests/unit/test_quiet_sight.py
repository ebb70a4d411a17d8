"""What is told of a series' sight is true: the smallest change is found, and a lesser one is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.detectors.quiet import Family, Pool, QuietBank, Spec

PER_DAY = 1_440
LEAD = 50_000
RUNS = 20

ERROR = Spec(account="m")
MISSING = Spec(pool=Pool.QUALITY, account="m")
NUMBER = Spec(family=Family.NUMBER, pool=Pool.DRIFT, account="m")


def times(start: int, n: int) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = (start + np.arange(n, dtype=np.float64)) * (86_400.0 / PER_DAY)
    return seconds


def learned(spec: Spec, values: NDArray[np.float64]) -> tuple[QuietBank, int]:
    bank = QuietBank()
    slot = bank.add(only_rise=not spec.has_cells, spec=spec)
    bank.update(np.full(len(values), slot), values, times(0, len(values)))
    assert not bank.is_open(slot)
    return bank, slot


def found_share(bank: QuietBank, slot: int, runs: NDArray[Any]) -> float:
    """Give the share of *runs*, shape (runs, n), in which the series of *slot* would alarm."""
    snapshot = bank.snapshot(slot)
    found = 0
    for run in runs:
        own = QuietBank()
        place = own.restore(snapshot, only_rise=not slot & 1)
        found += bool(own.update(np.full(len(run), place), run.astype(np.float64), times(LEAD, len(run))))
    return found / len(runs)


@pytest.mark.parametrize(("spec", "rate"), [(ERROR, 0.02), (ERROR, 0.1), (ERROR, 0.3), (MISSING, 0.02)])
def test_of_changes_to_the_level_that_is_named_half_or_more_are_found_in_a_day(
    spec: Spec, rate: float
) -> None:
    named, lesser = [], []
    for seed in range(3):
        rng = np.random.default_rng([seed, 41])
        bank, slot = learned(spec, (rng.random(LEAD) < rate).astype(np.float64))
        change = bank.smallest(slot, bank.sight(slot).per_day)
        assert change is not None
        assert change.threshold > 2.0
        runs = rng.random((RUNS, PER_DAY))
        half_way = 0.5 * (rate + change.level)
        named.append(found_share(bank, slot, runs < change.level))
        lesser.append(found_share(bank, slot, runs < half_way))
    assert 0.4 < np.mean(named) < 0.95
    assert np.mean(lesser) < 0.2


def test_a_number_is_found_to_move_as_far_as_is_named_and_not_half_as_far() -> None:
    rng = np.random.default_rng(42)
    bank, slot = learned(NUMBER, rng.standard_normal(LEAD))
    stands = bank.sight(slot)
    change = bank.smallest(slot, stands.per_day)
    assert change is not None
    away = np.sqrt(change.level) * stands.spread
    noise = rng.standard_normal((RUNS, PER_DAY))
    assert found_share(bank, slot, noise + away) > 0.5
    assert found_share(bank, slot, noise + 0.5 * away) < 0.3


def test_no_readings_show_nothing_and_more_show_no_less() -> None:
    rng = np.random.default_rng(43)
    bank, slot = learned(ERROR, (rng.random(LEAD) < 0.1).astype(np.float64))
    assert bank.smallest(slot, 10.0) is None
    changes = [bank.smallest(slot, readings) for readings in (500.0, 2_000.0, 10_000.0, 50_000.0)]
    levels = [change.level for change in changes if change is not None]
    assert len(levels) == 4
    assert levels == sorted(levels, reverse=True)
