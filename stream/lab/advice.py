"""What `driftline tune` says: declared against measured for each model, who raises most, what to change."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from schemas.alerts import Kind
from schemas.policy import Detectors
from stream.config import Settings, load_settings
from stream.lab import bootstrap, tune
from stream.lab.errors import LabError
from stream.lab.recorded import Recorded, record
from stream.replay import lines
from stream.wiring import build_policies

HALVINGS = 4
"""How often a smaller budget is tried: down to a sixteenth."""

MOST_NAMED = 5


def command(settings: Settings, options: argparse.Namespace) -> int:
    """Run `driftline tune`; raises LabError where the log does not suffice, OSError where it is not read."""
    if options.policy:
        settings = load_settings({**os.environ, "DRIFTLINE_POLICY_FILE": options.policy}, options.config)
    policies = build_policies(settings)
    first, last = options.period or (None, None)
    if first is not None and last is not None and last < first:
        raise LabError(f"the period ends before it begins: {first} to {last}")
    series = record(lines(options.files), policies, max_models=settings.max_models)
    if not series:
        raise LabError(f"{', '.join(options.files)}: no prediction with an output, a score or a feature")
    for model in sorted({one.spec.key.model for one in series}):
        own = [one for one in series if one.spec.key.model == model]
        detectors = policies.of(model).detectors
        budget = options.false_alarms or detectors.false_alarms
        period = tune.period_of(own, first, last)
        trial = Trial(
            own, period, detectors, copies=options.copies, days=round(options.days), seed=options.seed
        )
        for line in advise(model, trial, budget):
            sys.stdout.write(f"{line}\n")
    return 0


class Trial:
    """One model's series, and how they are drawn: measures any budget on the same copies."""

    def __init__(
        self,
        series: Sequence[Recorded],
        period: tune.Period,
        detectors: Detectors,
        *,
        copies: int,
        days: int,
        seed: int,
    ) -> None:
        self.series = series
        self.period = period
        self.copies = copies
        self.days = days
        self._detectors = detectors
        self._seed = seed

    def measure(self, budget: float) -> tune.Measured:
        """Count what is raised with so many false alarms allowed."""
        return tune.measure(
            self.series,
            self.period,
            self._detectors,
            false_alarms=budget,
            copies=self.copies,
            days=self.days,
            seed=self._seed,
        )

    def as_it_was(self, budget: float) -> list[str]:
        """Say what the period itself raises."""
        raised = tune.as_it_was(self.series, self.period, self._detectors, false_alarms=budget)
        return [f"{name} on {day}" for name, day in raised]


def advise(model: str, trial: Trial, budget: float) -> Iterator[str]:
    """Say what was measured and what follows from it, line by line."""
    period, block = trial.period, bootstrap.block_days(trial.period.days)
    weekdays = "each weekday from its own" if bootstrap.keeps_weekdays(period.days) else "weekdays mixed"
    yield f"{model}: {len(trial.series)} series, {period.days} days, {period} (UTC)"
    yield f"  drawn: {trial.copies} copies of {trial.days} days, in blocks of {block} days, {weekdays}"
    if not any(one.spec.kind is Kind.PERFORMANCE for one in trial.series):
        yield "  no labels: nothing is measured of errors, which have the larger part of the budget"
    few = tune.unwatched(trial.series, period, trial.days)
    if few:
        yield f"  too few readings to be watched, in {len(few)} series: {_some(few)}"
    measured = trial.measure(budget)
    yield f"  declared: {budget:g} false alarms in 30 days"
    yield f"  measured: {_rate(measured)}"
    if measured.alarms:
        named = [f"{name} {count}" for name, count in measured.by_series.items()]
        yield f"  raised by: {_some(named)}"
    itself = trial.as_it_was(budget)
    if itself:
        yield f"  the period itself raises {len(itself)}: {_some(itself)}"
    yield from _what_to_do(trial, budget, measured, is_quiet=not itself)


def _what_to_do(trial: Trial, budget: float, measured: tune.Measured, *, is_quiet: bool) -> Iterator[str]:
    if measured.rate <= budget:
        yield "  to do: nothing, no more is raised than declared"
        return
    if measured.interval.low <= budget:
        yield "  to do: nothing for certain, the difference may be chance; --copies 100 tells more"
        return
    if not is_quiet:
        yield "  to do: look first at what the period itself raises; if it is real, choose another --period"
    name, count = next(iter(measured.by_series.items()))
    if count > measured.alarms / 2 and len(trial.series) > 1:
        yield f"  to do: {name} raises more than half: turn its signal off in the policy if nobody acts on it"
    smaller = budget
    for _ in range(HALVINGS):
        smaller /= 2.0
        tried = trial.measure(smaller)
        if tried.rate <= budget:
            yield f"  to do: false_alarms = {smaller:g} would have kept it: {_rate(tried)}"
            return
    yield (
        f"  to do: no budget down to {smaller:g} keeps it: these alarms are not chance. Choose a quieter "
        "period, or leave out the series above"
    )


def _rate(measured: tune.Measured) -> str:
    low, high = measured.interval
    return f"{measured.rate:.2g} in 30 days ({low:.2g} to {high:.2g}, 95 %; {measured.alarms} in all copies)"


def _some(names: Sequence[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
