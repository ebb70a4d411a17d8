"""`driftline tune` draws copies of a quiet period and says what a budget would have bought on it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.policy import Detectors
from stream.cli import main
from stream.config import PolicyBook
from stream.core.nouns import SeriesKey, SeriesSpec
from stream.lab import advice, bootstrap, tune
from stream.lab.errors import LabError
from stream.lab.injected import log
from stream.lab.recorded import Recorded, record
from stream.lab.sources import DAY_SECONDS

PER_DAY = 1_000


def series(
    values: Sequence[float] | NDArray[np.bool_], *, signal: str = "error", kind: Kind = Kind.PERFORMANCE
) -> Recorded:
    times = (np.arange(len(values)) + 0.5) * DAY_SECONDS / PER_DAY
    key = SeriesKey("m", "1", "", signal)
    spec = SeriesSpec(key=key, kind=kind, only_rise=True)
    return Recorded(spec=spec, only_rise=True, values=np.array(values, np.float64), times=times)


def steady(days: int, rate: float = 0.2) -> Recorded:
    return series(np.random.default_rng(0).random(days * PER_DAY) < rate)


def test_a_copy_keeps_the_weekday_and_its_blocks_are_days_in_a_row() -> None:
    drawn = bootstrap.draw(np.random.default_rng(1), first=100, period=28, length=70)
    assert len(drawn.days) == 70
    assert set(drawn.days.tolist()) <= set(range(100, 128))
    assert all((shown - 100) % 7 == number % 7 for number, shown in enumerate(drawn.days.tolist()))
    follows = np.count_nonzero(np.diff(drawn.days) == 1)
    assert follows >= 70 * (1 - 1 / bootstrap.block_days(28)) - 5


def test_a_period_shorter_than_two_weeks_mixes_weekdays() -> None:
    assert not bootstrap.keeps_weekdays(13)
    drawn = bootstrap.draw(np.random.default_rng(1), first=0, period=8, length=50)
    assert any(shown % 7 != number % 7 for number, shown in enumerate(drawn.days.tolist()))


def test_a_day_that_is_drawn_keeps_its_time_of_day() -> None:
    one = steady(10)
    drawn = bootstrap.Draw(0, np.array([4, 2]))
    values, times = bootstrap.day_of(one.values, one.times, drawn, 1)
    assert values.tolist() == one.values[2 * PER_DAY : 3 * PER_DAY].tolist()
    assert times == pytest.approx(one.times[2 * PER_DAY : 3 * PER_DAY] - DAY_SECONDS)


def test_every_series_of_a_log_is_recorded_under_its_name() -> None:
    lines = islice(log(None, "abrupt", 0), 4_000)
    recorded = record(lines, PolicyBook(default=PolicyBook().default), max_models=10)
    names = {one.spec.key.signal for one in recorded}
    assert {"error", "score", "output", "feature:amount", "feature:age", "missing:age"} <= names
    error = next(one for one in recorded if one.spec.key.signal == "error")
    assert error.spec.kind is Kind.PERFORMANCE
    assert set(error.values.tolist()) == {0.0, 1.0}
    assert len(error.values) == len(error.times) == 1_985


def test_the_same_seed_measures_the_same_and_a_larger_budget_no_less() -> None:
    own = [steady(14)]
    period = tune.Period(first=0, days=14)

    def measured(budget: float) -> tune.Measured:
        return tune.measure(own, period, Detectors(), false_alarms=budget, copies=3, days=10, seed=5)

    assert measured(30.0) == measured(30.0)
    assert measured(0.01).alarms <= measured(300.0).alarms
    assert measured(1.0).months == 1.0


def test_what_the_period_itself_raises_is_told_with_its_day() -> None:
    rng = np.random.default_rng(2)
    rates = np.repeat((0.1, 0.5), (10 * PER_DAY, 4 * PER_DAY))
    own = [series(rng.random(len(rates)) < rates)]
    raised = tune.as_it_was(own, tune.Period(first=0, days=14), Detectors(), false_alarms=0.3)
    assert [(name, day.isoformat()) for name, day in raised] == [("error of 1", "1970-01-11")]


def test_a_log_that_is_too_short_says_how_long_it_is() -> None:
    with pytest.raises(LabError, match=r"4 whole days are too few, 7 are needed.*1970-01-02 to 1970-01-05"):
        tune.period_of([series([0.0] * (6 * PER_DAY - 1))], None, None)


def test_only_whole_days_count_and_a_period_bounds_them() -> None:
    own = [steady(20)]
    assert tune.period_of(own, None, None) == tune.Period(first=1, days=18)
    bounded = tune.period_of(own, tune.EPOCH.replace(day=5), tune.EPOCH.replace(day=14))
    assert bounded == tune.Period(first=4, days=10)


class Trial(advice.Trial):
    """Raises as many alarms as it is told, for each budget."""

    def __init__(self, alarms: dict[float, dict[str, int]], itself: list[str]) -> None:
        one = steady(14)
        super().__init__(
            [one, series([0.0], signal="score", kind=Kind.DRIFT)],
            tune.Period(first=0, days=14),
            Detectors(),
            copies=10,
            days=30,
            seed=0,
        )
        self.alarms, self.itself = alarms, itself

    def measure(self, budget: float) -> tune.Measured:
        return tune.Measured(false_alarms=budget, months=10.0, by_series=self.alarms[budget])

    def as_it_was(self, _budget: float) -> list[str]:
        return self.itself


def said(trial: Trial, budget: float) -> list[str]:
    return [line.strip() for line in advice.advise("m", trial, budget)]


def test_nothing_is_to_do_where_no_more_is_raised_than_declared() -> None:
    assert said(Trial({0.5: {"error of 1": 3}}, []), 0.5)[-1].startswith("to do: nothing, no more")


def test_a_difference_that_may_be_chance_is_called_so() -> None:
    assert "may be chance" in said(Trial({0.5: {"error of 1": 7}}, []), 0.5)[-1]


def test_a_budget_that_would_have_kept_it_is_named_and_so_is_who_raises_most() -> None:
    trial = Trial(
        {1.0: {"score of 1": 30, "error of 1": 2}, 0.5: {"score of 1": 14}, 0.25: {"score of 1": 9}}, []
    )
    lines = said(trial, 1.0)
    assert "to do: score of 1 raises more than half: turn its signal off in the policy" in "\n".join(lines)
    assert lines[-1].startswith("to do: false_alarms = 0.25 would have kept it: 0.9 in 30 days")


def test_a_period_that_was_not_quiet_is_doubted_first() -> None:
    alarms = {1.0 / 2**power: {"error of 1": 90} for power in range(5)}
    lines = said(Trial(alarms, ["error of 1 on 1970-01-05"]), 1.0)
    assert "the period itself raises 1: error of 1 on 1970-01-05" in lines
    assert any("choose another --period" in line for line in lines)
    assert "no budget down to 0.0625 keeps it" in lines[-1]


def test_the_command_says_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = tmp_path / "short.jsonl"
    short.write_bytes(b"\n".join(islice(log(None, "abrupt", 0), 3_000)))
    assert main(["tune", str(short)]) == 1
    assert "whole days are too few" in capsys.readouterr().err
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    assert main(["tune", str(empty)]) == 1
    assert "no prediction with an output" in capsys.readouterr().err
    assert main(["tune", str(tmp_path / "none")]) == 2
    assert main(["tune", str(short), "--period", "2026-01-05", "2026-01-02"]) == 1
    assert "ends before it begins" in capsys.readouterr().err
