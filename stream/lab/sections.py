"""The sections of the report, each from the results of one experiment; without any it is left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from schemas.policy import DEFAULT_POLICY
from stream.lab import faults as injected
from stream.lab import lateness, merged
from stream.lab.annotated import AFTER, BEFORE, LEFT_OUT
from stream.lab.changes import PATIENCE, SHAPES
from stream.lab.explained import explained
from stream.lab.families import Sort
from stream.lab.measures import missed_share, quantiles
from stream.lab.merged import Results
from stream.lab.real import MUST_FIND
from stream.lab.watchers import SHARE, Watcher

SHOWN: Final = 60
"""Incidents of the flights that are listed one by one."""


def detectors(watchers: Iterable[Watcher]) -> list[str]:
    """Say who is compared."""
    lines = ["## Who is compared", ""]
    lines += [f"- **{one.key}**: {one.says}" for one in watchers]
    lines.append("- **oracle CUSUM**: knows the rates before and after, and has the same budget")
    chosen = ", ".join(DEFAULT_POLICY.detectors.use)
    return [*lines, f"- **default policy**: the whole pipeline; its detectors are {chosen}", ""]


def false_alarms(results: Results) -> list[str]:
    """Write what was raised where nothing changes."""
    rows = list(merged.false_alarms(results))
    if not rows:
        return []
    lines = [
        "## False alarms where nothing changes",
        "",
        (
            "Of one series alone a model's budget buys its pool's part, as the default policy shares it out: "
            f"{SHARE[Sort.ERROR]:g} of it for an error, {SHARE[Sort.NUMBER]:g} for a number. The"
        ),
        "interval is that of the expected number (Poisson, 95 %), over what was declared. An episode is an alarm",
        "while none lasts; time in alarm is the share of the time for which a series is in one.",
        "",
        "| stream | detector | model months | declared | alarms | ratio | 95 % | per model and 30 days | episodes | time in alarm |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        interval = ""
        if row.declared:
            interval = f"{row.interval.low / row.declared:.2f} to {row.interval.high / row.declared:.2f}"
        cells = (
            row.stream,
            row.detector,
            _number(row.months),
            _number(row.declared),
            f"{row.alarms:,}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            interval,
            _number(row.per_month),
            f"{row.episodes:,}",
            _percent(row.open_share),
        )
        lines.append(_row(cells))
    for row in rows:
        if len(row.by_series) > 1 and row.declared and row.alarms:
            named = ", ".join(f"{name} {count}" for name, count in row.by_series.items() if count)
            lines += ["", f"{row.detector} on {row.stream}: {named}."]
    return [*lines, ""]


def delays(results: Results) -> list[str]:
    """Write how late abrupt changes are found."""
    rows = list(merged.delays(results))
    if not rows:
        return []
    best = {row.stream: quantiles(row.delays, PATIENCE) for row in rows if row.detector == lateness.ORACLE}
    lines = [
        "## How late an abrupt change is found",
        "",
        f"In readings. What is not found within {PATIENCE:,} readings is missed and counts as {PATIENCE:,}. A delay",
        "is worth nothing without the false alarms before the change, which stand beside it: who always fires is",
        "never late.",
        "",
        "| change | detector | copies | median | 90 % | over the oracle | missed | false alarms per 30 days before |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        median, ninth = quantiles(row.delays, PATIENCE)
        over = ""
        if row.stream in best and row.detector != lateness.ORACLE:
            over = f"{median / best[row.stream][0]:.2f}, {ninth / best[row.stream][1]:.2f}"
        cells = (
            row.stream,
            row.detector,
            str(len(row.delays)),
            _number(median),
            _number(ninth),
            over,
            _percent(missed_share(row.delays)),
            "its budget" if row.early_per_month is None else _number(row.early_per_month),
        )
        lines.append(_row(cells))
    return [*lines, ""]


def shapes(results: Results) -> list[str]:
    """Write what becomes of changes that are not abrupt and for good."""
    done = merged.of(results, "shapes")
    if not done:
        return []
    lines = [
        "## Gradual, incremental, recurring, and bursts that heal",
        "",
        "An error rate of .2 that becomes .3 (.5 in the burst): in turns that grow longer over five days; by a ramp",
        "of ten days; for a day in every three, five times; for two hours.",
        "",
        "| change | detector | copies | missed | median delay | alarms per copy | episodes per copy | in alarm while changed | in alarm when it is over | in alarm before |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for job, result in done:
        late = quantiles(result["delays"], SHAPES[job.stream].readings)[0]
        cells = (
            job.stream,
            job.detector,
            str(result["copies"]),
            _percent(missed_share(result["delays"])),
            _number(late),
            _number(result["alarms"] / result["copies"]),
            _number(result["episodes"] / result["copies"]),
            _percent(result["open_while_changed"]),
            _percent(result["open_afterwards"]),
            _percent(result["open_before"]),
        )
        lines.append(_row(cells))
    return [*lines, ""]


def faults(results: Results) -> list[str]:
    """Write which injected faults were found, and what was raised beside."""
    done = merged.of(results, "faults")
    if not done:
        return []
    by_stream: dict[str, list[Any]] = defaultdict(list)
    for job, result in done:
        by_stream[job.stream].append(result)
    lines = [
        "## Injected faults, through the whole pipeline",
        "",
        "A simulated model, a prediction a minute for 24 days, under the default policy; the fault begins on day 14.",
        "Found is an incident of the series that the fault is in, a part of one, or an alert that an open one has",
        "become much worse. Others are incidents of other series, before or after.",
        "",
        "| fault | seeds | found | hours until found: median, most | its incidents, in all | others, in all |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for stream, runs in by_stream.items():
        if stream in {injected.TWIN, injected.TWENTY}:
            continue
        hours = sorted(run["hours"] for run in runs if run["hours"] is not None)
        late = f"{quantiles(hours, 0.0)[0]:.1f}, {hours[-1]:.1f}" if hours else ""
        own, others = sum(run["incidents"] for run in runs), sum(len(run["others"]) for run in runs)
        lines.append(_row((stream, str(len(runs)), str(len(hours)), late, str(own), str(others))))
    for run in by_stream.get(injected.TWIN, ())[:1]:
        raised = [one for twin in by_stream[injected.TWIN] for one in twin["incidents"]]
        named = ", ".join(
            f"{name} {n}" for name, n in sorted(Counter(one["signal"] for one in raised).items())
        )
        lines += [
            "",
            f"The {len(by_stream[injected.TWIN])} twins, {run['days']} days each, raised {len(raised)} incidents"
            + (f": {named}." if named else "."),
        ]
    together = by_stream.get(injected.TWENTY, [])
    if together:
        counts = ", ".join(str(run["incidents"]) for run in together)
        lines += ["", f"A cause that moves twenty features at once: {counts} incidents, a seed each."]
    return [*lines, ""]


def flights(results: Results) -> list[str]:
    """Write what each detector says of the flights' errors."""
    done = merged.of(results, "flights")
    if not done:
        return []
    shifts = max((list(result["shifts"]) for _, result in done), key=len)
    lines = [
        "## The flights' errors",
        "",
        "Alarms (and episodes) on the errors of the demo's classifier, from a start shifted by so many days on.",
        "",
        _row(("detector", *(f"from day {shift}" for shift in shifts))),
        "|---|" + "--:|" * len(shifts),
    ]
    for job, result in done:
        by_shift = result["shifts"]
        cells = [
            f"{by_shift[shift]['alarms']:,} ({by_shift[shift]['episodes']:,})" if shift in by_shift else ""
            for shift in shifts
        ]
        lines.append(_row((job.detector, *cells)))
    return [*lines, ""]


