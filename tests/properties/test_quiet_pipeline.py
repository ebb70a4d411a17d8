"""The default policy over a pipeline: neither cuts nor crashes show, and a lasting shift is one incident."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import IncidentState
from schemas.policy import Alerting, Detectors, Policy
from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from tests.flow.timeline import Log, Output, a_pipeline, at, label, prediction
from tests.properties.logs import NOW, kept

EVENTS: Final = 14_000
STEP_SECONDS: Final = 45.0
SHIFT, HEAL, MOVE, LATE, NEXT_VERSION = 6_500, 8_200, 11_500, 7_000, 9_000
"""Predictions at which the error moves and is well again, amount moves, and a feature and a version come."""

POLICY: Final = Policy(detectors=Detectors(false_alarms=10.0), alerting=Alerting(recover_seconds=3_600.0))


def a_log() -> list[Record]:
    """Give predictions of one model with their labels, a few late ones among them."""
    rng = np.random.default_rng(3)
    log = Log()
    for number in range(EVENTS):
        time = at(STEP_SECONDS * number - (3_000.0 if number % 97 == 0 else 0.0))
        features = {"amount": rng.normal(3.0 if number >= MOVE else 0.0), "flag": int(rng.random() < 0.02)}
        if number >= LATE:
            features["late"] = rng.normal()
        version = "2" if number >= NEXT_VERSION and number % 3 == 0 else "1"
        wrong = rng.random() < (0.4 if SHIFT <= number < HEAL else 0.1)
        name = f"p{number}"
        fields = {"score": float(rng.random()), "features": features, "version": version}
        log.add(time, prediction(name, 0, **fields), label(name, int(wrong)))
    return log.records


LOG: Final = a_log()


def new_pipeline() -> Pipeline:
    return a_pipeline(POLICY)


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


def test_a_lasting_shift_is_one_incident_and_a_burst_recovers(
    whole: tuple[Output, dict[bytes, bytes]],
) -> None:
    last = list(whole[0].last().values())
    (error,) = [one for one in last if (one.signal, one.version) == ("error", "1")]
    (amount,) = [one for one in last if (one.signal, one.version) == ("feature:amount", "1")]
    assert (error.state, error.alerts) == (IncidentState.RECOVERED, 1)
    assert error.resolved_at is not None
    assert error.evidence.expected == pytest.approx(0.1, abs=0.02)
    assert error.resolved_at.timestamp() > at(STEP_SECONDS * HEAL)
    assert (amount.state, amount.alerts, amount.resolved_at) == (IncidentState.DETECTED, 1, None)
    assert amount.evidence.expected == pytest.approx(0.0, abs=0.2)
    assert amount.evidence.observed > 0.3
    assert {one.signal for one in last} == {"error", "feature:amount"}


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(LOG) - 1), max_size=12, unique=True), data=st.data())
def test_neither_cuts_nor_crashes_show(
    whole: tuple[Output, dict[bytes, bytes]], cuts: list[int], data: st.DataObject
) -> None:
    cuts = sorted(cuts)
    crash_at = frozenset(data.draw(st.lists(st.sampled_from(cuts)))) if cuts else frozenset[int]()
    output, rows = watched(cuts, crash_at=crash_at)
    assert output.published() == whole[0].published()
    assert rows == whole[1]


def test_small_batches_see_what_one_large_one_sees(whole: tuple[Output, dict[bytes, bytes]]) -> None:
    cuts = list(range(500, len(LOG), 500))
    output, rows = watched(cuts, crash_at=frozenset(cuts[::7]))
    assert output.published() == whole[0].published()
    assert rows == whole[1]
