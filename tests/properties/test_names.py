"""Names: codes say what a list of names says, and events by their models stand as they would one by one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event
from stream.core.columns import Batch, by_model
from stream.core.names import Names
from stream.core.nouns import TOPIC_OF, Admitted, Record, Topic
from stream.core.orders import order_of
from tests.flow.timeline import at, label, lifecycle, prediction, to_bytes

MADE = {
    Topic.LIFECYCLE: lifecycle("l"),
    Topic.PREDICTIONS: prediction("p", 1),
    Topic.FEEDBACK: label("p", 1),
}

columns = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcdef")), max_size=30)
cuts = st.tuples(st.integers(0, 30), st.integers(0, 30))
events = st.lists(
    st.tuples(st.sampled_from(list(MADE)), st.sampled_from("abcdef"), st.sampled_from("123")),
    min_size=1,
    max_size=30,
)
Coming = Sequence[tuple[Topic, str, str]]
"""Events, each of a topic, a model and a version."""


def names_of(coming: Sequence[tuple[int, str]]) -> Names:
    """Put names together that come in three columns, each name with its column."""
    of = np.array([column for column, _ in coming], dtype=np.int8)
    own = [[name for column, name in coming if column == number] for number in range(3)]
    return Names.of(own, [np.flatnonzero(of == number) for number in range(3)])


def a_batch(coming: Coming) -> Batch:
    """Make a batch of events."""
    admitted = []
    for seq, (topic, model, version) in enumerate(coming):
        written = {**MADE[topic], "model": model, "version": version}
        event: Event = msgspec.json.decode(to_bytes(at(0), written), type=Event)
        admitted.append(Admitted(seq, at(0), event, Record(TOPIC_OF[type(event)], 0, seq, at(0), b"")))
    return Batch.of(admitted)


@given(coming=columns, cut=cuts)
def test_names_are_those_that_came_and_the_distinct_ones_in_the_order_in_which_they_came(
    coming: list[tuple[int, str]], cut: tuple[int, int]
) -> None:
    names, each = names_of(coming), [name for _, name in coming]
    start, stop = sorted(cut)
    for got, wanted in ((names, each), (names[start:stop], each[start:stop])):
        assert list(got) == [got[place] for place in range(len(got))] == wanted
        assert list(got.distinct) == list(dict.fromkeys(wanted))


@given(coming=events, cut=cuts)
def test_events_of_a_part_are_given_by_model_and_by_topic(coming: Coming, cut: tuple[int, int]) -> None:
    start, stop = sorted(min(place, len(coming)) for place in cut)
    batch, part = a_batch(coming), range(start, stop)
    for own in (range(len(coming)), part) if part else (range(len(coming)),):
        got = by_model(batch, own)
        assert list(got) == list(dict.fromkeys(coming[place][1] for place in own))
        for name, arrivals in got.items():
            places = [place for place in own if coming[place][1] == name]
            assert arrivals.places.tolist() == places
            by_topic: dict[int, list[int]] = {}
            for place in places:
                by_topic.setdefault(coming[place][0], []).append(place)
            assert {topic: of.places.tolist() for topic, of in arrivals.by_topic().items()} == by_topic


@given(coming=events, cut=cuts)
def test_versions_of_all_models_are_those_that_each_finds_for_its_own_predictions(
    coming: Coming, cut: tuple[int, int]
) -> None:
    start, stop = sorted(min(place, len(coming)) for place in cut)
    batch = a_batch(coming)
    for part in (range(len(coming)), range(start, stop)):
        for arrivals in by_model(batch, part).values() if part else ():
            own = arrivals.of(Topic.PREDICTIONS)
            if not len(own):
                continue
            for found, last in (own.newest(), own.only(np.arange(len(own))).newest()):
                assert found == list(dict.fromkeys(own.versions()))
                assert dict(zip(found, last.tolist(), strict=True)) == {
                    coming[place][2]: place for place in own.places.tolist()
                }
            if own.own is not None:
                of_row = own.own.all.of_row[batch.decoded.rows[own.places]]
                assert [own.own.all.names[one] for one in of_row.tolist()] == own.versions()


@pytest.mark.parametrize("stop", [7, 2**8, 2**8 + 1, 2**16, 2**16 + 1, 2**20])
def test_keys_of_whatever_size_are_put_in_order_by_key_then_by_place(stop: int) -> None:
    keys = np.random.default_rng(7).integers(0, stop, 5_000)
    keys[:10] = stop - 1
    wanted = sorted(range(len(keys)), key=lambda place: (keys[place], place))
    assert order_of(keys, stop).tolist() == wanted
