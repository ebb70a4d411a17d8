"""Timelines through the whole pipeline: what is published when, and what on-call gets to see of it."""

from __future__ import annotations

import random

import msgspec
import pytest

from schemas.alerts import AlertReason, IncidentState, Kind, RejectReason
from schemas.policy import Bounds, Detectors, Horizons, Policy, Signals
from stream.core.intake import FORWARDED_HEADER
from stream.core.nouns import Topic
from stream.core.pipeline import Pipeline
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    DAY,
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Alarms,
    Happening,
    Timeline,
    a_pipeline,
    at,
    feedback,
    label,
    lifecycle,
    moment,
    prediction,
    right,
    watch,
    wrong,
)

EAGER = Policy(
    detectors=Detectors(warm_up=100),
    alerting=ONLY_ERRORS.alerting,
)
"""Real detectors over every signal, after a hundred readings."""


def with_bounds(**bounds: int) -> Policy:
    return msgspec.structs.replace(ONLY_ERRORS, bounds=Bounds(**bounds))


def with_horizons(**horizons: float) -> Policy:
    return msgspec.structs.replace(ONLY_ERRORS, horizons=Horizons(**horizons))


# What is there


def test_predictions_alone_are_watched_and_complete_nothing() -> None:
    t = watch()
    t.push(at(0), prediction("a"), prediction("b"))
    assert t.count("events_total", MODEL, "prediction") == 2
    assert t.count("outcomes_total") == 0
    assert t.pipeline.gauges().gauges["pending_predictions", (MODEL,)] == 2


def test_a_shift_in_predictions_alone_opens_an_incident() -> None:
    t = watch(EAGER, Registry())
    rng = random.Random(1)
    for second in range(600):
        score = rng.gauss(0.5 if second < 400 else 0.9, 0.05)
        t.push(at(second), prediction(f"p{second}", 1, score=score))
    assert [(i.signal, i.kind) for i in t.last().values()] == [("score", Kind.DRIFT)]
    evidence = t.incidents[0].evidence
    assert evidence.expected == pytest.approx(0.5, abs=0.05)
    assert evidence.observed > 0.7
    assert moment(at(400)) <= t.incidents[0].detected_at <= moment(at(450))


def test_feedback_alone_waits_and_completes_nothing() -> None:
    t = watch()
    t.push(at(0), label("a", 1), label("b", 1))
    assert t.count("outcomes_total") == 0
    t.push(at(2 * DAY), label("c", 1))
    assert t.count("orphans_total", MODEL) == 2


def test_a_label_that_arrives_first_waits_for_its_prediction() -> None:
    t = watch()
    t.push(at(0), label("a", 0))
    t.push(at(5), prediction("a", 1))
    assert t.count("outcomes_total") == 1
    assert t.alerts[0].trigger.event_id == "a"
    assert t.alerts[0].detected_at == moment(at(5))


def test_lifecycle_events_are_taken() -> None:
    t = watch()
    t.push(at(0), lifecycle("deployed-1"))
    assert t.count("events_total", MODEL, "lifecycle") == 1


def test_everything_twice_gives_what_once_gives() -> None:
    def run(times: int) -> Timeline:
        t = watch()
        for hour in range(12):
            name = f"p{hour}"
            for _ in range(times):
                t.push(at(hour * HOUR), wrong(name) if hour % 5 == 0 else right(name))
        return t

    once, twice = run(1), run(2)
    assert [(a.id, a.detected_at) for a in twice.alerts] == [(a.id, a.detected_at) for a in once.alerts]
    assert [i.history for i in twice.incidents] == [i.history for i in once.incidents]
    assert twice.count("duplicates_total") == 24
    assert once.alerts


def test_an_event_that_comes_again_long_after_is_a_duplicate_and_not_late() -> None:
    t = watch(with_horizons(lateness_seconds=HOUR))
    t.push(at(0), prediction("a"))
    t.push(at(DAY), prediction("b"))
    t.push(at(0), prediction("a"))
    assert t.count("duplicates_total", MODEL, "prediction") == 1
    assert not t.rejected


# From a finding to the end of its incident


def test_a_performance_drop_opens_one_incident() -> None:
    t = watch(EAGER, Registry())
    for second in range(300):
        t.push(at(second), right(f"p{second}") if second < 200 else wrong(f"p{second}", version=None))
    performance = [i for i in t.last().values() if i.kind is Kind.PERFORMANCE]
    assert [(i.signal, i.version, i.state) for i in performance] == [
        ("error", "unversioned", IncidentState.DETECTED)
    ]
    assert at(200) <= performance[0].detected_at.timestamp() <= at(230)
    assert performance[0].evidence.observed > 0.5
    assert performance[0].evidence.expected < 0.1


