"""A store that is full and is given more: what goes is counted, and one incident of governance says so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.alerts import IncidentState, Kind
from schemas.policy import Bounds, Policy
from tests.flow.timeline import HOUR, MODEL, ONLY_ERRORS, Timeline, at, prediction, watch

GUARDED: Policy = msgspec.structs.replace(
    ONLY_ERRORS,
    signals=msgspec.structs.replace(ONLY_ERRORS.signals, bounds=True, features=True),
    bounds=Bounds(versions=2, features=3),
)


def names(t: Timeline) -> list[tuple[str, str, str, str, IncidentState]]:
    return [(i.model, i.version, i.segment, i.signal, i.state) for i in t.last().values()]


def naming(store: str, name: str) -> dict[str, Any]:
    """Give the field by which an event names an entry of *store*."""
    if store == "features":
        return {"features": {name: 0.0}}
    return {"model" if store == "models" else "version": name}


def flood(store: str, t: Timeline, start: float, number: int, every: float = 10) -> None:
    """Send events of which each names something new."""
    for n in range(number):
        name = f"{store}-{start}-{n}"
        t.push(at(start + every * n), prediction(name, **naming(store, name)))


def honest(store: str, t: Timeline, time: float, known: str) -> None:
    """Send an event that names nothing new."""
    named = {} if store == "features" else naming(store, known)
    t.push(at(time), prediction(f"honest-{time}", **named))


def bounded(policy: Policy = GUARDED) -> Timeline:
    return watch(policy, max_models=3)


WANTED = {
    "models": ("", "", "partition:0", "bounds:models"),
    "versions": (MODEL, "", "", "bounds:versions"),
    "features": (MODEL, "", "", "bounds:features"),
}


@pytest.mark.parametrize("store", WANTED)
def test_the_first_thing_dropped_opens_an_incident_and_the_rest_only_count(store: str) -> None:
    t = bounded()
    flood(store, t, 0, 30)
    assert names(t) == [(*WANTED[store], IncidentState.DETECTED)]
    (incident,) = t.last().values()
    bound = 2 if store == "versions" else 3
    assert incident.kind is Kind.GOVERNANCE
    assert incident.trigger.event_id == f"{store}-0-{bound}"
    assert len(t.alerts) == 1
    assert t.count("evicted_total", store) == 30 - bound


@pytest.mark.parametrize("store", WANTED)
def test_it_recovers_when_nothing_was_dropped_for_the_recovery_time(store: str) -> None:
    t = bounded()
    flood(store, t, 0, 5)
    honest(store, t, 40 + 3 * HOUR - 1, f"{store}-0-4")
    assert names(t) == [(*WANTED[store], IncidentState.DETECTED)]
    honest(store, t, 40 + 3 * HOUR + 1, f"{store}-0-4")
    assert names(t) == [(*WANTED[store], IncidentState.RECOVERED)]


@pytest.mark.parametrize("store", WANTED)
def test_a_flood_that_goes_on_is_repeated_as_any_other_incident(store: str) -> None:
    t = bounded()
    flood(store, t, 0, 70, every=120)
    assert len(t.last()) == 1
    assert len(t.alerts) == 3  # at once, after an hour, after two


def test_a_model_that_is_evicted_takes_its_own_incident_along() -> None:
    t = bounded()
    flood("versions", t, 0, 5)
    flood("models", t, 100, 3)
    assert names(t) == [
        (*WANTED["versions"], IncidentState.RECOVERED),
        (*WANTED["models"], IncidentState.DETECTED),
    ]


def test_a_policy_may_leave_bounds_unwatched() -> None:
    t = bounded(msgspec.structs.replace(GUARDED, signals=ONLY_ERRORS.signals))
    for store in WANTED:
        flood(store, t, 0, 10)
    assert t.incidents == []
    assert t.count("evicted_total") > 0


@pytest.mark.parametrize("store", WANTED)
def test_a_restart_leaves_it_open(store: str) -> None:
    t = bounded()
    flood(store, t, 0, 5)
    rows = {key: row for key, row in t.pipeline.rows().items() if row is not None}
    again = bounded()
    assert again.pipeline.restore(rows) == []
    flood(store, again, 60, 5)
    assert again.incidents == []
    honest(store, again, 200 + 3 * HOUR, f"{store}-60-4")
    assert [i.state for i in again.incidents] == [IncidentState.RECOVERED]
    assert {i.id for i in again.incidents} == {i.id for i in t.incidents}
