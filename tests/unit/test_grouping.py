"""Series that move for one cause are parts of one incident, in the order of their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.alerts import AlertReason, IncidentState, Kind, Severity
from schemas.events import Prediction
from schemas.policy import Alerting, Policy
from stream.core.alert import decide
from stream.core.errors import UnreadableRowError
from stream.core.incident import Incidents
from stream.core.nouns import (
    Admitted,
    Change,
    Finding,
    Readings,
    Record,
    SeriesKey,
    SeriesSpec,
    Topic,
    Watched,
)
from stream.core.parts import PARTS_MAX
from tests.flow.timeline import at, moment, prediction, to_bytes

REPEAT, RECOVER, GROUP = 1_000.0, 300.0, 50.0
EVENT = msgspec.json.decode(to_bytes(at(0), prediction("p")), type=Prediction)


def spec(signal: str, kind: Kind = Kind.DRIFT, version: str = "1") -> SeriesSpec:
    return SeriesSpec(key=SeriesKey("m", version, "", signal), kind=kind)


A, B, C = spec("a"), spec("b"), spec("c")
ERROR = spec("error", Kind.PERFORMANCE)


def some_incidents(group_seconds: float = GROUP) -> Incidents:
    alerting = Alerting(repeat_seconds=REPEAT, recover_seconds=RECOVER, group_seconds=group_seconds)
    return Incidents(Policy(alerting=alerting), decide)


def read(
    one: SeriesSpec,
    times: Sequence[int],
    found: Sequence[int] = (),
    *,
    since: int | None = None,
    strength: float = 2.0,
) -> Watched:
    """Give one reading at each of *times*, with findings at those *found*, on evidence from *since* on."""
    stood = [Admitted(t, at(t), EVENT, Record(Topic.PREDICTIONS, 0, t, at(t), b"")) for t in times]
    readings = Readings(values=np.ones(len(times)), times=np.array([at(t) for t in times]), at=stood)
    findings = [
        Finding(
            index=list(times).index(time), detector="d", observed=1.0, expected=0.0, statistic=strength,
            threshold=1.0, n=1, window_start=at(time if since is None else since), window_end=at(time),
        )
        for time in found
    ]  # fmt: skip
    return Watched(spec=one, readings=readings, findings=findings)


def follow(incidents: Incidents, *parts: Watched) -> list[Change]:
    return incidents.follow(parts, "driftline.")


def test_what_moves_within_the_window_is_one_incident_with_one_alert() -> None:
    changes = follow(some_incidents(), read(A, [0, 60], [0]), read(B, [40], [40]), read(C, [60], [60]))
    assert len({change.incident.id for change in changes}) == 1
    assert [change.alert.reason for change in changes if change.alert] == [AlertReason.FIRST]
    last = changes[-1].incident
    assert (last.series, last.findings, last.alerts, last.signal) == (3, 3, 1, "a")
    assert {part.signal for part in last.parts} == {"a", "b", "c"}


def test_twenty_series_at_once_are_one_incident() -> None:
    fault = [read(spec(f"f{number:02d}"), [5], [5]) for number in range(20)]
    changes = follow(some_incidents(), *fault)
    assert len({change.incident.id for change in changes}) == 1
    assert sum(change.alert is not None for change in changes) == 1
    assert changes[-1].incident.series == len(changes[-1].incident.parts) == 20


def test_parts_stand_by_the_strength_of_their_evidence_and_say_which_moved_first() -> None:
    changes = follow(
        some_incidents(),
        read(A, [40], [40], since=30, strength=2.0),
        read(B, [50], [50], since=10, strength=3.0),
        read(C, [60], [60], since=20, strength=9.0),
    )
    parts = changes[-1].incident.parts
    assert [(part.signal, part.turn) for part in parts] == [("c", 2), ("b", 1), ("a", 3)]


def test_evidence_that_begins_long_after_the_last_join_is_another_incident() -> None:
    changes = follow(
        some_incidents(), read(A, [0, 200], [0]), read(B, [51], [51]), read(C, [99], [99], since=40)
    )
    assert [change.incident.signal for change in changes] == ["a", "b", "b"]


def test_what_joins_extends_the_window() -> None:
    changes = follow(some_incidents(), read(A, [0], [0]), read(B, [40], [40]), read(C, [80], [80]))
    assert {change.incident.signal for change in changes} == {"a"}


def test_without_a_window_every_series_has_its_own() -> None:
    changes = follow(some_incidents(0.0), read(A, [0], [0]), read(B, [0], [0]))
    assert [change.incident.signal for change in changes] == ["a", "b"]


def test_governance_is_a_matter_of_its_own() -> None:
    bound = spec("bounds:versions", Kind.GOVERNANCE, version="")
    for order in ([bound, A], [A, bound]):
        changes = follow(some_incidents(), *(read(one, [t], [t]) for t, one in enumerate(order)))
        assert [change.incident.signal for change in changes] == [one.key.signal for one in order]


def test_a_graver_series_raises_the_severity_and_wakes_again() -> None:
    changes = follow(some_incidents(), read(A, [0], [0]), read(ERROR, [20], [20]), read(B, [30], [30]))
    assert [change.incident.severity for change in changes] == [
        Severity.WARNING,
        Severity.ERROR,
        Severity.ERROR,
    ]
    reasons = [change.alert.reason if change.alert else None for change in changes]
    assert reasons == [AlertReason.FIRST, AlertReason.ESCALATED, None]


def test_it_recovers_when_its_last_series_has() -> None:
    incidents = some_incidents()
    follow(incidents, read(A, [0], [0]), read(B, [40], [40]))
    changes = follow(incidents, read(A, [310, 400]), read(B, [310, 400]))
    assert [(change.seq, change.incident.state) for change in changes] == [
        (310, IncidentState.DETECTED),
        (400, IncidentState.RECOVERED),
    ]
    quiet = {part.signal: part.resolved_at for part in changes[0].incident.parts}
    assert quiet == {"a": moment(at(RECOVER)), "b": None}
    assert changes[1].incident.resolved_at == moment(at(40 + RECOVER))
    assert incidents.open_incidents() == []


def test_a_part_that_moves_again_is_no_longer_recovered() -> None:
    incidents = some_incidents()
    follow(incidents, read(A, [0], [0]), read(B, [40], [40]))
    changes = follow(incidents, read(A, [310, 330], [330]), read(B, [400]))
    assert [[part.resolved_at is None for part in change.incident.parts] for change in changes] == [
        [False, True],
        [True, True],
        [True, False],
    ]
    assert len({change.incident.id for change in changes}) == 1


def test_a_version_that_goes_takes_its_parts_alone() -> None:
    incidents = some_incidents()
    follow(incidents, read(A, [0], [0]), read(spec("a", version="2"), [10], [10]))
    [incident] = incidents.close_unwatched("1")
    assert incident.state is IncidentState.DETECTED
    assert {part.version: part.resolved_at for part in incident.parts} == {"1": moment(at(0)), "2": None}
    [incident] = incidents.close_unwatched("2")
    assert incident.state is IncidentState.RECOVERED
    assert incident.resolved_at == moment(at(10))


def test_more_series_than_can_be_shown_are_counted_and_recover() -> None:
    incidents = some_incidents()
    specs = [spec(f"f{number:03d}") for number in range(PARTS_MAX + 30)]
    fault = [read(one, [5], [5], strength=2.0 + place) for place, one in enumerate(specs)]
    last = follow(incidents, *fault)[-1].incident
    assert (last.series, len(last.parts)) == (PARTS_MAX + 30, PARTS_MAX)
    assert last.parts[0].signal == specs[-1].key.signal
    changes = follow(incidents, *(read(one, [400]) for one in specs))
    assert [change.incident.state for change in changes][-2:] == [
        IncidentState.DETECTED,
        IncidentState.RECOVERED,
    ]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=40),
    st.lists(st.integers(1, 12), max_size=20),
    st.sampled_from([0, 1]),
    st.sampled_from([None, 0]),
)
def test_neither_cuts_nor_a_crash_change_what_comes_out(
    log: list[tuple[int, bool]], cuts: list[int], crashes: Literal[0, 1], since: int | None
) -> None:
    specs, step = [A, B, ERROR], 37

    def part(start: int, stop: int) -> list[Watched]:
        seen = [(place, *log[place]) for place in range(start, stop)]
        return [
            read(
                one, times, [place * step for place, of, found in seen if of == number and found], since=since
            )
            for number, one in enumerate(specs)
            if (times := [place * step for place, of, _ in seen if of == number])
        ]

    whole = follow(some_incidents(), *part(0, len(log)))
    incidents, changes, start = some_incidents(), list[Change](), 0
    for size in [*cuts, len(log)]:
        changes += follow(incidents, *part(start, min(len(log), start + size)))
        start = min(len(log), start + size)
        if crashes:
            incidents = restored(incidents)
    assert changes == whole


def restored(incidents: Incidents) -> Incidents:
    """Give other incidents that took every row of these, as if none had been written before."""
    other = some_incidents()
    for opened in incidents.open_incidents():
        incidents.follow([read(spec(opened.signal, opened.kind, opened.version), [0])], "")
    for key, row in incidents.rows().items():
        if row is not None:
            other.restore(key, row)
    return other


@pytest.mark.parametrize("wrong", ["another model", "twice", "not its own"])
def test_a_row_about_series_of_others_is_refused(wrong: str) -> None:
    incidents = some_incidents()
    follow(incidents, read(A, [0], [0]), read(B, [10], [10]))
    row = cast("dict[str, list[list[object]]]", msgspec.msgpack.decode(incidents.rows()[A.key] or b""))
    if wrong == "another model":
        row["held"][1][0] = ["other", "1", "", "b"]
    elif wrong == "twice":
        row["held"][1] = row["held"][0]
    else:
        del row["held"][0]
    with pytest.raises(UnreadableRowError):
        some_incidents().restore(A.key, msgspec.msgpack.encode(row))
