"""Quiet spends no more false alarms than declared; `python -m tests.lab.quiet_runs` measures it at length."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lab.quiet_runs import STATIONARY, cusum_level, delays, false_alarms


@pytest.mark.parametrize("name", ["error .2", "errors of AR(1) .5", "daily season", "normal", "AR(1) .5"])
def test_what_does_not_change_alarms_no_more_than_declared(name: str) -> None:
    """Eight days of which five are watched: fewer than declared for all of them, by chance and by design."""
    got = false_alarms(STATIONARY[name], runs=40, days=8.0, budget=6.0)
    assert got.raised <= 1.1 * got.declared


def test_a_rise_is_found_nearly_as_soon_as_by_an_oracle() -> None:
    late = delays(0.2, 0.3, runs=40, at=30_000)
    assert late.missed == 0
    assert np.median(late.quiet) <= 1.6 * np.median(late.oracle)


def test_the_oracle_alarms_as_often_as_it_is_told() -> None:
    rng = np.random.default_rng(0)
    level = cusum_level(0.2, 0.4, 2_000.0)
    lengths = []
    for _ in range(400):
        total, length = 0.0, 0
        for one in rng.random(40_000) < 0.2:
            total = max(0.0, total + (np.log(2.0) if one else np.log(0.75)))
            length += 1
            if total >= level:
                break
        lengths.append(length)
    assert np.mean(lengths) == pytest.approx(2_000.0, rel=0.15)
