"""Versions and models come and go: each is watched by itself, the bounds hold, nothing stays open."""

from __future__ import annotations

import random

from schemas.alerts import IncidentState, RejectReason
from schemas.policy import Policy, Signals
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    DAY,
    EAGER,
    ONLY_ERRORS,
    Alarms,
    Happening,
    Timeline,
    a_pipeline,
    at,
    label,
    moment,
    prediction,
    right,
    watch,
    with_bounds,
    wrong,
)


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


def test_the_detectors_of_what_was_evicted_are_dropped() -> None:
    alarms = Alarms()
    t = watch(with_bounds(versions=1), alarms, max_models=1)
    t.push(at(0), wrong("a", version="1"), wrong("b", version="2"))
    assert [len(bank.taken) for bank in alarms.banks] == [1]
    t.push(at(1), prediction("c", model="another"))
    assert [len(bank.taken) for bank in alarms.banks] == [0]


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
