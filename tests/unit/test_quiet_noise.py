"""The noise of a scale: what the scales below foretell, and what its own runs say against it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.detectors.quiet import cells, noise
from stream.detectors.quiet.records import RUNGS, Columns, layout

Row = NDArray[np.float64]

SIZES: Row = np.asarray(32.0 * 2.0 ** np.arange(RUNGS), np.float64)
RUNS: Row = np.asarray(128_000.0 / SIZES, np.float64)
STILL = np.zeros((), np.bool_)


def inflation(noisy: Row, runs: Row = RUNS, *, of_cells: bool = False) -> tuple[Row, Row]:
    """Work out the noise where the runs of each scale are *noisy* on average."""
    return noise.inflation(runs, runs * noisy, STILL, cells=of_cells)


def test_a_few_quiet_runs_do_not_hide_the_noise_that_the_scales_below_show() -> None:
    noisy = np.full(RUNGS, 2.0)
    noisy[7] = 1.2  # 31 runs
    borrowed, _ = inflation(noisy)
    alone, _ = inflation(noisy, of_cells=True)
    assert borrowed[8] > 1.8
    assert alone[8] < 1.5


@pytest.mark.parametrize("below", [1.0, 2.0])
def test_where_a_scale_is_clearly_louder_its_own_runs_decide(below: float) -> None:
    noisy = np.full(RUNGS, below)
    noisy[6:] = 3.0 * below  # 62 runs, and fewer
    found, known = inflation(noisy)
    assert found[7] > 2.6 * below
    assert known[6] == noise.PRIOR + RUNS[6]


def test_a_scale_without_runs_goes_on_as_the_scales_below_it() -> None:
    """The noise of readings that depend for a while: n v = n v_inf - c."""
    true = 10.0 - 100.0 / SIZES
    found, _ = inflation(true, np.where(np.arange(RUNGS) < 4, RUNS, 0.0))
    assert found[1:] == pytest.approx(true, rel=0.03)


def test_half_of_what_is_known_below_is_known_at_a_scale() -> None:
    _, known = inflation(np.full(RUNGS, 2.0))
    assert known[1:] == pytest.approx(np.maximum(noise.PRIOR, known[:-1] / 2.0) + RUNS[1:])


def ladder(noisy: float, uneven: float, runs: float = 1_000.0) -> noise.Ladder:
    """Give a ladder of cells whose q vary so many times as much as those of independent readings."""
    n = np.full(RUNGS, runs)
    variation = uneven * 2.0 / 9.0
    return noise.Ladder(
        n, n * noisy, n * (1.0 + variation) * noisy**2, np.full(RUNGS + 1, noisy), np.full(RUNGS, runs)
    )


def test_a_little_unevenness_counts_only_where_readings_lean_on_each_other() -> None:
    assert cells.freedoms(ladder(1.0, 1.03), 3, 10)[0] == 9.0
    assert cells.freedoms(ladder(1.3, 1.03), 3, 10)[0] < 7.0


def columns_of_cells() -> Columns:
    columns = Columns(layout(width=10, kept=cells.KEPT, cells=True), 1)
    columns.clear(0)
    columns.cells[0], columns.psi[0] = 10, 0.1
    columns.base_n[0], columns.base[0] = 50_000.0, 5_000.0
    return columns


def test_what_long_windows_of_independent_numbers_cannot_spend_the_short_ones_have() -> None:
    """Of 512 independent readings chance never makes an index of .1; of as many that depend it does."""
    independent, dependent = (
        cells.spendable(columns_of_cells(), ladder(noisy, 1.0), 0, 1e-7) for noisy in (1.0, 4.0)
    )
    assert independent == pytest.approx(1.0 / 3.0)
    assert independent < dependent < 1.0


def test_the_statistic_of_cells_lies_between_pearsons_and_the_deviance() -> None:
    other, m = np.full(10, 4_000.0), 40_000.0
    for fewest, sign in ((0.0, 1.0), (40.0, -1.0)):
        one = np.full(10, 12.0)
        one[0] = fewest
        n = float(one.sum())
        share = (one + other) / (n + m)
        both = ((one, n), (other, m))
        pearson = sum(float(((x - k * share) ** 2 / (k * share)).sum()) for x, k in both)
        deviance = 2.0 * sum(float((x * np.log(np.maximum(x, 1e-9) / (k * share))).sum()) for x, k in both)
        own = cells.divergence(*both)
        assert sign * pearson < sign * own < sign * deviance
    assert cells.divergence((one, n), (3.0 * one, 3.0 * n)) == pytest.approx(0.0, abs=1e-9)
