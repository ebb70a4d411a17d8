"""Input that was deleted unread is told once, under a name that follows from where it stood."""

from __future__ import annotations

import json

import pytest

from schemas.alerts import AlertReason, Incident, IncidentState, Kind, Severity
from stream.config import Settings
from stream.core.lost import NAMED_LOSSES, Gap
from stream.core.nouns import Record, Result, Topic, utc
from stream.core.pipeline import Pipeline
from stream.wiring import build_replay_pipeline

NOON = 1_772_000_000.0


def skip(gap: Gap, topic: Topic = Topic.PREDICTIONS, at: float = NOON) -> tuple[Pipeline, Result]:
    pipeline = build_replay_pipeline(Settings())
    return pipeline, pipeline.skip(topic, gap, at)


def read(pipeline: Pipeline, *times: float, first: int = 0) -> Result:
    """Let the pipeline read a prediction of each of *times*, in seconds after noon."""
    events = [
        {"type": "prediction", "id": f"p-{number}", "model": "credit", "time": utc(NOON + after).isoformat()}
        for number, after in enumerate(times, start=first)
    ]
    offset = pipeline.positions[Topic.PREDICTIONS]
    records = [
        Record(Topic.PREDICTIONS, 0, offset + place, NOON + times[place], json.dumps(event).encode())
        for place, event in enumerate(events)
    ]
    return pipeline.step(records, NOON + 10**9)


def restored(pipeline: Pipeline, kept: dict[bytes, bytes] | None = None) -> Pipeline:
    """Let a crash follow a checkpoint; *kept* are the rows of those before, and take up its own."""
    rows = kept if kept is not None else {}
    for key, row in pipeline.rows().items():
        rows.pop(key, None)
        if row is not None:
            rows[key] = row
    again = build_replay_pipeline(Settings())
    assert again.restore(rows) == []
    return again


def incident_of(result: Result) -> Incident:
    (incident,) = result.incidents
    return incident


def test_lost_input_is_an_incident_of_governance_that_names_topic_partition_and_offsets() -> None:
    pipeline, result = skip(Gap(100, 150, is_lost=True))
    incident = incident_of(result)
    (alert,) = result.alerts
    assert pipeline.positions[Topic.PREDICTIONS] == 150
    assert (incident.kind, incident.severity, incident.state) == (
        Kind.GOVERNANCE, Severity.WARNING, IncidentState.DETECTED,
    )  # fmt: skip
    assert (incident.trigger.topic, incident.trigger.partition) == ("driftline.predictions", 0)
    assert (incident.trigger.offset, incident.evidence.n) == (100, 50)
    assert incident.history[0].reason == (
        "input was deleted before it was read: offsets 100 to 149 of topic driftline.predictions, partition 0"
    )
    assert (alert.incident_id, alert.fingerprint) == (incident.id, incident.fingerprint)
    assert result.tally.counts["lost_offsets_total", ("predictions",)] == 50


def test_its_id_is_the_same_whenever_it_is_found_and_however_much_is_gone_by_then() -> None:
    early = incident_of(skip(Gap(100, 150, is_lost=True))[1])
    late = incident_of(skip(Gap(100, 170, is_lost=True), at=NOON + 60)[1])
    assert early.id == late.id
    assert late.evidence.n == 70


def test_what_is_lost_elsewhere_is_another_incident() -> None:
    gaps = [(Topic.PREDICTIONS, 100), (Topic.PREDICTIONS, 150), (Topic.FEEDBACK, 100)]
    ids = {incident_of(skip(Gap(start, 200, is_lost=True), topic)[1]).id for topic, start in gaps}
    assert len(ids) == len(gaps)


def test_a_hole_without_records_is_passed_in_silence() -> None:
    pipeline, result = skip(Gap(100, 101, is_lost=False))
    assert pipeline.positions[Topic.PREDICTIONS] == 101
    assert (result.incidents, result.alerts, dict(result.tally.counts)) == ([], [], {})


def test_the_position_behind_a_gap_is_in_the_next_checkpoint() -> None:
    pipeline, _ = skip(Gap(100, 150, is_lost=True))
    again = build_replay_pipeline(Settings())
    again.restore({key: row for key, row in pipeline.rows().items() if row is not None})
    assert again.positions == pipeline.positions


def test_a_pipeline_without_a_position_begins_where_the_log_does() -> None:
    pipeline = build_replay_pipeline(Settings())
    assert pipeline.is_new
    pipeline.begin_at({Topic.FEEDBACK: 7})
    assert pipeline.positions == {**dict.fromkeys(Topic, 0), Topic.FEEDBACK: 7}
    again = build_replay_pipeline(Settings())
    again.restore({key: row for key, row in pipeline.rows().items() if row is not None})
    assert not again.is_new


