"""What alarms have to be like, and whether they are: the one table of the report and of the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from stream.lab import faults, lateness, merged
from stream.lab.changes import PATIENCE
from stream.lab.families import STATIONARY
from stream.lab.measures import quantiles
from stream.lab.merged import Results
from stream.lab.plan import DEFAULT, FULL, Size
from stream.lab.real import MUST_FIND
from stream.lab.watchers import FALSE_ALARMS

AT_MOST: Final = 1.1
"""Measured over declared false alarms, of every family."""

AT_LEAST: Final = 0.2
"""The same of independent readings: less would be blindness."""

MEDIAN_MOST: Final = 1.25
NINTH_MOST: Final = 1.6
"""Median and 90 % quantile of the delay, over the oracle's."""

JUDGED_STEPS: Final = ("error .05 -> .08", "error .2 -> .3", "error .2 -> .25")
INCIDENTS_MOST: Final = 10


class Target(NamedTuple):
    """One line: what, what it has to be, what it is, and whether that holds; None is not judged."""

    what: str
    target: str
    measured: str
    holds: bool | None

    def verdict(self) -> str:
        """Give the last column."""
        return "not judged" if self.holds is None else "holds" if self.holds else "**missed**"


def judge(results: Results, size: Size) -> list[Target]:
    """Give the lines of the experiments that were run; a run that is too small is not judged."""
    lines = [
        *_false_alarms(results),
        *_delays(results),
    ]
    if size.runs < FULL.runs // 4 or size.days < FULL.days:
        lines = [line._replace(holds=None) for line in lines]
    injected = list(_faults(results))
    if size.seeds < FULL.seeds:
        injected = [line._replace(holds=None) for line in injected]
    return [*lines, *_flights(results), *injected]


def table(lines: Sequence[Target]) -> list[str]:
    """Give the lines of the table in Markdown."""
    head = ["| what | target | measured | |", "|---|---|---|---|"]
    return head + [f"| {one.what} | {one.target} | {one.measured} | {one.verdict()} |" for one in lines]


def _false_alarms(results: Results) -> Iterator[Target]:
    rows = {row.stream: row for row in merged.false_alarms(results) if row.detector == DEFAULT}
    if not rows:
        return
    ratios = {stream: row.ratio or 0.0 for stream, row in rows.items()}
    worst = max(ratios, key=ratios.__getitem__)
    months = min(row.months for row in rows.values())
    yield Target(
        f"false alarms, measured / declared, the worst of {len(rows)} families in which nothing changes",
        f"<= {AT_MOST}",
        f"{ratios[worst]:.2f} ({worst}; {months:.0f} model months or more of each)",
        ratios[worst] <= AT_MOST,
    )
    independent = {stream: ratio for stream, ratio in ratios.items() if STATIONARY[stream].independent}
    if independent:
        least = min(independent, key=independent.__getitem__)
        yield Target(
            "the same, the least of the independent families",
            f">= {AT_LEAST}",
            f"{independent[least]:.2f} ({least})",
            independent[least] >= AT_LEAST,
        )


def _delays(results: Results) -> Iterator[Target]:
    rows = {(row.stream, row.detector): row for row in merged.delays(results)}
    for stream in JUDGED_STEPS:
        own, best = rows.get((stream, DEFAULT)), rows.get((stream, lateness.ORACLE))
        if own is None or best is None:
            continue
        median, ninth = quantiles(own.delays, PATIENCE)
        oracle_median, oracle_ninth = quantiles(best.delays, PATIENCE)
        over = median / oracle_median, ninth / oracle_ninth
        yield Target(
            f"delay of {stream} over an oracle CUSUM's with the same budget, median and 90 %",
            f"<= {MEDIAN_MOST}, <= {NINTH_MOST}",
            f"{over[0]:.2f}, {over[1]:.2f} ({len(own.delays)} copies)",
            over[0] <= MEDIAN_MOST and over[1] <= NINTH_MOST,
        )


def _flights(results: Results) -> Iterator[Target]:
    runs = [result for _, result in merged.of(results, "flights through the pipeline")]
    if not runs:
        return
    performance: list[int] = []
    missing: list[str] = []
    inputs: list[int] = []
    for run in runs:
        performance.append(_having(run["incidents"], {"performance"}))
        told = [part for one in run["incidents"] for part in one["parts"] if part["kind"] == "performance"]
        missing += [
            f"{name} from day {run['shift']}"
            for name, (first, last) in MUST_FIND.items()
            if not any(_knows(part, first, last) for part in told)
        ]
        inputs.append(_having(run["incidents"], {"drift", "data_quality"}))
    yield Target(
        "flights, default policy: performance incidents in up to ten months, starts shifted by "
        + ", ".join(str(run["shift"]) for run in runs)
        + " days",
        f"<= {INCIDENTS_MOST} each",
        ", ".join(map(str, performance)),
        max(performance) <= INCIDENTS_MOST,
    )
    yield Target(
        "of these, early July and 9 December in each",
        "found",
        f"not found: {'; '.join(missing)}" if missing else "found",
        not missing,
    )
    yield Target(
        "flights, default policy, the same starts: incidents of features, score, output and data quality",
        f"<= {INCIDENTS_MOST} each",
        ", ".join(map(str, inputs)),
        max(inputs) <= INCIDENTS_MOST,
    )


def _faults(results: Results) -> Iterator[Target]:
    runs = merged.of(results, "faults")
    injected = [result for job, result in runs if job.stream not in {faults.TWIN, faults.TWENTY}]
    if injected:
        found = sum(result["hours"] is not None for result in injected)
        yield Target(
            "injected faults found: abrupt, gradual, recurring; in error, score, feature, missing values, "
            "new category",
            "all",
            f"{found} of {len(injected)}",
            found == len(injected),
        )
    twins = [result for job, result in runs if job.stream == faults.TWIN]
    if twins:
        declared = FALSE_ALARMS * sum(twin["days"] for twin in twins) / 30.0
        raised = sum(len(twin["incidents"]) for twin in twins)
        yield Target(
            f"false incidents in their {len(twins)} faultless twins",
            f"<= {declared:.1f}, the budget",
            str(raised),
            raised <= declared,
        )
    together = [result["incidents"] for job, result in runs if job.stream == faults.TWENTY]
    if together:
        yield Target(
            "incidents of a fault that hits 20 series at once",
            "1",
            _range(together),
            set(together) == {1},
        )


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _having(incidents: Sequence[Mapping[str, Any]], kinds: set[str]) -> int:
    """Count the incidents with a part of these kinds: what joined an incident counts as what opened it."""
    return sum(any(part["kind"] in kinds for part in one["parts"]) for one in incidents)


def _knows(part: Mapping[str, Any], first: date, last: date) -> bool:
    """Tell whether a part tells on-call of these days: it begins in them, or lasts over all of them."""
    begun = datetime.fromisoformat(part["at"]).date()
    if begun >= first:
        return begun <= last
    return part["until"] is None or datetime.fromisoformat(part["until"]).date() > last
