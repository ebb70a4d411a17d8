"""Declared segments have errors of their own: watched, bounded, told as parts of what moved."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import pytest

from schemas.alerts import IncidentState, Kind
from schemas.policy import Bounds, Detectors, Policy
from stream.core.nouns import Stage
from stream.core.texts import short
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Happening,
    Timeline,
    a_pipeline,
    at,
    feedback,
    label,
    lifecycle,
    prediction,
    right,
    watch,
    wrong,
)

DECLARED: Final = msgspec.structs.replace(ONLY_ERRORS, segments=("region", "channel"))
GROUPED: Final = msgspec.structs.replace(
    DECLARED, alerting=msgspec.structs.replace(ONLY_ERRORS.alerting, group_seconds=HOUR)
)


def series(t: Timeline) -> dict[tuple[str, str], int]:
    """Give the readings of each series of the error, by version and segment."""
    explained = t.pipeline.model(MODEL).explain()
    return {(key.version, key.segment): one.readings for key, one in explained if key.signal == "error"}


def south(name: str) -> list[Happening]:
    return wrong(name, segments={"region": "south"}, version="1")


def north(name: str) -> list[Happening]:
    return right(name, segments={"region": "north", "channel": "web", "floor": "3"}, version="1")


def test_each_declared_segment_is_a_series_beside_the_whole() -> None:
    t = watch(DECLARED)
    t.push(at(0), south("a"), north("b"), right("c", version="1"))
    assert series(t) == {
        ("1", ""): 3,
        ("1", "region=south"): 1,
        ("1", "region=north"): 1,
        ("1", "channel=web"): 1,
    }


def test_nothing_is_segmented_that_is_not_declared() -> None:
    t = watch(ONLY_ERRORS)
    t.push(at(0), south("a"), north("b"))
    assert series(t) == {("1", ""): 2}


def test_an_incident_of_a_segment_says_which() -> None:
    t = watch(DECLARED)
    t.push(at(0), south("a"), north("b"))
    told = {(one.segment, one.signal, one.kind) for one in t.last().values()}
    assert told == {("", "error", Kind.PERFORMANCE), ("region=south", "error", Kind.PERFORMANCE)}
    assert len({one.fingerprint for one in t.last().values()}) == 2


def test_a_segment_that_moves_with_the_whole_is_a_part_of_one_incident() -> None:
    t = watch(GROUPED)
    t.push(at(0), south("a"), north("b"))
    (incident,) = t.last().values()
    assert [part.segment for part in incident.parts] == ["", "region=south"]


def test_a_segment_recovers_by_its_own_readings() -> None:
    t = watch(DECLARED)
    t.push(at(0), south("a"))
    t.push(at(4 * HOUR), north("b"))
    assert {one.segment: one.state for one in t.last().values()} == {
        "": IncidentState.RECOVERED,
        "region=south": IncidentState.DETECTED,
    }
    t.push(at(5 * HOUR), right("c", segments={"region": "south"}, version="1"))
    assert {one.state for one in t.last().values()} == {IncidentState.RECOVERED}


def test_what_changed_in_a_segment_is_accepted_for_that_segment() -> None:
    t = watch(DECLARED)
    t.push(at(0), south("a"))
    event = lifecycle("ok", kind="baseline_accepted", actor="dana", segment="region=south")
    t.push(at(60), event)
    assert {one.segment: one.state for one in t.last().values()} == {
        "": IncidentState.DETECTED,
        "region=south": IncidentState.RESOLVED,
    }
    reason = next(one for one in t.last().values() if one.segment).history[-1].reason
    assert "error of 1 in region=south: baseline 1" in reason


def test_a_label_that_comes_first_and_feedback_without_one_are_told_apart() -> None:
    t = watch(DECLARED)
    t.push(at(0), label("a", 1), prediction("a", 1, segments={"region": "south"}))
    assert series(t) == {("unversioned", ""): 1, ("unversioned", "region=south"): 1}
    t.push(at(1), prediction("b", 1, segments={"region": "east"}), feedback("b", "thumbs", value=True))
    assert ("unversioned", "region=east") not in series(t)


def test_segments_are_kept_while_a_prediction_waits_whatever_becomes_of_the_worker() -> None:
    first = a_pipeline(DECLARED, Registry())
    t = Timeline(first)
    t.push(
        at(0), prediction("a", 1, segments={"region": "south"}, version="1"), prediction("b", 1, version="1")
    )
    rows = {key: row for key, row in first.rows().items() if row is not None}
    for policy in (DECLARED, ONLY_ERRORS):
        again = a_pipeline(policy, Registry())
        assert again.restore(rows) == []
        after = Timeline(again)
        after.log = t.log
        after.push(at(1), label("a", 1, id=f"l-{len(policy.segments)}"), label("b", 1))
        assert series(after) == {("1", ""): 2, ("1", "region=south"): 1}


def test_more_segments_of_a_key_than_find_room_are_told_once_and_only_counted_from_then_on() -> None:
    signals = msgspec.structs.replace(ONLY_ERRORS.signals, bounds=True)
    policy = msgspec.structs.replace(DECLARED, bounds=Bounds(segments=2), signals=signals)
    t = watch(policy)
    for number in range(5):
        segments = {"region": f"r{number}", "channel": "web"}
        t.push(at(number), right(f"p{number}", segments=segments, version="1"))
    assert set(series(t)) == {("1", ""), ("1", "region=r0"), ("1", "region=r1"), ("1", "channel=web")}
    assert t.count("evicted_total", "segments") == 3
    (incident,) = t.last().values()
    assert (incident.signal, incident.kind) == ("bounds:segments", Kind.GOVERNANCE)
    assert incident.trigger.event_id == "label-of-p2"
    assert incident.evidence.threshold == 2


def test_a_value_that_is_longer_than_a_name_is_kept_short() -> None:
    t = watch(DECLARED)
    t.push(at(0), right("a", segments={"region": "x" * 300}))
    assert ("unversioned", "region=" + short("x" * 300)) in series(t)


def test_each_version_has_segments_of_its_own() -> None:
    t = watch(DECLARED)
    for version in ("1", "2"):
        t.push(at(0), right(f"p{version}", segments={"region": "south"}, version=version))
    assert set(series(t)) == {(v, segment) for v in ("1", "2") for segment in ("", "region=south")}


@pytest.fixture(scope="module")
def quiet() -> Timeline:
    """Let the error of one region of three rise, under the default detector."""
    rng = np.random.default_rng(4)
    t = Timeline(a_pipeline(Policy(segments=("region",), detectors=Detectors(false_alarms=1.0)), Registry()))
    for number in range(30_000):
        region = ("south", "north", "east")[number % 3]
        rate = 0.3 if region == "south" and number >= 24_000 else 0.1
        name, fields = f"p{number}", {"segments": {"region": region}, "version": "1"}
        said = label(name, int(rng.random() < rate))
        t.log.add(at(60.0 * number), prediction(name, 0, **fields), said)
    for start in range(0, len(t.log.records), 7_000):
        t.step(*t.log.records[start : start + 7_000])
    return t


def test_half_of_what_performance_may_spend_is_the_segments(quiet: Timeline) -> None:
    shares = {
        key.segment: one.share for key, one in quiet.pipeline.model(MODEL).explain() if key.signal == "error"
    }
    assert shares == {
        "": pytest.approx(0.3),
        **{f"region={name}": pytest.approx(0.1) for name in ("south", "north", "east")},
    }


def test_a_segment_that_is_worse_is_found_and_named(quiet: Timeline) -> None:
    parts = {(part.signal, part.segment) for one in quiet.last().values() for part in one.parts}
    assert ("error", "region=south") in parts
    assert not {("error", "region=north"), ("error", "region=east")} & parts
    stages = {key.segment: one.stage for key, one in quiet.pipeline.model(MODEL).explain()}
    assert stages["region=south"] is Stage.CHANGED
