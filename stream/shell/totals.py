"""The metrics of several processes as those of one.

Driftline's own are added up: counters and histograms over all processes that ever ran, so that no sum
falls when one of them ends; gauges over those that run, by the metric's fold. What the client library
says of a process (memory, CPU, garbage collection) stays as it is, under a label ``process``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec
from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from stream.shell.metrics import NAMES, PREFIX

logger = logging.getLogger(__name__)

MAX_RETIRED: Final = 200_000
"""Samples of ended processes that are kept; a metric beyond that begins anew, as after a restart."""

_Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


class Family(msgspec.Struct, frozen=True, array_like=True):
    """A metric as one process hands it over; a sample is its name, its labels and its value."""

    name: str
    type: str
    help: str
    samples: list[tuple[str, dict[str, str], float]]


def families_of(registry: Collector) -> list[Family]:
    """Read all metrics of a process."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            [(sample.name, sample.labels, sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


@dataclass(slots=True)
class _Sum:
    """One metric of Driftline's while it is added up: the values of every series, by process."""

    type: str
    help: str
    series: dict[_Key, list[float]] = field(default_factory=dict)

    def add(self, family: Family) -> None:
        """Take in what one process has of it."""
        for name, labels, value in family.samples:
            self.series.setdefault((name, tuple(labels.items())), []).append(value)


@dataclass(slots=True)
class Totals:
    """Keeps what processes were last heard to have counted, also of those that ended.

    Bounds: a process shows so many series as its own metrics allow; of ended ones MAX_RETIRED samples
    are kept, for good.
    """

    _current: dict[str, Sequence[Family]] = field(default_factory=dict)
    _retired: dict[str, Family] = field(default_factory=dict)

    def update(self, process: str, families: Sequence[Family]) -> None:
        """Take what a process has counted since it started, in place of what it said before."""
        self._current[process] = families

    def retire(self, process: str) -> None:
        """Note that a process has ended: what it counted stays, its gauges go."""
        ended = [
            family for family in self._current.pop(process, ()) if _is_ours(family) and family.type != "gauge"
        ]
        kept: dict[str, Family] = {}
        room = MAX_RETIRED
        for name, total in _added((*self._retired.values(), *ended)).items():
            if len(total.series) > room:
                logger.warning("%s has too many series: what ended processes counted is forgotten", name)
                continue
            samples = [(key[0], dict(key[1]), sum(values)) for key, values in total.series.items()]
            kept[name] = Family(name, total.type, total.help, samples)
            room -= len(samples)
        self._retired = kept

    def collect(self) -> Iterator[Metric]:
        """Give all metrics, each once: this makes it a collector that can be exposed."""
        ours = [family for families in self._current.values() for family in families if _is_ours(family)]
        for name, total in _added((*self._retired.values(), *ours)).items():
            metric = Metric(name, total.help, total.type)
            for (sample, labels), values in total.series.items():
                value = _one_of(total.type, name, values)
                if value is not None:
                    metric.samples.append(Sample(sample, dict(labels), value))
            yield metric
        yield from _beside_each_other(self._current)


def _is_ours(family: Family) -> bool:
    return family.name.startswith(PREFIX)


def _added(families: Iterable[Family]) -> dict[str, _Sum]:
    totals: dict[str, _Sum] = {}
    for family in families:
        totals.setdefault(family.name, _Sum(family.type, family.help)).add(family)
    return totals


def _one_of(kind: str, name: str, values: Sequence[float]) -> float | None:
    """Make one number of those that processes have of a series; None where that means nothing."""
    if kind != "gauge":
        return sum(values)
    if len(values) == 1:
        return values[0]
    metric = NAMES.get(name)
    return metric.fold(values) if metric is not None and metric.fold is not None else None


def _beside_each_other(current: Mapping[str, Sequence[Family]]) -> Iterator[Metric]:
    """Give what is not Driftline's own, with the process as a label."""
    metrics: dict[str, Metric] = {}
    for process, families in current.items():
        for family in families:
            if not _is_ours(family):
                metric = metrics.setdefault(family.name, Metric(family.name, family.help, family.type))
                metric.samples += [
                    Sample(name, {"process": process, **labels}, value)
                    for name, labels, value in family.samples
                ]
    yield from metrics.values()
