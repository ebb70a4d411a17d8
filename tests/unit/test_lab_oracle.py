"""The oracle alarms as often as it is told, by published tables and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from stream.lab import oracle
from stream.lab.changes import Step

UNIT = Step((0.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize(("threshold", "run_length"), [(4.0, 168.0), (5.0, 465.0)])
def test_a_shift_of_one_sd_has_the_run_lengths_of_the_textbook(threshold: float, run_length: float) -> None:
    """Montgomery, Introduction to Statistical Quality Control, table 9.3: k = 1/2, one side doubled."""
    one_sided = 2.0 * run_length
    assert oracle.level(UNIT, one_sided) == pytest.approx(threshold, abs=0.02)


@pytest.mark.parametrize("step", [Step(0.2, 0.4), Step((0.0, 1.0), (0.0, 1.5))], ids=["rate", "spread"])
def test_the_mean_time_between_false_alarms_is_what_was_asked_for(step: Step) -> None:
    rng = np.random.default_rng(0)
    shape = (400, 6_000)
    before = step.before
    values = (
        (rng.random(shape) < before).astype(np.float64)
        if isinstance(before, float)
        else rng.standard_normal(shape)
    )
    lengths = oracle.delays(step, values, oracle.level(step, 500.0))
    assert np.isfinite(lengths).all()
    assert lengths.mean() == pytest.approx(500.0, rel=0.15)


def test_it_alarms_where_the_ratios_add_up_to_the_threshold() -> None:
    # Each reading of 1 is worth .5: from the third on the sum since the lowest point is 1.5.
    values = np.array([[-3.0, 1.0, 1.0, 1.0, 1.0]])
    assert oracle.delays(UNIT, values, 1.5).tolist() == [4.0]
    assert oracle.delays(UNIT, values, 9.0).tolist() == [np.inf]


def test_a_change_of_both_mean_and_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="mean or of the spread"):
        oracle.level(Step((0.0, 1.0), (1.0, 2.0)), 100.0)
