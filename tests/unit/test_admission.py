"""Admission: which events are taken: not twice, not too late, not from the future."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event
from schemas.policy import Bounds, Horizons, Policy
from stream.core.admission import KNOWN, Admission, Group, Refusal, admit_together
from stream.core.columns import Batch, by_model
from stream.core.hashed import HashIndex, hashes_of
from stream.core.nouns import Admitted, Record, Topic
from tests.flow.timeline import at, label, lifecycle, prediction, to_bytes

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


ASKING = st.tuples(
    st.sampled_from("xyz"), st.sampled_from(Topic), st.sampled_from("abcdefgh"), st.integers(0, 300)
)


@given(
    asking=st.lists(ASKING, max_size=50),
    now=st.integers(0, 300),
    sizes=st.lists(st.integers(2, 50), min_size=1, max_size=3),
)
def test_models_that_are_admitted_together_are_as_each_alone(
    asking: list[tuple[str, Topic, str, int]], now: int, sizes: list[int]
) -> None:
    assert verdicts_of(asking, now, sizes) == verdicts_of(asking, now, [1])


def verdicts_of(
    asking: list[tuple[str, Topic, str, int]], now: int, sizes: list[int]
) -> list[tuple[str, Topic, str, Refusal | None]]:
    """Give for each event its model, topic, id and what became of it, in batches of *sizes* in turn."""
    index, start, found = HashIndex(), 0, list[tuple[int, str, Topic, str, Refusal | None]]()
    policy = Policy(
        horizons=Horizons(lateness_seconds=100.0, future_seconds=10.0), bounds=Bounds(seen_ids=10_000)
    )
    models = {name: Admission(name, policy, index) for name in "xyz"}
    while start < len(asking):
        size = sizes[start % len(sizes)]
        part = asking[start : start + size]
        batch = Batch.of(
            [
                Admitted(0, at(time), an_event(topic, name, model), Record(topic, 0, 0, 0.0, b""))
                for model, topic, name, time in part
            ]
        )
        groups = [
            Group(models[name], Topic(topic), events)
            for name, arrivals in by_model(batch, range(len(part))).items()
            for topic, events in arrivals.by_topic().items()
        ]
        for group, verdicts in zip(groups, admit_together(groups, index, at(now)), strict=True):
            for turn, (name, place) in enumerate(
                zip(group.events.ids(), group.events.places.tolist(), strict=True)
            ):
                verdict = None if verdicts is None else verdicts[turn]
                found.append((start + place, group.admission.model, group.topic, name, verdict))
        start += size
    for admission in models.values():
        admission.release()
    assert len(index) == 0
    return [one[1:] for one in sorted(found, key=lambda one: one[0])]


def an_event(topic: Topic, name: str, model: str) -> Event:
    fields = {"id": name, "incident_id": "i", "action": "a", "actor_id": "n", "actor_role": "r"}
    made = {
        Topic.LIFECYCLE: lifecycle(name),
        Topic.PREDICTIONS: prediction(name, 1),
        Topic.FEEDBACK: {**label("p", 1), "id": name},
        Topic.COMMANDS: {"type": "command", "model": "credit-risk", **fields},
    }
    event: Event = msgspec.json.decode(to_bytes(at(0), {**made[topic], "model": model}), type=Event)
    return event
