"""The Prometheus metrics of a worker: what they are called, and the numbers behind them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from operator import add
from threading import Lock
from typing import Final, Generic, TypeVar

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from stream.core.nouns import Tally

_T = TypeVar("_T")
_Fold = Callable[[Iterable[float]], float]

PREFIX: Final = "driftline_"
OTHER: Final = "other"

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_LABEL_DELAY: Final = (
    *(1.0, 5.0, 15.0, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, _DAY, 2 * _DAY, 4 * _DAY),
    *(7 * _DAY, 14 * _DAY, 30 * _DAY),
)
_DETECTION_DELAY: Final = _LABEL_DELAY[3:]
_STEP: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CHECKPOINT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RESTORE: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Type(StrEnum):
    """What Prometheus calls the type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One metric as it is documented; ``name`` goes without the prefix.

    ``buckets`` are the upper bounds of a histogram. ``fold`` makes one number of several of a gauge: of
    all the models beyond the bound, and of processes that have the same series; where no such number
    means anything, the series is left out.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    fold: _Fold | None = None

    @property
    def full_name(self) -> str:
        """The name that Prometheus stores."""
        return PREFIX + self.name

    @property
    def samples(self) -> Mapping[str, tuple[str, ...]]:
        """The names a query can use, each with its labels."""
        if self.type is not Type.HISTOGRAM:
            return {self.full_name: self.labels}
        return {
            f"{self.full_name}_bucket": (*self.labels, "le"),
            f"{self.full_name}_sum": self.labels,
            f"{self.full_name}_count": self.labels,
        }


def _counter(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name=name, type=Type.COUNTER, labels=labels, help=text)


def _gauge(name: str, labels: tuple[str, ...], text: str, fold: _Fold | None = None) -> Metric:
    return Metric(name=name, type=Type.GAUGE, labels=labels, help=text, fold=fold)


def _histogram(name: str, labels: tuple[str, ...], buckets: tuple[float, ...], text: str) -> Metric:
    return Metric(name=name, type=Type.HISTOGRAM, labels=labels, buckets=buckets, help=text)


METRICS: Final = (
    _counter("events_total", ("model", "type"), "Events taken in."),
    _counter("rejected_total", ("reason",), "Messages not taken, by the reason."),
    _counter("lost_offsets_total", ("topic",), "Offsets that Kafka deleted before they were read."),
    _counter("dropped_outputs_total", ("topic",), "Messages too large for their topic even when cut."),
    _counter("duplicates_total", ("model", "type"), "Events seen before and not counted again."),
    _counter("forwarded_total", ("topic",), "Events sent on to the partition of their model."),
    _counter("outcomes_total", ("model",), "Predictions joined with their feedback."),
    _counter("orphans_total", ("model",), "Feedback whose prediction never came in time."),
    _counter("unlabelled_total", ("model",), "Predictions whose label never came in time."),
    _counter("findings_total", ("model", "signal", "detector"), "Changes that detectors concluded."),
    _counter("alerts_total", ("model", "kind", "severity"), "Alerts published."),
    _counter("incidents_total", ("model", "kind", "severity"), "Incidents opened."),
    _counter("baselines_total", ("model", "kind"), "Baselines that lifecycle events exchanged or froze."),
    _counter("evicted_total", ("store",), "Entries a full store dropped, the oldest first."),
    _counter("unreadable_rows_total", (), "Stored rows that could not be read; their series warm up again."),
    _counter("checkpoints_total", (), "Checkpoints completed."),
    _counter("checkpoint_bytes_total", (), "Bytes of state written by checkpoints."),
    _counter("worker_restarts_total", ("process",), "Times that a supervisor started a process again."),
    _gauge("pending_predictions", ("model",), "Predictions that wait for their label.", sum),
    _gauge("label_coverage_ratio", ("model",), "Share of due predictions that got their label, 0 to 1.", min),
    _gauge(
        "signal_value", ("model", "version", "signal"), "Mean of the latest batch of readings of a signal."
    ),
    _gauge("incidents_open", ("model", "kind", "severity"), "Incidents open now.", sum),
    _gauge("lag_events", ("topic", "partition"), "Records of a partition not yet processed.", max),
    _gauge("partitions", (), "Partitions assigned to this worker.", sum),
    _gauge(
        "last_event_timestamp_seconds", ("model",), "Event time of the model's latest event, Unix time.", max
    ),
    _gauge("build_info", ("version",), "Always 1; the label says which Driftline runs.", max),
    _histogram("label_delay_seconds", ("model",), _LABEL_DELAY, "Event time from a prediction to its label."),
    _histogram(
        "detection_delay_seconds",
        ("model",),
        _DETECTION_DELAY,
        "Event time from the start of the evidence window to the detection.",
    ),
    _histogram("checkpoint_seconds", (), _CHECKPOINT, "Time that one checkpoint took."),
    _histogram(
        "restore_seconds", (), _RESTORE, "Time from the assignment of a partition until its state was loaded."
    ),
    _histogram("processing_seconds", (), _STEP, "Time that one step of a pipeline took."),
)

