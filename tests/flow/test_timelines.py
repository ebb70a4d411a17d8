"""Timelines through the whole pipeline: what is published when, and what on-call gets to see of it."""

from __future__ import annotations

import random

import pytest

from schemas.alerts import AlertReason, IncidentState, Kind
from schemas.policy import Policy
from stream.core.pipeline import Pipeline
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    DAY,
    EAGER,
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Alarms,
    Timeline,
    a_pipeline,
    at,
    label,
    lifecycle,
    moment,
    prediction,
    right,
    watch,
    with_horizons,
    wrong,
)

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


# From a finding


def test_a_fault_that_moves_twenty_features_at_once_is_one_incident() -> None:
    t = watch(Policy(detectors=EAGER.detectors), Registry())
    for second in range(400):
        shift = 40.0 if second >= 250 else 0.0
        noise = random.Random(second)
        features = {f"f{number:02d}": noise.gauss(shift, 1.0) for number in range(20)}
        t.push(at(second), prediction(f"p{second}", features=features))
    assert len(t.last()) == 1
    [incident] = t.last().values()
    assert incident.series == len(incident.parts) == 20
    assert [alert.reason for alert in t.alerts] == [AlertReason.FIRST]
    assert {part.turn for part in incident.parts} == set(range(1, 21))


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


# Labels late


def test_a_label_that_comes_after_its_horizon_counts_as_never_come() -> None:
    t = watch(with_horizons(label_seconds=HOUR, future_seconds=1))
    t.push(at(0), prediction("a", 0))
    t.push(at(HOUR + 1), label("a", 1))
    assert t.count("outcomes_total") == 0
    t.push(at(HOUR + 2), prediction("b"))
    assert t.count("unlabelled_total", MODEL) == 1
    assert not t.alerts


def test_a_label_of_a_time_within_the_horizon_that_arrives_after_it_has_not_come() -> None:
    """However the log is cut: what counts is the clock of the model's events."""
    policy = with_horizons(label_seconds=HOUR, future_seconds=HOUR / 2)
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
