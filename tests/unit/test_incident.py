"""An incident's way is a table; the readings of its series lead it along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from schemas.alerts import AlertReason, IncidentState, Kind
from schemas.events import Event
from schemas.policy import Alerting, Policy, Severities
from stream.core.alert import decide
from stream.core.errors import UnreadableRowError
from stream.core.incident import Incidents
from stream.core.nouns import (
    Admitted,
    Change,
    Finding,
    Healed,
    Readings,
    Record,
    SeriesKey,
    SeriesSpec,
    Topic,
    Watched,
)
from stream.core.procedure import TRANSITIONS, Cause
from tests.flow.timeline import at, moment, prediction, to_bytes

REPEAT, RECOVER = 100.0, 300.0
ERROR = SeriesSpec(key=SeriesKey("m", "1", "", "error"), kind=Kind.PERFORMANCE, only_rise=True)
SCORE = SeriesSpec(key=SeriesKey("m", "1", "", "score"), kind=Kind.DRIFT)


def some_incidents(group_seconds: float = 0.0) -> Incidents:
    alerting = Alerting(repeat_seconds=REPEAT, recover_seconds=RECOVER, group_seconds=group_seconds)
    return Incidents(Policy(alerting=alerting), decide)


def event(seq: int) -> Admitted:
    decoded: Event = msgspec.json.decode(to_bytes(at(seq), prediction(f"p{seq}")), type=Event)
    return Admitted(seq, at(seq), decoded, Record(Topic.FEEDBACK, 0, seq, at(seq), b""))


def watched(times: Sequence[int], found: Sequence[int] = (), spec: SeriesSpec = ERROR) -> Watched:
    """Give one reading at each of *times*, with findings at those that were *found*."""
    readings = Readings(
        values=np.ones(len(times)), times=np.array([at(t) for t in times]), at=[event(t) for t in times]
    )
    findings = [
        Finding(
            index=list(times).index(time), detector="adwin", observed=1.0, expected=0.0, statistic=1.0,
            threshold=0.5, n=1, window_start=at(time), window_end=at(time),
        )
        for time in found
    ]  # fmt: skip
    return Watched(spec=spec, readings=readings, findings=findings)


def follow(incidents: Incidents, *parts: Watched) -> list[Change]:
    return incidents.follow(parts, "driftline.")


def test_every_cause_has_its_transition_from_every_state_that_it_can_meet() -> None:
    is_open = {IncidentState.DETECTED}
    assert TRANSITIONS.keys() == {
        (None, Cause.DETECTED),
        (None, Cause.LOST),
        *((state, Cause.QUIET) for state in is_open),
        *((state, Cause.UNWATCHED) for state in is_open),
        *((state, Cause.LOST) for state in is_open),
        *((state, Cause.READ) for state in is_open),
        *((state, Cause.ACCEPTED) for state in is_open),
        *((state, Cause.ACCEPTED_IN_PART) for state in is_open),
    }


def test_every_state_is_reached_and_the_closed_one_is_left_by_nothing() -> None:
    assert {step.to for step in TRANSITIONS.values()} == set(IncidentState)
    assert not [state for state, _ in TRANSITIONS if state is IncidentState.RECOVERED]


def test_every_transition_has_a_reason_of_its_own() -> None:
    assert len({step.reason for step in TRANSITIONS.values()}) == len(TRANSITIONS)


def test_readings_without_a_finding_change_nothing() -> None:
    incidents = some_incidents()
    assert follow(incidents, watched([0, 10])) == []
    assert incidents.rows() == {}


def test_the_first_finding_opens_and_the_next_is_counted() -> None:
    [change] = follow(some_incidents(), watched([0, 10, 20], found=[10, 20]))
    assert change.seq == 10
    assert change.alert is not None
    assert change.alert.reason is AlertReason.FIRST
    assert change.incident.history[0].actor == "system"


def test_a_repeat_keeps_the_evidence_of_the_first_alert() -> None:
    changes = follow(some_incidents(), watched([0, 100], found=[0, 100]))
    assert [c.alert.reason for c in changes if c.alert] == [AlertReason.FIRST, AlertReason.REPEAT_DUE]
    assert changes[1].incident.evidence == changes[0].incident.evidence
    assert changes[1].incident.trigger == changes[0].incident.trigger
    assert changes[1].alert is not None
    assert changes[1].alert.trigger.event_id == "p100"
    assert changes[1].incident.alerts == 2


@pytest.mark.parametrize("cut", [1, 2, 6])
def test_it_recovers_at_the_first_reading_after_the_time_however_the_log_is_cut(cut: int) -> None:
    times, incidents, changes = [0, 100, 200, 299, 301, 400], some_incidents(), list[Change]()
    for start in range(0, len(times), cut):
        part = times[start : start + cut]
        changes += follow(incidents, watched(part, found=[0] if 0 in part else []))
    assert [(c.seq, c.incident.state) for c in changes] == [
        (0, IncidentState.DETECTED), (301, IncidentState.RECOVERED),
    ]  # fmt: skip
    assert changes[1].alert is None
    assert changes[1].incident.resolved_at == moment(at(RECOVER))


def test_a_finding_puts_the_recovery_off() -> None:
    changes = follow(some_incidents(), watched([0, 90, 380, 395], found=[0, 90]))
    assert [(c.seq, c.incident.state) for c in changes][1:] == [(395, IncidentState.RECOVERED)]


def test_a_finding_after_the_recovery_time_closes_and_opens() -> None:
    changes = follow(some_incidents(), watched([0, 500], found=[0, 500]))
    assert [(c.seq, c.incident.state, c.alert is not None) for c in changes] == [
        (0, IncidentState.DETECTED, True),
        (500, IncidentState.RECOVERED, False),
        (500, IncidentState.DETECTED, True),
    ]


def test_changes_of_several_series_come_in_the_order_of_the_log_and_then_of_signals() -> None:
    changes = follow(some_incidents(), watched([0, 5], found=[5], spec=SCORE), watched([0, 5], found=[0, 5]))
    assert [(c.seq, c.incident.signal) for c in changes] == [(0, "error"), (5, "score")]
    changes = follow(some_incidents(), watched([5], found=[5], spec=SCORE), watched([5], found=[5]))
    assert [c.incident.signal for c in changes] == ["error", "score"]


def test_closing_a_version_closes_its_incidents_alone_in_the_order_of_their_series() -> None:
    other = SeriesSpec(key=SeriesKey("m", "2", "", "error"), kind=Kind.PERFORMANCE)
    incidents = some_incidents()
    follow(incidents, *(watched([3, 7], found=[3], spec=spec) for spec in (SCORE, other, ERROR)))
    closed = incidents.close_unwatched("1")
    assert [(i.signal, i.state, i.resolved_at) for i in closed] == [
        ("error", IncidentState.RECOVERED, moment(at(7))),
        ("score", IncidentState.RECOVERED, moment(at(7))),
    ]
    assert [i.version for i in incidents.open_incidents()] == ["2"]


def test_closing_all_leaves_none_open() -> None:
    incidents = some_incidents()
    follow(incidents, watched([0], found=[0]), watched([0], found=[0], spec=SCORE))
    assert len(incidents.close_unwatched()) == 2
    assert incidents.open_incidents() == []


def test_the_severity_is_that_of_its_kind() -> None:
    [change] = follow(some_incidents(), watched([0], found=[0]))
    assert change.incident.severity is Severities().of(Kind.PERFORMANCE)


def test_an_open_incident_is_a_row_and_a_closed_one_deletes_it() -> None:
    incidents = some_incidents()
    follow(incidents, watched([0], found=[0]))
    assert incidents.rows()[ERROR.key] is not None
    assert incidents.rows() == {}
    incidents.close_unwatched()
    assert incidents.rows() == {ERROR.key: None}


def test_a_restored_incident_goes_on_alike() -> None:
    steady, restored = some_incidents(), some_incidents()
    follow(steady, watched([0, 10], found=[0, 10]))
    row = steady.rows()[ERROR.key]
    assert row is not None
    restored.restore(ERROR.key, row)
    later = watched([120, 130, 500], found=[120])
    assert follow(restored, later) == follow(steady, later)


def test_a_row_that_cannot_be_read_says_so() -> None:
    with pytest.raises(UnreadableRowError):
        some_incidents().restore(ERROR.key, b"\xc1")


def lasting(times: Sequence[int], found: int | None = None, healed: int | None = None) -> Watched:
    """Give one reading at each of *times*; at one of them a lasting change is *found*, or has *healed*."""
    part = watched(times, () if found is None else (found,))
    said: list[Finding | Healed] = [
        replace(one, lasts=True) for one in part.findings if isinstance(one, Finding)
    ]
    if healed is not None:
        said.append(Healed(index=list(times).index(healed), detector="quiet"))
    return replace(part, findings=said)


def test_a_lasting_change_holds_its_incident_open() -> None:
    incidents = some_incidents()
    follow(incidents, lasting([0, 1], found=1))
    assert follow(incidents, watched([int(20 * RECOVER)])) == []
    assert incidents.is_open(ERROR.key)


def test_when_a_change_has_healed_the_recovery_time_begins() -> None:
    incidents = some_incidents()
    follow(incidents, lasting([0, 1], found=1))
    assert follow(incidents, lasting([2_000, 2_001, 2_299], healed=2_000)) == []
    (recovered,) = follow(incidents, watched([2_400]))
    assert recovered.incident.state is IncidentState.RECOVERED
    assert recovered.incident.resolved_at == moment(at(2_300))


def test_a_relapse_within_the_recovery_time_is_the_same_incident_and_wakes_nobody() -> None:
    incidents = some_incidents()
    (opened,) = follow(incidents, lasting([0, 1], found=1))
    follow(incidents, lasting([2_000], healed=2_000))
    assert follow(incidents, lasting([2_200], found=2_200)) == []
    ((again,),) = [incidents.open_incidents()]
    assert (again.id, again.alerts, again.findings) == (opened.incident.id, 1, 2)
    assert follow(incidents, watched([9_000])) == []


def test_what_heals_without_an_incident_is_no_matter() -> None:
    assert follow(some_incidents(), lasting([1], healed=1)) == []


def test_a_restored_incident_is_held_open_only_while_its_series_is_watched() -> None:
    incidents = some_incidents()
    follow(incidents, lasting([0, 1], found=1))
    ((key, row),) = incidents.rows().items()
    assert row is not None
    for series, is_open in (({ERROR.key}, True), (set[SeriesKey](), False)):
        restored = some_incidents()
        restored.restore(key, row)
        restored.let_go(series)
        follow(restored, watched([2_000]))
        assert restored.is_open(ERROR.key) is is_open


def test_what_goes_much_further_in_an_open_incident_is_told_again() -> None:
    """A second alert of the same incident, though what lasts is not repeated."""
    incidents = some_incidents()
    part = watched([0, 10, 20], [0, 10, 20])
    first, second, third = part.findings
    findings = [
        replace(one, lasts=True, is_worse=is_worse)
        for one, is_worse in ((first, False), (second, False), (third, True))
        if isinstance(one, Finding)
    ]
    changes = incidents.follow([replace(part, findings=findings)], "")
    told = [change.alert for change in changes if change.alert is not None]
    assert [alert.reason for alert in told] == [AlertReason.FIRST, AlertReason.ESCALATED]
    assert told[1].evidence == findings[2].evidence()
    assert {alert.incident_id for alert in told} == {changes[-1].incident.id}
