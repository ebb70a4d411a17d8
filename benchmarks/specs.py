"""The rows: what is compared with what, and what each has to reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.context import Figures, Measure
from benchmarks.rows import latency, restart, scaling, size, throughput
from benchmarks.table import Row, Target

MEASURES: Final[tuple[Measure, ...]] = (
    *throughput.MEASURES,
    *scaling.MEASURES,
    *latency.MEASURES,
    *size.MEASURES,
    *restart.MEASURES,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A row: the figure of a measure, or its ratio to the figure of another measure."""

    key: str
    name: str
    of: tuple[str, str]
    to: tuple[str, str] | None = None
    unit: str = "x"
    target: Target | None = None


def _least(bound: float) -> Target:
    return Target(">=", bound)


def _most(bound: float) -> Target:
    return Target("<=", bound)


_RATE, _CPU, _RECORDS = "predictions/s", "predictions/CPU-s", "records/s"
_QUIET = "default detector"

SPECS: Final[tuple[Spec, ...]] = (
    Spec(
        key="worker",
        name="worker / bare loop, predictions/s",
        of=("worker", _RATE),
        to=("bare loop", _RATE),
        target=_least(1.0),
    ),
    Spec(
        key="worker",
        name="worker / bare loop, predictions per CPU-second",
        of=("worker", _CPU),
        to=("bare loop", _CPU),
        target=_least(1.0),
    ),
    Spec(
        key="worker",
        name="worker / bare loop, records/s",
        of=("worker", _RECORDS),
        to=("bare loop", _RECORDS),
    ),
    Spec(
        key="faust",
        name="worker / plain Faust agent",
        of=("worker", _RATE),
        to=("faust", _RATE),
        target=_least(15.0),
    ),
    Spec(
        key="quix",
        name="worker / Quix Streams",
        of=("worker", _RATE),
        to=("quix", _RATE),
        target=_least(2.5),
    ),
    Spec(
        key="quix",
        name="worker / Quix Streams, predictions per CPU-second",
        of=("worker", _CPU),
        to=("quix", _CPU),
    ),
    Spec(
        key="replay",
        name="replay / bare loop, predictions/s",
        of=("replay", _RATE),
        to=("bare loop", _RATE),
        target=_least(1.0),
    ),
    Spec(
        key="raw",
        name="raw aiokafka loop (no join) / bare loop",
        of=("raw aiokafka", _RATE),
        to=("bare loop", _RATE),
    ),
    Spec(
        key="processes",
        name="2 processes / 1 process, predictions/s",
        of=("2 processes", _RATE),
        to=("1 process", _RATE),
        target=_least(1.5),
    ),
    Spec(
        key="processes",
        name="2 processes / 1 process, CPU-seconds per event",
        of=("2 processes", "CPU us per event"),
        to=("1 process", "CPU us per event"),
        target=_most(1.15),
    ),
    Spec(
        key="processes",
        name="2 bare loops at once / 1: what the second core is worth",
        of=("2 bare loops", _RATE),
        to=("bare loop", _RATE),
    ),
    Spec(
        key="latency",
        name="publish to alert at half of the maximum rate, p99",
        of=("latency", "publish to alert p99 ms"),
        unit="ms",
        target=_most(250.0),
    ),
    Spec(
        key="pending",
        name="memory per pending prediction",
        of=("pending", "bytes per pending prediction"),
        unit="bytes",
        target=_most(120.0),
    ),
    Spec(
        key="series",
        name="memory of a process with 10,000 series, both detectors",
        of=("many series", "resident MB"),
        unit="MB",
        target=_most(200.0),
    ),
    Spec(
        key="series",
        name="cost per prediction, 10,000 series / 10 series",
        of=("many series", "us per prediction"),
        to=("few series", "us per prediction"),
        target=_most(1.3),
    ),
    Spec(
        key="arrays",
        name="cost per prediction, arrays of 200 / 200 single events in one poll",
        of=("arrays", "us per prediction, in an array"),
        to=("arrays", "us per prediction, single"),
        target=_most(1.05),
    ),
    Spec(
        key="quiet",
        name="default detector / river's ADWIN + Page-Hinkley on each reading, 21 series of a model",
        of=(_QUIET, "us per reading"),
        to=(_QUIET, "us per reading, river"),
        target=_most(0.5),
    ),
    Spec(
        key="quiet",
        name="the same in batches of 200 events, not 2,000",
        of=(_QUIET, "us per reading, small batches"),
        to=(_QUIET, "us per reading, river"),
    ),
    Spec(
        key="quiet",
        name="the same, 20 models in a batch of 2,000 events",
        of=(_QUIET, "us per reading, 20 models"),
        to=(_QUIET, "us per reading, river"),
    ),
    Spec(
        key="quiet",
        name="packed state of a rate, default detector",
        of=(_QUIET, "bytes of a rate"),
        unit="bytes",
        target=_most(4_000.0),
    ),
    Spec(
        key="quiet",
        name="packed state of a number, default detector",
        of=(_QUIET, "bytes of a number"),
        unit="bytes",
        target=_most(12_000.0),
    ),
    Spec(
        key="restart",
        name="restart to first event, 1 M pending, 10,000 series",
        of=("restart", "start to first event s"),
        unit="s",
        target=_most(10.0),
    ),
)

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"latency": ("worker",)}
"""Measures that a measure takes its rate from."""


