"""The metrics of several processes as those of one."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from stream.core.nouns import Tally
from stream.shell import totals as module
from stream.shell.metrics import METRICS, Metrics, Type
from stream.shell.status import new_registry
from stream.shell.totals import Totals, families_of


class Process:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.metrics = Metrics(self.registry, version="1.2.3")

    def heard_by(self, totals: Totals, name: str) -> None:
        totals.update(name, families_of(self.registry))


def values(totals: Totals, name: str, **labels: str) -> list[float]:
    return [
        sample.value
        for metric in totals.collect()
        for sample in metric.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


@pytest.fixture
def totals() -> Totals:
    return Totals()


def two_that_set(totals: Totals, gauge: str, first: float, second: float, *labels: str) -> None:
    for name, value in (("1", first), ("2", second)):
        process = Process()
        process.metrics.set(gauge, *labels, to=value)
        process.heard_by(totals, name)


def test_counters_of_processes_add_up(totals: Totals) -> None:
    for name, by in (("1", 3), ("2", 4)):
        process = Process()
        process.metrics.count("events_total", "credit", "prediction", by=by)
        process.metrics.count("events_total", f"only-{name}", "prediction", by=by)
        process.heard_by(totals, name)
    assert values(totals, "driftline_events_total", model="credit") == [7]
    assert values(totals, "driftline_events_total", model="only-2") == [4]


def test_what_a_process_says_replaces_what_it_said_before(totals: Totals) -> None:
    process = Process()
    for _ in range(3):
        process.metrics.count("checkpoints_total")
        process.heard_by(totals, "1")
    assert values(totals, "driftline_checkpoints_total") == [3]


def test_no_counter_falls_when_a_process_ends_and_begins_again_at_0(totals: Totals) -> None:
    seen: list[float] = []
    for _ in range(3):
        process = Process()
        for _ in range(2):
            process.metrics.count("outcomes_total", "credit", by=5)
            process.heard_by(totals, "1")
            seen += values(totals, "driftline_outcomes_total")
        totals.retire("1")
        seen += values(totals, "driftline_outcomes_total")
    assert seen == [5, 10, 10, 15, 20, 20, 25, 30, 30]


def test_a_process_that_ends_twice_is_counted_once(totals: Totals) -> None:
    process = Process()
    process.metrics.count("checkpoints_total", by=2)
    process.heard_by(totals, "1")
    totals.retire("1")
    totals.retire("1")
    assert values(totals, "driftline_checkpoints_total") == [2]


def test_histograms_add_up_bucket_by_bucket_also_with_those_of_ended_processes(totals: Totals) -> None:
    for name, readings in (("1", [0.5, 61.0]), ("2", [0.5, 1e9])):
        process = Process()
        process.metrics.add(Tally(observations={("label_delay_seconds", ("credit",)): readings}))
        process.heard_by(totals, name)
    totals.retire("2")
    delay = "driftline_label_delay_seconds"
    buckets = {bound: values(totals, f"{delay}_bucket", le=bound) for bound in ("1.0", "300.0", "+Inf")}
    assert buckets == {"1.0": [2], "300.0": [3], "+Inf": [4]}
    assert values(totals, f"{delay}_count", model="credit") == [4]
    assert values(totals, f"{delay}_sum", model="credit") == [pytest.approx(1e9 + 62)]


@pytest.mark.parametrize(
    ("gauge", "labels", "expected"),
    [
        ("pending_predictions", ("other",), 7),
        ("incidents_open", ("other", "drift", "error"), 7),
        ("partitions", (), 7),
        ("label_coverage_ratio", ("other",), 3),
        ("lag_events", ("predictions", "3"), 4),
        ("last_event_timestamp_seconds", ("other",), 4),
        ("build_info", ("2.0.0",), 4),
    ],
)
def test_a_gauge_that_several_processes_have_is_folded(
    totals: Totals, gauge: str, labels: tuple[str, ...], expected: float
) -> None:
    two_that_set(totals, gauge, 3, 4, *labels)
    names = next(metric.labels for metric in METRICS if metric.name == gauge)
    assert values(totals, f"driftline_{gauge}", **dict(zip(names, labels, strict=True))) == [expected]


def test_a_gauge_without_a_fold_is_left_out_where_several_processes_have_it(totals: Totals) -> None:
    two_that_set(totals, "signal_value", 3, 4, "credit", "1", "error")
    process = Process()
    process.metrics.set("signal_value", "churn", "1", "error", to=5)
    process.heard_by(totals, "3")
    assert values(totals, "driftline_signal_value") == [5]


def test_every_gauge_says_what_becomes_of_it() -> None:
    without = {metric.name for metric in METRICS if metric.type is Type.GAUGE and metric.fold is None}
    assert without == {"signal_value"}


def test_the_gauges_of_an_ended_process_are_gone(totals: Totals) -> None:
    two_that_set(totals, "partitions", 3, 4)
    totals.retire("1")
    assert values(totals, "driftline_partitions") == [4]


def test_what_is_said_of_a_process_itself_is_marked_with_it(totals: Totals) -> None:
    for name in ("1", "2"):
        Process(new_registry()).heard_by(totals, name)
    shown = {metric.name: metric for metric in totals.collect() if not metric.name.startswith("driftline")}
    assert {"python_info", "python_gc_collections"} <= shown.keys()
    for metric in shown.values():
        assert {sample.labels["process"] for sample in metric.samples} <= {"1", "2"}
    assert len(shown["python_info"].samples) == 2
    totals.retire("1")
    assert values(totals, "python_info", process="1") == []


def test_too_many_series_of_ended_processes_are_forgotten(
    totals: Totals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_RETIRED", 10)
    process = Process()
    for number in range(11):
        process.metrics.count("outcomes_total", f"model-{number}")
    process.metrics.count("orphans_total", "credit")
    process.heard_by(totals, "1")
    totals.retire("1")
    assert values(totals, "driftline_outcomes_total") == []
    assert values(totals, "driftline_orphans_total") == [1]


def full(totals: Totals) -> Totals:
    """Let three processes say all there is, one of them no longer."""
    for name in ("1", "2", "3"):
        process = Process(new_registry())
        for metric in METRICS:
            labels = tuple(f"x-{name}" for _ in metric.labels)
            key = (metric.name, labels)
            process.metrics.add(
                {
                    Type.COUNTER: Tally(counts={key: 1}),
                    Type.GAUGE: Tally(gauges={key: 1}),
                    Type.HISTOGRAM: Tally(observations={key: [1.0]}),
                }[metric.type]
            )
        process.heard_by(totals, name)
    totals.retire("3")
    return totals


def test_the_totals_can_be_exposed_in_both_formats(totals: Totals) -> None:
    encode, content_type = choose_encoder("application/openmetrics-text; version=1.0.0")
    text = encode(full(totals)).decode()
    strict = {family.name for family in open_metrics(text)}  # type: ignore[no-untyped-call]
    assert content_type.startswith("application/openmetrics-text")
    encode, _ = choose_encoder("")
    families = [family.name for family in plain_text(encode(totals).decode())]
    assert len(families) == len(set(families))
    assert {metric.full_name.removesuffix("_total") for metric in METRICS} <= strict & set(families)
