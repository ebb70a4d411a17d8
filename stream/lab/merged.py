"""Results of many jobs to the rows of the report: one for each experiment, stream and detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stream.lab.job import Job, Result
from stream.lab.measures import Interval, poisson_interval

Results = Mapping[Job, Result]


class FalseAlarms(NamedTuple):
    """What a detector raised on a stationary stream, over all jobs."""

    stream: str
    detector: str
    months: float
    declared: float | None
    alarms: int
    episodes: int
    open_share: float
    by_series: Mapping[str, int]

    @property
    def interval(self) -> Interval:
        """Between what the expected number of alarms lies."""
        return poisson_interval(self.alarms)

    @property
    def ratio(self) -> float | None:
        """Measured over declared, where something is declared."""
        return self.alarms / self.declared if self.declared else None

    @property
    def per_month(self) -> float:
        """False alarms of a model in 30 days."""
        return self.alarms / self.months


class Delays(NamedTuple):
    """How late a detector found an abrupt change, over all jobs; a delay of None never came."""

    stream: str
    detector: str
    delays: Sequence[float | None]
    early_per_month: float | None


def false_alarms(results: Results) -> Iterator[FalseAlarms]:
    """Give the rows of the stationary streams."""
    for (stream, detector), own in _groups(results, "false alarms"):
        declared = [one["declared"] for one in own]
        by_series: Counter[str] = Counter()
        for one in own:
            by_series.update(one["by_series"])
        copies = sum(one["copies"] for one in own)
        yield FalseAlarms(
            stream=stream,
            detector=detector,
            months=sum(one["model_months"] for one in own),
            declared=None if None in declared else sum(declared),
            alarms=sum(one["alarms"] for one in own),
            episodes=sum(one["episodes"] for one in own),
            open_share=sum(one["open_share"] * one["copies"] for one in own) / copies,
            by_series=by_series,
        )


def delays(results: Results) -> Iterator[Delays]:
    """Give the rows of the abrupt changes."""
    for (stream, detector), own in _groups(results, "delays"):
        early = [one["early"] for one in own]
        per_month = None
        if None not in early:
            per_month = sum(early) / sum(one["months_before"] for one in own)
        yield Delays(stream, detector, [delay for one in own for delay in one["delays"]], per_month)


def of(results: Results, experiment: str) -> list[tuple[Job, Result]]:
    """Give the jobs of *experiment* that are done, in their order."""
    return [(job, result) for job, result in results.items() if job.experiment == experiment]


def _groups(results: Results, experiment: str) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for job, result in of(results, experiment):
        groups.setdefault((job.stream, job.detector), []).append(dict(result))
    yield from groups.items()
