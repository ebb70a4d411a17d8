"""Explain: how each series of a model is watched now, what it may spend, and how small a change it sees.

What is now is in the state topic, as of the last checkpoint; or it is what a replay of files ends with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime

from stream.config import Settings
from stream.core.model import Model
from stream.core.nouns import Explanation, SeriesKey, Smallest, Stage, Standing
from stream.core.pipeline import Pipeline
from stream.replay import Outputs, replay
from stream.shell.doors import explaining
from stream.shell.peek import peek
from stream.shell.topics import STATE, check
from stream.wiring import (
    build_connection,
    build_pipeline,
    build_policies,
    build_replay_pipeline,
    build_topics,
)

_HEADINGS = (
    "version", "series", "watched by", "share", "false alarms", "readings/day", "normal",
    "threshold", "window", "in a day", "in a week", "in a month", "stage",
)  # fmt: skip
_NUMBERS = range(3, 12)
_BASELINE_HEADINGS = ("version", "series", "number", "baseline", "readings", "since", "digest")
_SHOWN_MODELS = 10
_LEGEND = """
false alarms: what the series may raise in 30 days
threshold: what the statistic of a window has to exceed, for the window that sees most in a day (else a week,
a month)
in a day, a week, a month: the smallest lasting change that is found so soon more often than not, at the
present traffic; - is none
insufficient data: nothing is found in the series before; a sporadic one is looked at by the count of its
readings, not by the calendar
"""

Explained = Sequence[tuple[SeriesKey, Explanation]]


class ExplainError(Exception):
    """There is nothing to explain: the text says why and what to do."""


def explain(settings: Settings, model: str, files: Sequence[str]) -> str:
    """Give the page on *model*, from the state topic, or from *files* of events where there are any.

    Raises as :func:`model_now` does.
    """
    return page(settings, model, watched_now(settings, model, files))


def baselines(settings: Settings, model: str, files: Sequence[str]) -> str:
    """Give a line on the baseline of each series of *model*: how it stands, since when, of what, its digest.

    Raises as :func:`watched_now` does.
    """
    return table(
        [_BASELINE_HEADINGS, *(_baseline(*one) for one in watched_now(settings, model, files))], {2, 4}
    )


def watched_now(settings: Settings, model: str, files: Sequence[str]) -> Explained:
    """Give how each series of *model* is watched, from the state topic, or from *files* of events.

    Raises as :func:`model_now` does.
    """
    return model_now(settings, model, files).explain()


def model_now(settings: Settings, model: str, files: Sequence[str]) -> Model:
    """Give *model* as it is now, from the state topic, or from *files* of events.

    Raises ExplainError where the model is not known there, StateError or RefusedError where the state cannot
    be read, OSError where a file cannot be.
    """
    if files:
        pipeline = build_replay_pipeline(settings)
        replay(files, pipeline, Outputs(), lambda _count: None)
        place = "in these files"
    else:
        partition = build_topics(settings).partition_of(model)
        pipeline = build_pipeline(settings, partition)
        rows = asyncio.run(_rows(settings, partition))
        pipeline.restore(rows)
        place = f"in partition {partition} of {build_topics(settings).full(STATE)}"
    if model not in pipeline.models():
        raise ExplainError(f"no model {model!r} {place}: {_known(pipeline, is_replay=bool(files))}")
    return pipeline.model(model)


def page(settings: Settings, model: str, explained: Explained) -> str:
    """Say how *model* is watched: its budget, a line for each series, and what the columns mean."""
    detectors = build_policies(settings).of(model).detectors
    shares = [one.share for _, one in explained if one.share is not None]
    lines = [f"model {model}, watched by {', '.join(detectors.use)}"]
    if shares:
        lines.append(
            f"budget: {detectors.false_alarms:g} false alarms in 30 days at most, of which {len(shares)} "
            f"series spend {sum(shares):.1%}; kinds without series spend nothing"
        )
    rows = [_HEADINGS, *(_row(key, one) for key, one in explained)]
    return "\n".join(lines) + "\n\n" + table(rows, _NUMBERS) + _LEGEND


def table(rows: Sequence[Sequence[str]], numbers: Container[int]) -> str:
    """Give *rows* of as many cells each as lines of columns; those of the *numbers* stand to the right.

    Cells may be names that somebody sent: what a terminal would obey is written out.
    """
    rows = [list(map(_printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[str] = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


async def _rows(settings: Settings, partition: int) -> dict[bytes, bytes]:
    connection, topics = build_connection(settings), build_topics(settings)
    name = topics.full(STATE)
    wrong = [line for line in await check(connection, topics) if name in line]
    if wrong:
        raise ExplainError(wrong[0])
    with explaining(connection):
        return await peek(connection, name, partition)


def _known(pipeline: Pipeline, *, is_replay: bool) -> str:
    names = sorted(pipeline.models())
    if not names:
        return (
            "the files hold no event" if is_replay else "no checkpoint there yet; has a worker taken events?"
        )
    shown = ", ".join(map(_printable, names[:_SHOWN_MODELS])) + (
        ", ..." if len(names) > _SHOWN_MODELS else ""
    )
    return f"known there: {shown}"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _row(key: SeriesKey, one: Explanation) -> tuple[str, ...]:
    smallest = [_seen(each) for each in one.smallest] or ["-"] * 3
    return (
        key.version,
        key.signal + (f" [{key.segment}]" if key.segment else ""),
        one.watched_by,
        "-" if one.share is None else f"{one.share:.2%}",
        _number(one.false_alarms),
        "-" if one.per_day is None else f"{one.per_day:,.0f}",
        _number(one.normal),
        _number(one.threshold),
        "-" if one.window is None else f"{one.window:,}",
        *smallest,
        _learning(one) if one.stage is Stage.LEARNING else one.stage,
    )


def _learning(one: Explanation) -> str:
    """Say what a series still lacks for anything to be found in it."""
    had = f"insufficient data, {one.readings:,} readings"
    if one.needed is None:
        return had
    if one.at_latest is None:
        return f"{had} of {one.needed:,}"
    return f"{had}: until {_time(one.at_latest)}, or {one.needed:,}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _baseline(key: SeriesKey, one: Explanation) -> tuple[str, ...]:
    own, series = one.baseline, key.signal + (f" [{key.segment}]" if key.segment else "")
    if own is None:
        return (key.version, series, f"{one.number}", Standing.LEARNING, "-", "-", "-")
    since = "-" if own.since is None else _time(own.since)
    return (key.version, series, f"{one.number}", own.standing, f"{own.readings:,}", since, own.digest)


def _seen(smallest: Smallest) -> str:
    ends: Iterable[float | None] = (smallest.fall, smallest.rise)
    return " or ".join(_number(end) for end in ends if end is not None) or "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