def test_the_first_finding_opens_an_incident_with_an_alert() -> None:
    t = watch()
    t.push(at(0), right("a"))
    t.push(at(10), wrong("b", version="2.1.0"))
    [alert], [incident] = t.alerts, t.incidents
    assert alert.reason is AlertReason.FIRST
    assert alert.incident_id == incident.id
    assert alert.fingerprint == incident.fingerprint
    assert (incident.model, incident.version, incident.signal) == (MODEL, "2.1.0", "error")
    assert incident.opened_at == incident.detected_at == moment(at(10))
    assert (incident.alerts, incident.findings, incident.resolved_at) == (1, 1, None)
    assert (incident.trigger.topic, incident.trigger.offset) == ("driftline.feedback", 1)
    assert incident.roles == ("ai_dev_team", "data_science_lead")


def test_a_finding_soon_after_is_counted_and_not_published() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(10), wrong("b"))
    assert len(t.alerts) == len(t.incidents) == 1


def test_an_incident_that_goes_on_is_repeated_after_the_repeat_time() -> None:
    t = watch()
    for minute in range(0, 125, 5):
        t.push(at(minute * 60), wrong(f"p{minute}"))
    assert [(a.reason, a.detected_at) for a in t.alerts] == [
        (AlertReason.FIRST, moment(at(0))),
        (AlertReason.REPEAT_DUE, moment(at(HOUR))),
        (AlertReason.REPEAT_DUE, moment(at(2 * HOUR))),
    ]
    assert len({a.id for a in t.alerts}) == 3
    [incident] = t.last().values()
    assert (incident.alerts, incident.findings) == (3, 25)
    assert incident.last_alert_at == moment(at(2 * HOUR))


def test_an_incident_recovers_when_its_series_went_on_without_a_finding() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    for hour in (1, 2, 2.9):
        t.push(at(hour * HOUR), right(f"b{hour}"))
    assert t.incidents[-1].resolved_at is None
    t.push(at(3.5 * HOUR), right("c"))
    recovered = t.incidents[-1]
    assert recovered.state is IncidentState.RECOVERED
    assert recovered.resolved_at == moment(at(3 * HOUR))
    assert [entry.state for entry in recovered.history] == [IncidentState.DETECTED, IncidentState.RECOVERED]


def test_a_series_that_falls_silent_does_not_recover() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(DAY), prediction("b"))
    assert t.incidents[-1].resolved_at is None


def test_a_finding_after_the_recovery_time_opens_a_new_incident_of_the_same_fingerprint() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(4 * HOUR), wrong("b"))
    first, closed, second = t.incidents
    assert closed.id == first.id
    assert closed.resolved_at == moment(at(3 * HOUR))
    assert second.id != first.id
    assert second.fingerprint == first.fingerprint


def test_the_open_incidents_are_a_gauge_that_falls_back_to_zero() -> None:
    t = watch()
    series = ("incidents_open", (MODEL, "performance", "error"))
    t.push(at(0), wrong("a"))
    assert t.pipeline.gauges().gauges[series] == 1
    t.push(at(4 * HOUR), right("b"))
    assert t.pipeline.gauges().gauges[series] == 0


# Labels late, never, too often


def test_a_label_that_comes_after_its_horizon_counts_as_never_come() -> None:
    t = watch(with_horizons(label_seconds=HOUR))
    t.push(at(0), prediction("a", 0))
    t.push(at(HOUR + 1), label("a", 1))
    assert t.count("outcomes_total") == 0
    assert t.count("unlabelled_total", MODEL) == 1
    assert not t.alerts


def test_a_label_of_a_time_within_the_horizon_that_arrives_after_it_has_not_come() -> None:
    """However the log is cut: what counts is the clock of the model's events."""
    policy = with_horizons(label_seconds=HOUR)
    t, cut = watch(policy), watch(policy)
    log = [*t.log.add(at(0), prediction("a", 0)), *t.log.add(at(2 * HOUR), prediction("b"))]
    log += t.log.add(at(HOUR - 1), label("a", 1))
    t.step(*log)
    for record in log:
        cut.step(record)
    assert t.count("outcomes_total") == cut.count("outcomes_total") == 0
    assert t.count("unlabelled_total") == cut.count("unlabelled_total") == 1


def test_coverage_is_the_share_of_labels_that_came_of_the_predictions_that_ended() -> None:
    t = watch(with_horizons(label_seconds=HOUR))
    t.push(at(0), prediction("a"), prediction("b"), label("a", 1), label("a", 0, id="again"))
    t.push(at(DAY), prediction("c"))
    assert t.pipeline.gauges().gauges["label_coverage_ratio", (MODEL,)] == 0.5


