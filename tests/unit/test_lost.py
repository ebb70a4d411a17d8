"""Input that was deleted unread is told once, under a name that follows from where it stood."""

from __future__ import annotations

from schemas.alerts import Incident, IncidentState, Kind, Severity
from stream.config import Settings
from stream.core.lost import Gap
from stream.core.nouns import Result, Topic
from stream.core.pipeline import Pipeline
from stream.wiring import build_replay_pipeline

NOON = 1_772_000_000.0


def skip(gap: Gap, topic: Topic = Topic.PREDICTIONS, at: float = NOON) -> tuple[Pipeline, Result]:
    pipeline = build_replay_pipeline(Settings())
    return pipeline, pipeline.skip(topic, gap, at)


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