def chosen(only: Sequence[str]) -> tuple[list[Spec], list[Measure]]:
    """Give the rows with these keys, all where there are none, and the measures that they need."""
    specs = [spec for spec in SPECS if not only or spec.key in only]
    names = {name for spec in specs for name, _ in (spec.of, *((spec.to,) if spec.to else ()))}
    names |= {need for name in names for need in NEEDS.get(name, ())}
    return specs, [measure for measure in MEASURES if measure.name in names]


def rows(
    specs: Iterable[Spec],
    found: Mapping[tuple[str, str], Sequence[Figures]],
    failures: Mapping[tuple[str, str], str],
    brokers: Sequence[str],
    *,
    is_full: bool,
) -> list[Row]:
    """Make the rows of what was *found*, by measure and broker; a measure of no broker has broker '-'."""
    by_name = {measure.name: measure for measure in MEASURES}
    made: list[Row] = []
    for spec in specs:
        sides = [spec.of, *([spec.to] if spec.to else [])]
        on_broker = any(by_name[name].on_broker for name, _ in sides)
        judged = is_full or not any(by_name[name].is_large for name, _ in sides)
        for broker in brokers if on_broker else ("-",):
            places = [(name, broker if by_name[name].on_broker else "-") for name, _ in sides]
            row = Row(name=spec.name, broker=broker, unit=spec.unit, target=spec.target, judged=judged)
            lacking = [failures.get(place, "not measured") for place in places if not found.get(place)]
            if lacking:
                made.append(_with(row, missing=lacking[0]))
                continue
            values = [
                [figures[figure] for figures in found[place]]
                for place, (_, figure) in zip(places, sides, strict=True)
            ]
            made.append(_filled(row, values))
    return made


def _filled(row: Row, values: Sequence[Sequence[float]]) -> Row:
    top = values[0]
    if len(values) == 1:
        return _with(row, value=median(top), low=min(top), high=max(top))
    ratios = [one / other for one, other in zip(top, values[1], strict=False)]
    return _with(row, value=median(top) / median(values[1]), low=min(ratios), high=max(ratios))


def _with(
    row: Row,
    *,
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    missing: str = "",
) -> Row:
    return Row(
        name=row.name,
        broker=row.broker,
        unit=row.unit,
        target=row.target,
        judged=row.judged,
        value=value,
        low=low,
        high=high,
        missing=missing,
    )
