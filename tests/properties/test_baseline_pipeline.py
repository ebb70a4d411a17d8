"""What is done to baselines is done at its place in the log: neither cuts nor crashes show."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import IncidentState
from schemas.baselines import digest_of
from schemas.policy import Alerting, Detectors, Policy
from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from tests.flow.timeline import MODEL, Happening, Log, Output, a_pipeline, at, label, lifecycle, prediction
from tests.properties.logs import NOW, kept

EVENTS: Final = 16_000
STEP_SECONDS: Final = 45.0
PUBLISHED, WORSE, ACCEPTED, MOVED, RESET, FROZEN, WORST = 6_000, 6_500, 7_600, 8_000, 10_500, 11_000, 14_500
"""Predictions at which baselines are published for another version, the error rises, that is accepted, a
feature moves and is learned anew, what there is is frozen, and the error rises again."""

POLICY: Final = Policy(
    segments=("region",), detectors=Detectors(false_alarms=10.0), alerting=Alerting(group_seconds=0.0)
)
SAID: Final = {
    ACCEPTED: {"kind": "baseline_accepted", "signal": "error"},
    RESET: {"kind": "baseline_reset", "signal": "feature:amount"},
    FROZEN: {"kind": "baseline_frozen"},
}


def a_log() -> list[Record]:
    rng = np.random.default_rng(11)
    log = Log()
    for number in range(EVENTS):
        time, name = at(STEP_SECONDS * number), f"p{number}"
        features = {"amount": rng.normal(3.0 if number >= MOVED else 0.0), "other": rng.normal()}
        if number == PUBLISHED:
            log.add(time, publishing(log.records))
        version = "2" if number >= PUBLISHED + 500 and number % 4 == 0 else "1"
        rate = 0.1 if number < WORSE else 0.4 if number < WORST else 0.7
        fields = {"features": features, "version": version, "score": float(rng.random())}
        fields["segments"] = {"region": ("south", "north", "north", "east")[number % 4]}
        log.add(time, prediction(name, 0, **fields), label(name, int(rng.random() < rate)))
        if number in SAID:
            log.add(time, lifecycle(f"said-{number}", actor="dana", **SAID[number]))
    return log.records


def publishing(records: list[Record]) -> Happening:
    """Publish the baselines of version 1, as they are after *records*, for version 2."""
    pipeline = new_pipeline()
    pipeline.step(records, NOW * 10)
    own = pipeline.model(MODEL).baselines("1")
    assert {one.signal for one in own} >= {"error", "score", "feature:amount", "missing:amount"}
    given = {"version": "2", "actor": "dana", "digest_after": digest_of(own)}
    return lifecycle("published", kind="baseline_set", baselines=msgspec.to_builtins(own), **given)


def new_pipeline() -> Pipeline:
    return a_pipeline(POLICY)


LOG: Final = a_log()
DONE: Final = [place for place, record in enumerate(LOG) if b"baseline_" in (record.value or b"")]


def watched(cuts: list[int], *, crash_at: frozenset[int] = frozenset()) -> tuple[Output, dict[bytes, bytes]]:
    """Watch the log cut at *cuts*; behind those of *crash_at* another pipeline goes on from the rows."""
    output, pipeline, rows = Output(), new_pipeline(), dict[bytes, bytes]()
    for start, stop in pairwise([0, *cuts, len(LOG)]):
        output.take(pipeline.step(LOG[start:stop], NOW * 10))
        if stop in crash_at:
            rows = kept(pipeline, rows)
            pipeline = new_pipeline()
            assert pipeline.restore(rows) == []
    return output, kept(pipeline, rows)


@pytest.fixture(scope="module")
def whole() -> tuple[Output, dict[bytes, bytes]]:
    return watched([])


def test_each_change_is_told_once_and_resolved_by_who_said_so(
    whole: tuple[Output, dict[bytes, bytes]],
) -> None:
    told = [one for one in whole[0].last().values() if not one.segment and one.version == "1"]
    assert [(one.signal, one.state, one.alerts) for one in told] == [
        ("error", IncidentState.RESOLVED, 1),
        ("feature:amount", IncidentState.RESOLVED, 1),
        ("error", IncidentState.DETECTED, 1),
    ]
    (north, *_) = [one for one in whole[0].last().values() if one.segment == "region=north"]
    assert (north.signal, north.state) == ("error", IncidentState.RESOLVED)
    pipeline = new_pipeline()
    assert pipeline.restore(whole[1]) == []
    numbers = {
        key.signal: one.number for key, one in pipeline.model(MODEL).explain() if key[1:3] == ("1", "")
    }
    assert (numbers["error"], numbers["feature:amount"], numbers["feature:other"]) == (2, 2, 1)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(1, len(LOG) - 1), max_size=8, unique=True),
    near=st.lists(st.sampled_from([place + by for place in DONE for by in (0, 1)]), max_size=4, unique=True),
    data=st.data(),
)
def test_neither_cuts_nor_crashes_show(
    whole: tuple[Output, dict[bytes, bytes]], cuts: list[int], near: list[int], data: st.DataObject
) -> None:
    cuts = sorted({*cuts, *near})
    crash_at = frozenset(data.draw(st.lists(st.sampled_from(cuts)))) if cuts else frozenset[int]()
    output, rows = watched(cuts, crash_at=crash_at)
    assert output.published() == whole[0].published()
    assert rows == whole[1]


def test_small_batches_see_what_one_large_one_sees(whole: tuple[Output, dict[bytes, bytes]]) -> None:
    cuts = list(range(500, len(LOG), 500))
    output, rows = watched(cuts, crash_at=frozenset(cuts[::7]))
    assert output.published() == whole[0].published()
    assert rows == whole[1]