def flights_through_the_pipeline(results: Results) -> list[str]:
    """Write the flights' incidents under the default policy, with what the data say of that week."""
    done = merged.of(results, "flights through the pipeline")
    if not done:
        return []
    kinds = sorted({one["kind"] for _, result in done for one in result["incidents"]})
    lines = [
        "## The flights under the default policy",
        "",
        _row(("start", *kinds)),
        "|---|" + "--:|" * len(kinds),
    ]
    for _, result in done:
        counts = Counter(one["kind"] for one in result["incidents"])
        lines.append(_row((f"from day {result['shift']}", *(str(counts[kind]) for kind in kinds))))
    lines += [
        "",
        "An incident stands here by the kind that opened it. For the targets it counts for every kind that has a",
        "part in it, and a change is told when the error's own part begins within its days, or began before and is",
        f"open over all of them: {_days_to_find()}.",
    ]
    first = done[0][1]
    late, gone = first["late_share"], first["cancelled_share"]
    lines += [
        "",
        "What explains them is in the data: beside each incident of the first run stand the shares of late and of",
        f"cancelled flights in the seven days up to it. From March to December {_percent(late)} were late and",
        f"{_percent(gone)} never came.",
        "",
        "| opened | over | signal | from | to | readings | late that week | never came | explained by |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for one in first["incidents"][:SHOWN]:
        cells = (
            _day(one["at"]),
            _day(one["until"]) if one["until"] else "open",
            one["signal"],
            f"{one['expected']:.3g}",
            f"{one['observed']:.3g}",
            f"{one['n']:,}",
            _percent(one["late"]),
            _percent(one["cancelled"]),
            explained(one, late, gone),
        )
        lines.append(_row(cells))
    if (rest := len(first["incidents"]) - SHOWN) > 0:
        lines += ["", f"{rest} more are not shown."]
    others = [(result["shift"], one) for _, result in done[1:] for one in result["incidents"]]
    inputs = [(shift, one) for shift, one in others if one["kind"] in {"drift", "data_quality"}]
    if inputs:
        lines += [
            "",
            "Incidents of features, score, output and data quality from the other starts:",
            "",
            "| from day | opened | signal | explained by |",
            "|--:|---|---|---|",
        ]
        lines += [
            _row((f"{shift}", _day(one["at"]), one["signal"], explained(one, late, gone)))
            for shift, one in inputs[:SHOWN]
        ]
    return [*lines, ""]


def annotated(results: Results) -> list[str]:
    """Write how alarms agree with change points that people marked."""
    done = merged.of(results, "annotated")
    if not done:
        return []
    lines = [
        "## Change points that people marked",
        "",
        "The sets that river carries: short series, a reading a day here. Five people marked each. An alarm agrees",
        f"with a mark from {BEFORE} readings before it to {AFTER} behind. The default detector learns for 2,000",
        "readings and so is silent on all of them: these series say nothing of it but that. F1 is .3 to .9 for who",
        "never alarms, because the begin of a series counts as a mark that all have found.",
        "",
        "| set | readings | marks | detector | alarms | precision | recall | F1 |",
        "|---|--:|---|---|--:|--:|--:|--:|",
    ]
    for job, result in done:
        cells = (
            job.stream,
            str(result["readings"]),
            ", ".join(map(str, result["marks"])),
            job.detector,
            str(len(result["alarms"])),
            f"{result['precision']:.2f}",
            f"{result['recall']:.2f}",
            f"{result['f1']:.2f}",
        )
        lines.append(_row(cells))
    lines += ["", *(f"Left out: {name}: {why}." for name, why in LEFT_OUT.items())]
    lines.append("River's other data sets are not marked, or have to be downloaded: left out.")
    return [*lines, ""]


def _days_to_find() -> str:
    return "; ".join(f"{name}, {first:%d %b} to {last:%d %b}" for name, (first, last) in MUST_FIND.items())


def _day(text: str) -> str:
    return f"{datetime.fromisoformat(text):%d %b}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100.0 * value:.1f} %"
