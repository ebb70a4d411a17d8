"""The bank's arrays find what a plain loop over one series finds, alarm by alarm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.detectors.quiet import Family, Pool, QuietBank, Spec, bins
from tests.lab.quiet_reference import Series

STEP_SECONDS = 80.0
Values = NDArray[np.float64]


def rate(seed: int) -> Values:
    """Errors that rise for a while, twice, the second time for good."""
    rng = np.random.default_rng(seed)
    p = np.full(90_000, 0.15)
    p[20_000:26_000] = 0.24
    p[75_000:] = 0.20
    return (rng.random(len(p)) < p).astype(np.float64)


def worse(seed: int) -> Values:
    """Errors that rise, and later rise much further."""
    rng = np.random.default_rng(seed)
    p = np.full(60_000, 0.15)
    p[30_000:] = 0.21
    p[45_000:] = 0.4
    return (rng.random(len(p)) < p).astype(np.float64)


def bursts(seed: int) -> Values:
    """Errors of a wobbling world: dependent readings, heavy tails."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.gamma(2.0, 0.1, 900), 100)
    level[70_000:] += 0.2
    return (rng.random(len(level)) < np.minimum(level, 0.9)).astype(np.float64)


def loss(seed: int) -> Values:
    rng = np.random.default_rng(seed)
    return np.concatenate((rng.beta(2, 8, 40_000), rng.beta(3, 8, 20_000)))


def numbers(seed: int) -> Values:
    rng = np.random.default_rng(seed)
    parts = ((0, 40_000), (0.6, 8_000), (0, 30_000), (0.5, 8_000), (2.0, 4_000))
    return np.concatenate([rng.normal(mean, 1, size) for mean, size in parts])


def found(values: Values, spec: Spec, *, only_rise: bool) -> list[tuple[int, int, float]]:
    bank = QuietBank(false_alarms=3.0)
    slot = bank.add(only_rise=only_rise, spec=spec)
    times = STEP_SECONDS * np.arange(len(values), dtype=np.float64)
    return [
        (one.finding.index, one.finding.n, one.finding.statistic)
        for one in bank.update(np.full(len(values), slot), values, times)
    ]


def expected(values: Values, series: Series) -> list[tuple[int, int, float]]:
    skipped = bins.LEARNED_BLOCKS if series.cells else 0
    edges = bins.of_numbers(values[:512]).edges
    for start in range(32 * skipped, len(values) - 31, 32):
        block = values[start : start + 32]
        total = [float(np.count_nonzero((block[:, None] >= edges).sum(1) == k)) for k in range(series.cells)]
        series.block(total or [float(block.sum())], STEP_SECONDS * start, STEP_SECONDS * (start + 31))
    return [(32 * (skipped + alarm.block) - 1, alarm.n, alarm.statistic) for alarm in series.alarms]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("make", [rate, worse, bursts, loss], ids=lambda make: make.__name__)
def test_a_rate_is_judged_as_by_the_reference(
    make: Callable[[int], Values], seed: int, *, both: bool
) -> None:
    values = make(seed)
    family = Family.LOSS if make is loss else Family.RATE
    series = Series(share=0.6, false_alarms=3.0, loss=family is Family.LOSS, both=both)
    wanted = expected(values, series)
    assert wanted, "the data of this test change"
    _same(found(values, Spec(family=family), only_rise=not both), wanted)


@pytest.mark.parametrize("seed", range(3))
def test_a_number_is_judged_as_by_the_reference(seed: int) -> None:
    values = numbers(seed)
    wanted = expected(values, Series(share=0.15, false_alarms=3.0, cells=10))
    assert wanted, "the data of this test change"
    _same(found(values, Spec(family=Family.NUMBER, pool=Pool.DRIFT), only_rise=False), wanted)


def _same(got: list[tuple[int, int, float]], wanted: list[tuple[int, int, float]]) -> None:
    assert [one[:2] for one in got] == [one[:2] for one in wanted]
    assert [one[2] for one in got] == pytest.approx([one[2] for one in wanted], rel=1e-6)