# Versions and models


def test_a_new_version_is_not_compared_with_the_old() -> None:
    t = watch(EAGER, Registry())
    rng = random.Random(2)
    for second in range(800):
        version, mean = ("1", 0.2) if second < 400 else ("2", 0.8)
        score = rng.gauss(mean, 0.02)
        t.push(at(second), prediction(f"p{second}", 1, version=version, score=score))
    assert not t.alerts


def test_a_new_version_warms_up_and_is_then_watched() -> None:
    t = watch(EAGER, Registry())
    rng = random.Random(3)
    for second in range(800):
        version, mean = ("1", 0.2) if second < 400 else ("2", 0.8 if second < 600 else 0.5)
        score = rng.gauss(mean, 0.02)
        t.push(at(second), prediction(f"p{second}", 1, version=version, score=score))
    assert [(i.version, i.signal) for i in t.last().values()] == [("2", "score")]


def test_the_version_that_was_seen_least_lately_is_evicted_and_its_incidents_are_closed() -> None:
    t = watch(with_bounds(versions=2))
    t.push(at(0), wrong("a", version="1"))
    t.push(at(1), wrong("b", version="2"))
    t.push(at(2), right("c", version="1"))
    t.push(at(3), prediction("d", version="3"))
    closed = [i for i in t.last().values() if i.resolved_at is not None]
    assert [(i.version, i.state) for i in closed] == [("2", IncidentState.RECOVERED)]
    assert closed[0].resolved_at == moment(at(1))
    assert "no longer watched" in closed[0].history[-1].reason
    assert t.count("evicted_total", "versions") == 1


def test_a_label_of_an_evicted_version_is_an_outcome_that_nobody_watches() -> None:
    t = watch(with_bounds(versions=1))
    t.push(at(0), prediction("a", 0, version="1"))
    t.push(at(1), prediction("b", 0, version="2"))
    t.push(at(2), label("a", 1))
    assert t.count("outcomes_total") == 1
    assert not t.alerts


def test_the_model_that_was_unseen_for_longest_is_evicted_and_its_incidents_are_closed() -> None:
    t = watch(max_models=2)
    t.push(at(0), wrong_of("old"))
    t.push(at(1), wrong_of("new"))
    t.push(at(2), prediction("x", model="old"))
    t.push(at(3), prediction("y", model="third"))
    assert t.pipeline.models() == ["old", "third"]
    assert t.count("evicted_total", "models") == 1
    assert {(i.model, i.state) for i in t.last().values()} == {
        ("old", IncidentState.DETECTED),
        ("new", IncidentState.RECOVERED),
    }


def test_a_model_that_was_evicted_begins_anew() -> None:
    t = watch(max_models=1)
    t.push(at(0), prediction("a", 0, model="one"))
    t.push(at(1), prediction("b", model="two"))
    t.push(at(2), {**label("a", 1), "model": "one"})
    assert t.count("outcomes_total") == 0


def test_an_event_that_is_refused_evicts_no_model() -> None:
    t = Timeline(a_pipeline(ONLY_ERRORS, max_models=1), now=at(0))
    t.push(at(0), prediction("a", model="real"))
    t.push(at(DAY), prediction("b", model="from-the-future"))
    assert t.pipeline.models() == ["real"]
    assert [r.reason for r in t.rejected] == [RejectReason.FUTURE]


def test_every_model_has_the_policy_of_its_own() -> None:
    silent = Policy(signals=Signals(error=False, output=False))
    t = watch(ONLY_ERRORS, own={"silent": silent})
    t.push(at(0), wrong_of("silent"), wrong_of("loud"))
    assert [alert.model for alert in t.alerts] == ["loud"]


def wrong_of(model: str) -> list[Happening]:
    name = f"{model}-p"
    return [prediction(name, 0, model=model), {**label(name, 1), "model": model}]


# What does not belong


def elsewhere(model: str) -> int:
    return 0 if model == MODEL else 3


def test_an_event_of_another_partition_is_forwarded_as_it_came() -> None:
    t = watch(partition_of=elsewhere)
    t.push(at(0), prediction("a", model="other"), headers=(("trace", b"1"),))
    [forward] = t.forwards
    assert (forward.topic, forward.model, forward.timestamp) == (Topic.PREDICTIONS, "other", at(0))
    assert forward.value == t.log.records[0].value
    assert forward.headers == (("trace", b"1"),)
    assert t.count("forwarded_total", "predictions") == 1
    assert t.count("events_total") == 0


def test_an_event_that_was_forwarded_is_not_sent_on_again() -> None:
    t = watch(partition_of=elsewhere)
    t.push(at(0), prediction("a", model="other"), headers=((FORWARDED_HEADER, b"1"),))
    assert not t.forwards
    assert t.count("events_total", "other", "prediction") == 1


