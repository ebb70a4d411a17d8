"""What somebody says of baselines counts from its place in the log on, for the series that it names."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import pytest

from schemas.alerts import IncidentState, RejectReason
from schemas.baselines import PublishedBaseline, digest_of
from schemas.codec import encode
from schemas.policy import Bounds, Policy
from stream.core.incident import HISTORY_MAX
from stream.core.nouns import Stage
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    EAGER,
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Happening,
    Log,
    Timeline,
    a_pipeline,
    at,
    label,
    lifecycle,
    moment,
    prediction,
    right,
    watch,
    wrong,
)

GROUPED: Final = msgspec.structs.replace(
    ONLY_ERRORS, alerting=msgspec.structs.replace(ONLY_ERRORS.alerting, group_seconds=HOUR)
)


def says(kind: str, name: str = "say", **fields: object) -> Happening:
    return lifecycle(name, **{"kind": kind, "actor": "dana", "actor_role": "data_science_lead", **fields})


def numbers(t: Timeline) -> dict[tuple[str, str], int]:
    explained = t.pipeline.model(MODEL).explain()
    return {(key.version, key.signal): one.number for key, one in explained}


def test_what_was_accepted_resolves_its_incident_and_the_history_says_by_whom() -> None:
    t = watch()
    t.push(at(0), wrong("a", version="1"))
    t.push(at(60), says("baseline_accepted", "ok-1", comment="new customers"))
    (incident,) = t.last().values()
    assert (incident.state, incident.resolved_at) == (IncidentState.RESOLVED, moment(at(60)))
    assert incident.parts[0].resolved_at == moment(at(60))
    last = incident.history[-1]
    assert (last.actor, last.actor_role, last.causation_id) == ("dana", "data_science_lead", "ok-1")
    assert last.reason == (
        f"what changed was taken for the new normal: error of 1: baseline 1 (sha256 {1:064x}) gave way to 2 "
        f"(sha256 {1:064x})"
    )
    assert numbers(t) == {("1", "error"): 2}
    assert t.count("baselines_total", MODEL, "baseline_accepted") == 1


def test_what_changes_after_that_is_another_incident() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(60), says("baseline_accepted"))
    t.push(at(120), wrong("b"))
    assert [i.state for i in t.last().values()] == [IncidentState.RESOLVED, IncidentState.DETECTED]


def test_a_part_that_was_accepted_leaves_the_incident_open_for_the_others() -> None:
    t = watch(GROUPED)
    t.push(at(0), wrong("a", version="1"), wrong("b", version="2"))
    t.push(at(60), says("baseline_accepted", "one", version="1"))
    (incident,) = t.last().values()
    assert (incident.state, incident.resolved_at) == (IncidentState.DETECTED, None)
    assert [part.version for part in incident.parts if part.resolved_at is None] == ["2"]
    assert incident.history[-1].reason.startswith(
        "part of what changed was taken for the new normal: error of 1"
    )
    t.push(at(120), says("baseline_accepted", "two", version="2"))
    (incident,) = t.last().values()
    assert (incident.state, incident.resolved_at) == (IncidentState.RESOLVED, moment(at(120)))
    assert [entry.causation_id for entry in incident.history] == [None, "one", "two"]


@pytest.mark.parametrize(
    ("fields", "accepted"),
    [
        ({}, {"1", "2"}),
        ({"version": "1"}, {"1"}),
        ({"version": "3"}, set()),
        ({"signal": "error"}, {"1", "2"}),
        ({"signal": "score"}, set()),
        ({"segment": ""}, {"1", "2"}),
        ({"segment": "region=south"}, set()),
    ],
)
def test_only_the_series_that_are_named_are_concerned(fields: dict[str, str], accepted: set[str]) -> None:
    t = watch()
    t.push(at(0), wrong("a", version="1"), wrong("b", version="2"))
    t.push(at(60), says("baseline_accepted", **fields))
    resolved = {i.version for i in t.last().values() if i.state is IncidentState.RESOLVED}
    assert resolved == accepted
    assert {version for (version, _), number in numbers(t).items() if number == 2} == accepted


def test_a_series_that_has_not_changed_has_nothing_to_accept() -> None:
    t = watch()
    t.push(at(0), right("a"))
    t.push(at(60), says("baseline_accepted"))
    assert set(numbers(t).values()) == {1}
    assert not t.incidents


def test_a_reset_concerns_every_series_changed_or_not() -> None:
    t = watch()
    t.push(at(0), wrong("a", version="1"), right("b", version="2"))
    t.push(at(60), says("baseline_reset"))
    assert set(numbers(t).values()) == {2}
    (incident,) = t.last().values()
    assert incident.state is IncidentState.RESOLVED
    assert "gave way to 2 (learned from here on)" in incident.history[-1].reason


def test_to_freeze_changes_neither_baseline_nor_incident() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(60), says("baseline_frozen"))
    assert set(numbers(t).values()) == {1}
    assert [i.state for i in t.last().values()] == [IncidentState.DETECTED]
    assert t.count("baselines_total", MODEL, "baseline_frozen") == 1


@pytest.mark.parametrize("kind", ["baseline_accepted", "baseline_reset", "baseline_frozen"])
def test_nobody_does_it_without_a_name(kind: str) -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(60), lifecycle("x", kind=kind))
    assert [(r.reason, r.detail) for r in t.rejected] == [
        (RejectReason.INVALID_FIELD, f"{kind} needs an actor: who says so")
    ]
    assert [i.state for i in t.last().values()] == [IncidentState.DETECTED]


def test_the_same_word_twice_counts_once() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(60), says("baseline_accepted", "same"))
    t.push(at(120), wrong("b"))
    t.push(at(180), says("baseline_accepted", "same"))
    assert [i.state for i in t.last().values()] == [IncidentState.RESOLVED, IncidentState.DETECTED]


def test_other_detectors_warm_up_anew_on_what_was_accepted() -> None:
    t = watch(EAGER, Registry())
    for number in range(400):
        t.push(at(number), prediction(f"p{number}", score=(5.0 if number >= 200 else 0.0) + number % 7))
    (incident,) = t.last().values()
    t.push(at(400), says("baseline_accepted"))
    assert t.last()[incident.id].state is IncidentState.RESOLVED
    told = len(t.alerts)
    for number in range(401, 800):
        t.push(at(number), prediction(f"p{number}", score=5.0 + number % 7))
    assert len(t.alerts) == told
    for number in range(800, 1_000):
        t.push(at(number), prediction(f"p{number}", score=10.0 + number % 7))
    assert [i.state for i in t.last().values()] == [IncidentState.RESOLVED, IncidentState.DETECTED]
    assert numbers(t)["unversioned", "score"] == 2


@pytest.fixture(scope="module")
def published() -> Happening:
    """Give what a pipeline that watched version 1 for two weeks publishes for version 2."""
    t = Timeline(a_pipeline(Policy(), Registry()))
    grow(t, "1", 0, 20_000, 0.1)
    baselines = t.pipeline.model(MODEL).baselines("1")
    assert [(one.signal, one.counted) for one in baselines] == [("error", "rate"), ("output", "rate")]
    return publishing("publish", baselines, version="2")


def publishing(name: str, baselines: list[PublishedBaseline], **fields: object) -> Happening:
    given = {"kind": "baseline_set", "actor": "dana", "digest_after": digest_of(baselines), **fields}
    return lifecycle(name, **given, baselines=msgspec.to_builtins(baselines))


def grow(t: Timeline, version: str, start: int, stop: int, rate: float) -> None:
    """Let a version predict once a minute, wrong at that rate."""
    rng = np.random.default_rng(start)
    log = Log(offsets=t.log.offsets)
    for number in range(start, stop):
        output, wrongly = int(rng.random() < 0.3), rng.random() < rate
        name = f"{version}-{number}"
        log.add(at(60.0 * number), prediction(name, output, version=version), label(name, output ^ wrongly))
    t.step(*log.records)


def test_a_new_version_begins_with_what_was_published_for_it(published: Happening) -> None:
    t = Timeline(a_pipeline(Policy(), Registry()))
    t.push(at(0), published)
    grow(t, "2", 1, 300, 0.1)
    explained = {key.signal: one for key, one in t.pipeline.model(MODEL).explain()}
    assert {one.stage for one in explained.values()} == {Stage.WATCHING}
    assert explained["error"].normal == pytest.approx(0.1, abs=0.01)
    grow(t, "2", 300, 2_500, 0.3)
    assert ("error", "2") in {(one.signal, one.version) for one in t.last().values()}


def test_another_version_learns_its_own(published: Happening) -> None:
    t = Timeline(a_pipeline(Policy(), Registry()))
    t.push(at(0), published)
    grow(t, "3", 1, 600, 0.1)
    assert {one.stage for _, one in t.pipeline.model(MODEL).explain()} == {Stage.LEARNING}


def test_a_version_that_is_watched_already_goes_on_with_it(published: Happening) -> None:
    t = Timeline(a_pipeline(Policy(), Registry()))
    grow(t, "2", 0, 1_000, 0.4)
    t.push(at(60_000), published)
    assert numbers(t) == {("2", "error"): 2, ("2", "output"): 2}
    assert t.count("baselines_total", MODEL, "baseline_set") == 2
    grow(t, "2", 1_001, 1_100, 0.1)
    assert {one.stage for _, one in t.pipeline.model(MODEL).explain()} == {Stage.WATCHING}


def test_what_was_published_outlives_the_worker(published: Happening) -> None:
    first = Timeline(a_pipeline(Policy(), Registry()))
    first.push(at(0), published)
    rows = {key: row for key, row in first.pipeline.rows().items() if row is not None}
    again = Timeline(a_pipeline(Policy(), Registry()))
    assert again.pipeline.restore(rows) == []
    again.log = first.log
    grow(again, "2", 1, 100, 0.1)
    assert {one.stage for _, one in again.pipeline.model(MODEL).explain()} == {Stage.WATCHING}


def test_baselines_of_another_digest_are_rejected_whole(published: Happening) -> None:
    t = Timeline(a_pipeline(Policy(), Registry()))
    t.push(at(0), {**published, "digest_after": "sha256:00"})
    (rejected,) = t.rejected
    assert rejected.reason is RejectReason.INVALID_FIELD
    assert rejected.detail == (
        f"the baselines have the digest {published['digest_after']}, digest_after is sha256:00"
    )


def test_those_published_longest_ago_make_room(published: Happening) -> None:
    t = Timeline(a_pipeline(Policy(bounds=Bounds(baselines=3)), Registry()))
    for version in ("1", "2"):
        t.push(at(0), {**published, "id": f"for-{version}", "version": version})
    assert t.count("evicted_total", "baselines") == 1
    for version in ("1", "2"):
        grow(t, version, 1, 100, 0.1)
    stages = {(key.version, key.signal): one.stage for key, one in t.pipeline.model(MODEL).explain()}
    assert stages["1", "error"] is Stage.LEARNING
    assert {stages["1", "output"], stages["2", "error"], stages["2", "output"]} == {Stage.WATCHING}


def test_detectors_that_cannot_begin_with_it_learn_as_ever(published: Happening) -> None:
    t = Timeline(a_pipeline(EAGER, Registry()))
    t.push(at(0), published)
    grow(t, "2", 1, 50, 0.1)
    assert {one.stage for _, one in t.pipeline.model(MODEL).explain()} == {Stage.LEARNING}
    assert set(numbers(t).values()) == {1}


def test_whoever_accepts_under_a_name_of_megabytes_is_kept_short() -> None:
    t = watch()
    t.push(at(0), wrong("a"))
    t.push(at(60), says("baseline_accepted", actor="dana " * 300_000, actor_role="lead " * 300_000))
    (incident,) = t.last().values()
    assert (incident.history[-1].actor or "").startswith("dana dana")
    assert len(encode(incident)) < 10_000


def test_what_is_accepted_in_part_again_and_again_makes_no_endless_history() -> None:
    t = watch(GROUPED)
    t.push(at(0), wrong("a", version="1"), wrong("b", version="2"))
    for n in range(1, 300, 2):
        t.push(at(n), wrong(f"a{n}", version="1"))
        t.push(at(n + 1), says("baseline_accepted", f"ok-{n}", version="1"))
    (incident,) = t.last().values()
    assert (incident.state, len(incident.history)) == (IncidentState.DETECTED, HISTORY_MAX)
    assert len(encode(incident)) < 100_000
    t.push(at(400), says("baseline_accepted", "all"))
    (incident,) = t.last().values()
    assert incident.state is IncidentState.RESOLVED