_FAMILIES: Final[Mapping[Type, Callable[..., Family]]] = {
    Type.COUNTER: CounterMetricFamily,
    Type.GAUGE: GaugeMetricFamily,
    Type.HISTOGRAM: HistogramMetricFamily,
}

NAMES: Final[Mapping[str, Metric]] = {metric.full_name: metric for metric in METRICS}


class Bounded:
    """Lets the first *limit* names through and calls every later one ``other``, for good."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return *name* as a label shows it."""
        if name in self._names:
            return name
        if name == OTHER or len(self._names) >= self._limit:
            return OTHER
        self._names.add(name)
        return name


@dataclass(slots=True)
class _Distribution:
    """A histogram's numbers: readings per bucket (the last one unbounded) and their sum."""

    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class _Store(Generic[_T]):
    """The series of one metric, by label values."""

    metric: Metric
    series: dict[tuple[str, ...], _T] = field(default_factory=dict)


class Metrics(Collector):
    """Keeps a worker's numbers and hands them to *registry* when it is scraped.

    A scrape sees whole tallies, also from another thread. Bounds: the first *max_models* models,
    *max_signals* signals and *max_versions* versions keep their name, the rest count as ``other``;
    a metric has at most *max_series* series, after that new counters and histograms count as
    ``other`` and a new gauge replaces the one that was set longest ago.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        version: str,
        max_models: int = 100,
        max_signals: int = 200,
        max_versions: int = 50,
        max_series: int = 10_000,
    ) -> None:
        self._lock = Lock()
        self._max_series = max_series
        self._bounded = {
            "model": Bounded(max_models),
            "signal": Bounded(max_signals),
            "version": Bounded(max_versions),
        }
        self._counters = _stores(Type.COUNTER, 0.0)
        self._gauges = _stores(Type.GAUGE, 0.0)
        self._histograms: dict[str, _Store[_Distribution]] = {}
        for metric in METRICS:
            if metric.type is Type.HISTOGRAM:
                store = self._histograms[metric.name] = _Store[_Distribution](metric)
                if not metric.labels:
                    store.series[()] = _Distribution([0] * (len(metric.buckets) + 1))
        self._set("build_info", (version,), 1.0)
        registry.register(self)

    def add(self, tally: Tally) -> None:
        """Take in what a step counted; a metric that does not exist raises ValueError, for that is our bug.

        An increment of 0 makes a counter appear, so that its first real increment shows in a rate.
        """
        with self._lock:
            for (name, labels), by in tally.counts.items():
                self._count(name, labels, by)
            for (name, labels), value in tally.gauges.items():
                self._set(name, labels, value)
            for (name, labels), values in tally.observations.items():
                self._observe(name, labels, values)

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Let a counter grow *by* that much."""
        with self._lock:
            self._count(name, labels, by)

    def set(self, name: str, *labels: str, to: float) -> None:
        """Put a gauge *to* a value."""
        with self._lock:
            self._set(name, labels, to)

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Give a histogram one reading."""
        with self._lock:
            self._observe(name, labels, (value,))

    def forget(self, **labels: str | frozenset[str]) -> None:
        """Drop every gauge that carries all these labels, or one of several: what moved or went away.

        Without it the gauge stays at its last value beside the one of the new owner.
        """
        if not labels:
            raise ValueError("forget() wants at least one label")
        with self._lock:
            for store in self._gauges.values():
                names = store.metric.labels
                if labels.keys() <= set(names):
                    wanted = {
                        names.index(name): value if isinstance(value, frozenset) else {value}
                        for name, value in labels.items()
                    }
                    gone = [
                        key
                        for key in store.series
                        if all(key[place] in values for place, values in wanted.items())
                    ]
                    for key in gone:
                        del store.series[key]

    def describe(self) -> Iterator[Family]:
        """Every metric without a number, by which the registry finds names used twice."""
        return iter(
            [
                _FAMILIES[metric.type](metric.full_name, metric.help, labels=metric.labels)
                for metric in METRICS
            ]
        )

    def collect(self) -> Iterator[Family]:
        """Every metric with its numbers as they are now."""
        with self._lock:
            return iter(
                [
                    *(_counter_family(store.metric, store.series) for store in self._counters.values()),
                    *(_gauge_family(store.metric, self._folded(store)) for store in self._gauges.values()),
                    *(_histogram_family(store.metric, store.series) for store in self._histograms.values()),
                ]
            )

    def _count(self, name: str, labels: tuple[str, ...], by: float) -> None:
        store = _store_of(self._counters, name)
        if not 0 <= by < math.inf:
            raise ValueError(f"{name} cannot grow by {by}")
        if labels not in store.series:
            labels = self._shown(store, labels)
        store.series[labels] = store.series.get(labels, 0.0) + by

    def _set(self, name: str, labels: tuple[str, ...], value: float) -> None:
        store = _store_of(self._gauges, name)
        if labels in store.series:
            del store.series[labels]
        else:
            self._names(store.metric, labels)
            if len(store.series) >= self._max_series:
                del store.series[next(iter(store.series))]
        store.series[labels] = value

    def _observe(self, name: str, labels: tuple[str, ...], values: Sequence[float]) -> None:
        store = _store_of(self._histograms, name)
        total = math.fsum(values)
        if not math.isfinite(total):
            raise ValueError(f"{name} was given a reading that is not finite")
        if labels not in store.series:
            labels = self._shown(store, labels)
        bounds = store.metric.buckets
        distribution = store.series.get(labels)
        if distribution is None:
            distribution = store.series[labels] = _Distribution([0] * (len(bounds) + 1))
        buckets = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)
        distribution.counts = list(map(add, distribution.counts, buckets.tolist()))
        distribution.total += total

    def _names(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the label values as they are shown; the first ones to ask keep their names."""
        if len(labels) != len(metric.labels) or not all(isinstance(value, str) for value in labels):
            raise ValueError(f"{metric.name} has the labels {metric.labels}, not {labels!r}")
        if "model" not in metric.labels:
            return labels
        return tuple(
            self._bounded[name](value) if name in self._bounded else value
            for name, value in zip(metric.labels, labels, strict=True)
        )

    def _shown(self, store: _Store[_T], labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the label values under which a series that may not exist yet is kept."""
        shown = self._names(store.metric, labels)
        if (
            shown in store.series
            or len(store.series) < self._max_series
            or "model" not in store.metric.labels
        ):
            return shown
        return tuple(
            OTHER if name in self._bounded else value
            for name, value in zip(store.metric.labels, labels, strict=True)
        )

    def _folded(self, store: _Store[float]) -> dict[tuple[str, ...], float]:
        """Return the gauge as it is shown: beyond the bounds one series for all."""
        if "model" not in store.metric.labels:
            return store.series
        rest: dict[tuple[str, ...], list[float]] = {}
        shown: dict[tuple[str, ...], float] = {}
        for labels, value in store.series.items():
            names = self._names(store.metric, labels)
            if names == labels and OTHER not in names:
                shown[labels] = value
            else:
                rest.setdefault(names, []).append(value)
        if store.metric.fold is not None:
            shown.update({names: store.metric.fold(values) for names, values in rest.items()})
        return shown


def _stores(kind: Type, zero: float) -> dict[str, _Store[float]]:
    """Make the empty stores of one type; a metric without labels stands at zero from the start."""
    return {
        metric.name: _Store[float](metric, {} if metric.labels else {(): zero})
        for metric in METRICS
        if metric.type is kind
    }


def _store_of(stores: dict[str, _Store[_T]], name: str) -> _Store[_T]:
    try:
        return stores[name]
    except KeyError:
        raise ValueError(f"no such metric of this type: {name}") from None


def _counter_family(metric: Metric, series: Mapping[tuple[str, ...], float]) -> Family:
    family = CounterMetricFamily(metric.full_name, metric.help, labels=metric.labels)
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _gauge_family(metric: Metric, series: Mapping[tuple[str, ...], float]) -> Family:
    family = GaugeMetricFamily(metric.full_name, metric.help, labels=metric.labels)
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _histogram_family(metric: Metric, series: Mapping[tuple[str, ...], _Distribution]) -> Family:
    bounds = [*(str(bound) for bound in metric.buckets), "+Inf"]
    family = HistogramMetricFamily(metric.full_name, metric.help, labels=metric.labels)
    for labels, kept in series.items():
        family.add_metric(labels, list(zip(bounds, accumulate(kept.counts), strict=True)), kept.total)
    return family