def test_the_misrouted_elements_of_an_array_are_forwarded_alone() -> None:
    t = watch(partition_of=elsewhere)
    t.push_array(at(0), prediction("a"), prediction("b", model="other"))
    assert t.count("events_total", MODEL, "prediction") == 1
    [forward] = t.forwards
    assert msgspec.json.decode(forward.value)["id"] == "b"


def test_bad_elements_of_an_array_do_not_hurt_the_good_ones() -> None:
    t = watch()
    t.push_array(at(0), prediction("a", 0), b'{"type":"prediction"}', b'{"type":"wish"}', label("x", 1), prediction("b"))
    assert t.count("events_total", MODEL, "prediction") == 2
    assert [(r.reason, r.source.index) for r in t.rejected] == [
        (RejectReason.MISSING_FIELD, 1),
        (RejectReason.UNKNOWN_TYPE, 2),
        (RejectReason.WRONG_TOPIC, 3),
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RejectReason.EMPTY),
        (b"", RejectReason.EMPTY),
        (b"not json", RejectReason.MALFORMED),
        (b"[" * 100_000, RejectReason.MALFORMED),
        (b'{"type":"prediction","id":"a","model":"m","time":"2026-01-01T00:00:00Z","score":NaN}', RejectReason.NOT_FINITE),
        (b'{"type":"wish","id":"a","model":"m","time":"2026-01-01T00:00:00Z"}', RejectReason.UNKNOWN_TYPE),
        (b'{"type":"prediction","id":"a","model":"m","time":"1026-01-01T00:00:00Z"}', RejectReason.TIME_OUT_OF_RANGE),
    ],
)  # fmt: skip
def test_bad_bytes_are_rejected_with_their_reason_and_the_log_goes_on(
    value: bytes | None, reason: RejectReason
) -> None:
    t = watch()
    t.push_bytes(at(0), value)
    t.push(at(1), prediction("a"))
    assert [r.reason for r in t.rejected] == [reason]
    assert t.count("rejected_total", reason.value) == 1
    assert t.count("events_total") == 1


def test_an_empty_array_is_nothing() -> None:
    t = watch()
    t.push_array(at(0))
    t.push(at(1), prediction("a"))
    assert t.pipeline.positions[Topic.PREDICTIONS] == 2
    assert not t.rejected


def test_an_event_too_far_ahead_of_the_clock_is_rejected() -> None:
    t = Timeline(a_pipeline(ONLY_ERRORS), now=at(0))
    t.push(at(HOUR), prediction("just-about"))
    t.push(at(HOUR + 1), prediction("too-far"))
    assert [r.reason for r in t.rejected] == [RejectReason.FUTURE]


def test_predictions_read_ahead_of_their_labels_do_not_make_the_labels_late() -> None:
    t = watch(with_horizons(lateness_seconds=HOUR, label_seconds=10 * DAY))
    t.push(at(0), prediction("a", 0))
    t.push(at(DAY), prediction("b"))
    t.push(at(60), label("a", 1))
    assert not t.rejected
    assert t.count("outcomes_total") == 1


def test_numbers_of_any_size_are_watched() -> None:
    t = watch(EAGER, Registry())
    for second in range(150):
        huge = 1.7e308 if second % 2 else -1.7e308
        name = f"p{second}"
        t.push(at(second), prediction(name, huge, score=huge, features={"x": huge}), label(name, -huge))
    assert t.count("outcomes_total") == 150


def test_what_people_say_is_watched_beside_the_label() -> None:
    everything = msgspec.structs.replace(ONLY_ERRORS, signals=Signals(output=False))
    t = watch(everything)
    t.push(at(0), prediction("a"), feedback("a", "thumbs", value=False), label("a", 1))
    assert [alert.signal for alert in t.alerts] == ["thumbs_down"]


# Going on after a stop


def restarted(t: Timeline, pipeline: Pipeline) -> Timeline:
    """Stop after a checkpoint and go on with *pipeline*, which is new."""
    rows = {key: row for key, row in t.pipeline.rows().items() if row is not None}
    assert not pipeline.restore(rows)
    t.pipeline = pipeline
    return t


def test_an_incident_goes_on_after_a_restart() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t = restarted(t, a_pipeline(ONLY_ERRORS, Alarms()))
    t.push(at(10), wrong("b"))
    t.push(at(HOUR), wrong("c"))
    assert [a.reason for a in t.alerts] == [AlertReason.FIRST, AlertReason.REPEAT_DUE]
    assert len(t.last()) == 1
    assert t.incidents[-1].findings == 3

