"""Admission: which events are taken: not twice, not too late, not from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import Bounds, Horizons, Policy
from stream.core.admission import KNOWN, Admission, Refusal
from stream.core.hashed import hashes_of
from stream.core.nouns import Topic
from tests.flow.timeline import at

FAR = float("inf")


def an_admission() -> Admission:
    horizons = Horizons(lateness_seconds=100.0, future_seconds=10.0)
    return Admission("credit-risk", Policy(horizons=horizons, bounds=Bounds(seen_ids=10_000)))


def admitted(
    admission: Admission, *events: tuple[str, float], now: float = FAR, topic: Topic = Topic.PREDICTIONS
) -> list[Refusal | None]:
    """Give what becomes of events by their ids and times."""
    ids = [name for name, _ in events]
    times = np.array([at(time) for _, time in events])
    verdicts = admission.admit(topic, ids, hashes_of(ids), times, at(now))
    return [None] * len(events) if verdicts is None else verdicts


def said(refusals: list[Refusal | None]) -> list[str | None]:
    return [None if one is None else f"{one.reason}: {one.detail}" for one in refusals]


def test_an_event_from_the_future_is_refused() -> None:
    refusals = admitted(an_admission(), ("a", 10), ("b", 11), now=0)
    assert said(refusals) == [None, "future: 11 s ahead of the clock, 10 are allowed"]


def test_what_is_refused_does_not_make_others_late() -> None:
    assert said(admitted(an_admission(), ("a", 0), ("b", 10_000), ("c", 1), now=0))[2] is None


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_an_event_far_behind_the_newest_of_its_topic_is_refused(is_one_batch: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    admission = an_admission()
    events = (("a", 200.0), ("b", 100.0), ("c", 99.0))
    batches = [events] if is_one_batch else [(event,) for event in events]
    refusals = [one for batch in batches for one in admitted(admission, *batch)]
    assert said(refusals) == [
        None, None, "late: 101 s behind the newest prediction of credit-risk, 100 are allowed",
    ]  # fmt: skip


def test_lateness_is_measured_topic_by_topic() -> None:
    admission = an_admission()
    admitted(admission, ("a", 200))
    assert admitted(admission, ("b", 0), topic=Topic.FEEDBACK) == [None]


def test_an_older_event_does_not_set_the_newest_back() -> None:
    admission = an_admission()
    admitted(admission, ("a", 200), ("b", 150))
    admitted(admission, ("c", 150))
    assert admission.newest[Topic.PREDICTIONS] == at(200)


def test_ids_are_known_topic_by_topic() -> None:
    admission = an_admission()
    admitted(admission, ("same", 0))
    assert admitted(admission, ("same", 0)) == [KNOWN]
    assert admitted(admission, ("same", 0), topic=Topic.FEEDBACK) == [None]


events = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 150)), max_size=12)


@given(events=events, sizes=st.lists(st.integers(1, 4), min_size=1), now=st.integers(100, 160))
def test_the_cut_into_batches_is_invisible(
    events: list[tuple[str, float]], sizes: list[int], now: int
) -> None:
    whole = an_admission()
    wanted = admitted(whole, *events, now=now) if events else []
    pieces, found, start = an_admission(), list[Refusal | None](), 0
    while start < len(events):
        size = sizes[start % len(sizes)]
        found += admitted(pieces, *events[start : start + size], now=now)
        start += size
    assert found == wanted
    assert pieces.newest == whole.newest