RECOVERY = 86_400.0
"""The default policy's ``recover_seconds``."""


def test_a_loss_is_over_when_the_worker_has_caught_up_and_read_on_for_the_recovery_time() -> None:
    pipeline, opened = skip(Gap(100, 150, is_lost=True))
    behind = read(pipeline, -7_200.0, -60.0, 0.0, RECOVERY - 1)
    assert behind.incidents == []
    closed = incident_of(read(pipeline, RECOVERY, first=10))
    assert closed.id == incident_of(opened).id
    assert (closed.state, closed.resolved_at) == (IncidentState.RECOVERED, utc(NOON + RECOVERY))
    assert closed.history[-1].reason == "input was read without a further loss for the recovery time"
    assert read(pipeline, 2 * RECOVERY, first=20).incidents == []


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_where_it_ends_does_not_depend_on_batches_nor_on_a_crash(cut: int) -> None:
    times = (-60.0, RECOVERY - 1, RECOVERY + 5, RECOVERY - 3, 2 * RECOVERY)
    whole = read(skip(Gap(100, 150, is_lost=True))[0], *times)
    kept: dict[bytes, bytes] = {}
    pipeline = restored(skip(Gap(100, 150, is_lost=True))[0], kept)
    told: list[Incident] = []
    for start in range(0, len(times), cut):
        told += read(pipeline, *times[start : start + cut], first=start).incidents
        pipeline = restored(pipeline, kept)
    assert told == whole.incidents
    assert len(told) == 1


def test_a_further_loss_of_the_topic_goes_on_with_the_incident_and_puts_its_end_off() -> None:
    pipeline, opened = skip(Gap(100, 150, is_lost=True))
    again = pipeline.skip(Topic.PREDICTIONS, Gap(180, 200, is_lost=True), NOON + 600)
    joined = incident_of(again)
    assert again.alerts == []
    assert joined.id == incident_of(opened).id
    assert (joined.findings, joined.alerts, joined.evidence.n, joined.trigger.offset) == (2, 1, 70, 100)
    assert joined.history[1].reason == (
        "more input was deleted before it was read: "
        "offsets 180 to 199 of topic driftline.predictions, partition 0"
    )
    assert read(pipeline, RECOVERY + 599).incidents == []
    assert incident_of(read(pipeline, RECOVERY + 600, first=10)).state is IncidentState.RECOVERED


def test_losses_that_go_on_are_told_again_when_that_is_due() -> None:
    pipeline, opened = skip(Gap(100, 150, is_lost=True))
    again = pipeline.skip(Topic.PREDICTIONS, Gap(180, 200, is_lost=True), NOON + 10**6)
    (alert,) = again.alerts
    assert (alert.reason, alert.incident_id) == (AlertReason.REPEAT_DUE, incident_of(opened).id)
    assert (alert.evidence.n, alert.trigger.offset) == (20, 180)
    assert alert.id != opened.alerts[0].id


def test_a_loss_after_the_end_of_an_incident_is_another_one() -> None:
    pipeline, opened = skip(Gap(100, 150, is_lost=True))
    read(pipeline, RECOVERY)
    again = pipeline.skip(Topic.PREDICTIONS, Gap(180, 200, is_lost=True), NOON + 2 * RECOVERY)
    assert incident_of(again).id != incident_of(opened).id
    assert [alert.reason for alert in again.alerts] == [AlertReason.FIRST]


def test_an_incident_does_not_grow_without_bound_while_losses_go_on() -> None:
    pipeline, _ = skip(Gap(0, 1, is_lost=True))
    for number in range(1, 2 * NAMED_LOSSES):
        last = pipeline.skip(Topic.PREDICTIONS, Gap(2 * number, 2 * number + 1, is_lost=True), NOON + number)
    incident = incident_of(last)
    assert len(incident.history) == NAMED_LOSSES
    assert (incident.findings, incident.evidence.n) == (2 * NAMED_LOSSES, 2 * NAMED_LOSSES)
    assert incident_of(read(restored(pipeline), 2 * RECOVERY)).id == incident.id


def test_topics_lose_and_recover_on_their_own() -> None:
    pipeline, _ = skip(Gap(100, 150, is_lost=True))
    pipeline.skip(Topic.FEEDBACK, Gap(5, 9, is_lost=True), NOON + 600)
    (first,) = read(pipeline, RECOVERY).incidents
    (second,) = read(pipeline, RECOVERY + 600, first=10).incidents
    assert (first.signal, second.signal) == ("lost:predictions-0", "lost:feedback-0")
