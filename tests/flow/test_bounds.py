"""A store that is full and is given more: what goes is counted, and one incident of governance says so."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from schemas.alerts import IncidentState, Kind
from schemas.policy import Bounds, Signals
from stream.core.seen import CHUNK_IDS
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Timeline,
    at,
    feedback,
    label,
    lifecycle,
    prediction,
    watch,
)

SIGNALS: Final = msgspec.structs.replace(
    ONLY_ERRORS.signals, bounds=True, features=True, output=True, new_category=True
)
BOUNDS: Final = {"models": 3, "versions": 2, "features": 3, "classes": 3, "pending": 3, "orphans": 3}
ALSO: Final = {"categories": 3, "orphan_feedback": 2}


def names(t: Timeline) -> list[tuple[str, str, str, str, IncidentState]]:
    return [(i.model, i.version, i.segment, i.signal, i.state) for i in t.last().values()]


def naming(store: str, name: str) -> dict[str, Any]:
    """Give the fields by which a prediction names an entry of *store*."""
    fields: dict[str, dict[str, Any]] = {
        "models": {"model": name},
        "versions": {"version": name},
        "features": {"features": {name: 0.0}},
        "classes": {"output": name},
    }
    return fields.get(store, {})


def flood(store: str, t: Timeline, start: float, number: int, every: float = 10) -> None:
    """Send events of which each names something new."""
    for n in range(number):
        name = f"{store}-{start}-{n}"
        happening = prediction(name, **naming(store, name))
        t.push(at(start + every * n), label(name, 1, id=name) if store == "orphans" else happening)


def honest(store: str, t: Timeline, time: float, known: str) -> None:
    """Send an event that names nothing new."""
    model = known if store == "models" else MODEL
    version = {"version": known} if store == "versions" else {}
    happening = prediction(f"honest-{time}", **version) if version else lifecycle(f"honest-{time}")
    t.push(at(time), {**happening, "model": model})


def bounded(*stores: str, signals: Signals = SIGNALS) -> Timeline:
    """Begin a timeline with little room in *stores*, whose detectors have nothing to say yet."""
    bounds = Bounds(**{store: (BOUNDS | ALSO)[store] for store in stores if store != "models"})
    policy = msgspec.structs.replace(ONLY_ERRORS, signals=signals, bounds=bounds)
    return watch(policy, Registry(), max_models=3)


WANTED = {
    store: (MODEL, "", "", f"bounds:{store}")
    if store != "models"
    else ("", "", "partition:0", "bounds:models")
    for store in BOUNDS
}


@pytest.mark.parametrize("store", WANTED)
def test_the_first_thing_dropped_opens_an_incident_and_the_rest_only_count(store: str) -> None:
    t = bounded(store)
    flood(store, t, 0, 30)
    assert names(t) == [(*WANTED[store], IncidentState.DETECTED)]
    (incident,) = t.last().values()
    bound = BOUNDS[store]
    assert incident.kind is Kind.GOVERNANCE
    assert incident.trigger.event_id == f"{store}-0-{bound}"
    assert len(t.alerts) == 1
    assert t.count("evicted_total", store) == 30 - bound


@pytest.mark.parametrize("store", WANTED)
def test_it_recovers_when_nothing_was_dropped_for_the_recovery_time(store: str) -> None:
    t = bounded(store)
    flood(store, t, 0, 5)
    honest(store, t, 40 + 3 * HOUR - 1, f"{store}-0-4")
    assert names(t) == [(*WANTED[store], IncidentState.DETECTED)]
    honest(store, t, 40 + 3 * HOUR + 1, f"{store}-0-4")
    assert names(t) == [(*WANTED[store], IncidentState.RECOVERED)]


@pytest.mark.parametrize("store", WANTED)
def test_a_flood_that_goes_on_is_repeated_as_any_other_incident(store: str) -> None:
    t = bounded(store)
    flood(store, t, 0, 70, every=120)
    assert len(t.last()) == 1
    assert len(t.alerts) == 3  # at once, after an hour, after two


def test_a_model_that_is_evicted_takes_its_own_incident_along() -> None:
    t = bounded("models", "versions")
    flood("versions", t, 0, 5)
    flood("models", t, 100, 3)
    assert names(t) == [
        (*WANTED["versions"], IncidentState.RECOVERED),
        (*WANTED["models"], IncidentState.DETECTED),
    ]


def test_a_policy_may_leave_bounds_unwatched() -> None:
    t = bounded(*WANTED, signals=ONLY_ERRORS.signals)
    for store in WANTED:
        flood(store, t, 0, 10)
    assert t.incidents == []
    assert t.count("evicted_total") > 0


@pytest.mark.parametrize("store", WANTED)
def test_a_restart_leaves_it_open(store: str) -> None:
    t = bounded(store)
    flood(store, t, 0, 5)
    rows = {key: row for key, row in t.pipeline.rows().items() if row is not None}
    again = bounded(store)
    assert again.pipeline.restore(rows) == []
    flood(store, again, 60, 5)
    assert again.incidents == []
    honest(store, again, 200 + 3 * HOUR, f"{store}-60-4")
    assert [i.state for i in again.incidents] == [IncidentState.RECOVERED]
    assert {i.id for i in again.incidents} == {i.id for i in t.incidents}


def test_a_feature_of_too_many_categories_opens_an_incident() -> None:
    t = bounded("categories")
    for n in range(30):
        t.push(at(n), prediction(f"p{n}", features={"town": f"town-{n}"}))
    assert names(t) == [(MODEL, "", "", "bounds:categories", IncidentState.DETECTED)]
    (incident,) = t.last().values()
    assert incident.trigger.event_id == f"p{ALSO['categories']}"
    assert t.count("evicted_total", "categories") == ALSO["categories"] + 1


def test_feedback_without_end_on_one_missing_prediction_opens_an_incident() -> None:
    t = bounded("orphan_feedback")
    for n in range(5):
        t.push(at(n), feedback("never", "rating", value=n, id=f"r{n}"))
    assert names(t) == [(MODEL, "", "", "bounds:orphans", IncidentState.DETECTED)]
    assert t.count("evicted_total", "orphans") == 5 - ALSO["orphan_feedback"]


def test_ids_that_are_forgotten_are_counted_and_no_incident() -> None:
    t = watch(msgspec.structs.replace(ONLY_ERRORS, signals=SIGNALS, bounds=Bounds(seen_ids=1)), Registry())
    t.step(*(record for n in range(3 * CHUNK_IDS) for record in t.log.add(at(n), lifecycle(f"e{n}"))))
    assert t.incidents == []
    assert t.count("evicted_total", "seen_ids") > 0


def test_what_waits_and_is_dropped_is_told_of_the_events_that_made_it_go() -> None:
    """However the log is cut: a batch of twenty tells what twenty batches tell."""
    at_once, one_by_one = bounded("pending", "orphans"), bounded("pending", "orphans")
    records = []
    for n in range(10):
        asked, said = prediction(f"p{n}"), label(f"never-{n}", 1)
        records += at_once.log.add(at(n), asked, said)
    at_once.step(*records)
    for record in records:
        one_by_one.step(record)
    assert at_once.published() == one_by_one.published()
    assert {i.signal: i.trigger.event_id for i in at_once.last().values()} == {
        "bounds:pending": "p3",
        "bounds:orphans": "label-of-never-3",
    }
