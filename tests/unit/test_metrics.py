"""What a scrape of a worker's metrics shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from stream.core.nouns import Tally
from stream.shell.metrics import METRICS, NAMES, OTHER, Bounded, Metrics, Type


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, version="1.2.3")


def value(registry: CollectorRegistry, sample: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"driftline_{sample}", labels)


def one_of_each() -> Tally:
    keys = {metric.name: (metric.name, tuple("x" for _ in metric.labels)) for metric in METRICS}
    return Tally(
        counts={keys[metric.name]: 1 for metric in METRICS if metric.type is Type.COUNTER},
        gauges={keys[metric.name]: 1 for metric in METRICS if metric.type is Type.GAUGE},
        observations={keys[metric.name]: [1.0] for metric in METRICS if metric.type is Type.HISTOGRAM},
    )


def test_a_tally_is_what_the_scrape_shows(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.add(
        Tally(
            counts={("events_total", ("credit", "prediction")): 3},
            gauges={("pending_predictions", ("credit",)): 7},
            observations={("label_delay_seconds", ("credit",)): [0.5, 60.0, 61.0, 1e9]},
        )
    )
    assert value(registry, "events_total", model="credit", type="prediction") == 3
    assert value(registry, "pending_predictions", model="credit") == 7
    assert value(registry, "label_delay_seconds_count", model="credit") == 4
    assert value(registry, "label_delay_seconds_sum", model="credit") == pytest.approx(1e9 + 121.5)


def test_counters_and_histograms_add_up_and_gauges_are_replaced(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    for _ in range(2):
        metrics.add(one_of_each())
    assert value(registry, "outcomes_total", model="x") == 2
    assert value(registry, "label_delay_seconds_count", model="x") == 2
    assert value(registry, "label_coverage_ratio", model="x") == 1


@pytest.mark.parametrize(
    ("bound", "count"), [("1.0", 1), ("5.0", 1), ("60.0", 2), ("300.0", 3), ("2592000.0", 3), ("+Inf", 4)]
)
def test_a_bucket_counts_every_reading_up_to_its_bound(
    registry: CollectorRegistry, metrics: Metrics, bound: str, count: int
) -> None:
    metrics.add(Tally(observations={("label_delay_seconds", ("m",)): [0.5, 60.0, 61.0, 1e9]}))
    assert value(registry, "label_delay_seconds_bucket", model="m", le=bound) == count


def test_a_shell_counts_sets_and_observes_one_value_at_a_time(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.count("checkpoints_total")
    metrics.count("checkpoint_bytes_total", by=512)
    metrics.set("lag_events", "driftline.predictions", "3", to=42)
    metrics.observe("checkpoint_seconds", value=0.02)
    assert value(registry, "checkpoints_total") == 1
    assert value(registry, "checkpoint_bytes_total") == 512
    assert value(registry, "lag_events", topic="driftline.predictions", partition="3") == 42
    assert value(registry, "checkpoint_seconds_sum") == 0.02


def test_metrics_without_labels_stand_at_zero_before_anything_happens(registry: CollectorRegistry) -> None:
    Metrics(registry, version="1")
    samples = [next(iter(metric.samples)) for metric in METRICS if not metric.labels]
    zero = {"le": "+Inf"}
    assert [
        registry.get_sample_value(sample, zero if sample.endswith("_bucket") else {}) for sample in samples
    ] == [0.0] * len(samples)


def test_the_build_says_its_version(registry: CollectorRegistry) -> None:
    Metrics(registry, version="1.2.3")
    assert value(registry, "build_info", version="1.2.3") == 1


def test_an_increment_of_zero_makes_the_series_appear(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.count("incidents_total", "m", "drift", "error", by=0)
    assert value(registry, "incidents_total", model="m", kind="drift", severity="error") == 0


@pytest.mark.parametrize(
    "tally",
    [
        Tally(counts={("pending_predictions", ("m",)): 1}),
        Tally(counts={("evnets_total", ("m", "prediction")): 1}),
        Tally(counts={("events_total", ("m",)): 1}),
        Tally(counts={("outcomes_total", ("m",)): -1}),
        Tally(counts={("outcomes_total", ("m",)): float("nan")}),
        Tally(gauges={("outcomes_total", ("m",)): 1}),
        Tally(gauges={("lag_events", ("t",)): 1}),
        Tally(gauges={("lag_events", ("t", 0)): 1}),  # type: ignore[dict-item]  # the mistake under test
        Tally(observations={("outcomes_total", ("m",)): [1.0]}),
        Tally(observations={("label_delay_seconds", ("m",)): [float("nan")]}),
        Tally(observations={("label_delay_seconds", ("m",)): [float("inf")]}),
    ],
    ids=repr,
)
def test_a_tally_that_names_what_does_not_exist_is_an_error(metrics: Metrics, tally: Tally) -> None:
    with pytest.raises(ValueError, match="_"):
        metrics.add(tally)


def test_the_first_names_are_kept_and_the_rest_are_other() -> None:
    bounded = Bounded(2)
    assert [bounded(name) for name in ("a", "b", "c", "a", "d", "b")] == ["a", "b", OTHER, "a", OTHER, "b"]


def test_a_thing_called_other_takes_no_place() -> None:
    bounded = Bounded(1)
    assert [bounded(OTHER), bounded("a")] == [OTHER, "a"]


def test_models_beyond_the_bound_are_counted_together(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry, version="1", max_models=2)
    metrics.add(Tally(counts={("outcomes_total", (name,)): 1 for name in "abcd"}))
    metrics.add(Tally(observations={("label_delay_seconds", (name,)): [1.0, 2.0] for name in "abcd"}))
    assert [value(registry, "outcomes_total", model=name) for name in ("a", "b", "c", OTHER)] == [
        1,
        1,
        None,
        2,
    ]
    assert value(registry, "label_delay_seconds_count", model=OTHER) == 4


@pytest.mark.parametrize(
    ("gauge", "labels", "shown"),
    [
        ("pending_predictions", {}, 5 + 3),
        ("label_coverage_ratio", {}, 3),
        ("incidents_open", {"kind": "drift", "severity": "error"}, 5 + 3),
        ("last_event_timestamp_seconds", {}, 5),
        ("signal_value", {"version": "1", "signal": "error"}, None),
    ],
)
def test_gauges_beyond_the_bound_are_folded_as_their_meaning_allows(
    registry: CollectorRegistry, gauge: str, labels: dict[str, str], shown: float | None
) -> None:
    metrics = Metrics(registry, version="1", max_models=1)
    for model, reading in (("a", 9), ("b", 4), ("c", 3), ("b", 5)):
        metrics.set(gauge, model, *labels.values(), to=reading)
    assert value(registry, gauge, model="a", **labels) == 9
    assert value(registry, gauge, model=OTHER, **labels) == shown


def test_versions_and_signals_have_bounds_of_their_own(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry, version="1", max_signals=1, max_versions=1)
    metrics.count("findings_total", "m", "error", "adwin")
    metrics.count("findings_total", "m", "score", "adwin")
    metrics.set("signal_value", "m", "v1", "error", to=1)
    metrics.set("signal_value", "m", "v2", "error", to=2)
    assert value(registry, "findings_total", model="m", signal=OTHER, detector="adwin") == 1
    assert value(registry, "signal_value", model="m", version="v1", signal="error") == 1
    assert value(registry, "signal_value", model="m", version="v2", signal="error") is None


def test_a_metric_never_has_more_series_than_its_bound(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry, version="1", max_series=10)
    for number in range(50):
        metrics.count("findings_total", f"m{number}", f"s{number}", "adwin")
        metrics.set("signal_value", f"m{number}", "1", "error", to=number)
    families: dict[str, Family] = {family.name: family for family in registry.collect()}
    assert len(families["driftline_findings"].samples) == 11
    assert value(registry, "findings_total", model=OTHER, signal=OTHER, detector="adwin") == 40
    assert [sample.value for sample in families["driftline_signal_value"].samples] == list(range(40, 50))


def test_a_full_gauge_drops_the_series_that_was_set_longest_ago(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry, version="1", max_series=2)
    for model in ("a", "b", "a", "c"):
        metrics.set("pending_predictions", model, to=1)
    assert [value(registry, "pending_predictions", model=name) for name in "abc"] == [1, None, 1]


def test_a_model_that_moved_away_leaves_its_counters_and_no_gauge(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.add(one_of_each())
    metrics.forget(model="x")
    left = {
        sample.name for family in registry.collect() for sample in family.samples if "model" in sample.labels
    }
    assert left
    assert not left & {metric.full_name for metric in METRICS if metric.type is Type.GAUGE}


def test_a_partition_that_moved_away_takes_its_lag_along(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.set("lag_events", "t", "0", to=1)
    metrics.set("lag_events", "t", "1", to=1)
    metrics.forget(topic="t", partition="1")
    assert value(registry, "lag_events", topic="t", partition="0") == 1
    assert value(registry, "lag_events", topic="t", partition="1") is None


def test_forgetting_nothing_in_particular_is_an_error(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="label"):
        metrics.forget()


def test_the_scrape_shows_every_metric_with_its_declared_type_and_labels(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.add(one_of_each())
    text = generate_latest(registry).decode()
    shown = {
        sample.name: (family.type, frozenset(sample.labels))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert shown == {
        sample: (str(metric.type), frozenset(labels))
        for metric in METRICS
        for sample, labels in metric.samples.items()
    }


def test_every_metric_is_named_once_and_says_what_it_is() -> None:
    assert len(NAMES) == len(METRICS)
    assert all(metric.help.endswith(".") for metric in METRICS)
    assert all(metric.name.endswith("_total") == (metric.type is Type.COUNTER) for metric in METRICS)
    assert all(list(metric.buckets) == sorted(set(metric.buckets)) for metric in METRICS)


def test_two_workers_in_one_process_have_a_registry_each() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first, version="1").count("checkpoints_total")
    Metrics(second, version="1")
    assert value(second, "checkpoints_total") == 0


def test_a_name_that_is_taken_already_is_refused(registry: CollectorRegistry) -> None:
    class Foreign(Collector):
        def collect(self) -> Iterator[Family]:
            return iter([Family("driftline_partitions", "Mine.", "gauge")])

        describe = collect

    registry.register(Foreign())
    with pytest.raises(ValueError, match="driftline_partitions"):
        Metrics(registry, version="1")
