"""However the runs of the topics arrive, complete topics give one order."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from stream.core.merge import BEHIND, Merge
from stream.core.nouns import Record, Topic

PATIENT = 1e6
timestamps = st.lists(st.sampled_from((0.0, 1.0, 1.5, 2.0, 5.0)), max_size=12)
topics = st.fixed_dictionaries(dict.fromkeys(Topic, timestamps))


def records_of(topic: Topic, times: list[float]) -> list[Record]:
    """Give the records of a topic; timestamps may go back."""
    return [Record(topic, 0, offset, time, b"") for offset, time in enumerate(times)]


def merged(logs: dict[Topic, list[Record]], rng: random.Random) -> list[Record]:
    """Offer the logs run by run, as *rng* has it, and take what there is every now and then."""
    merge, taken, now = Merge({}, PATIENT), list[Record](), 1.0
    left = {topic: list(log) for topic, log in logs.items() if log}
    while left:
        topic = rng.choice(list(left))
        size = rng.randint(1, len(left[topic]))
        run, left[topic] = left[topic][:size], left[topic][size:]
        if not left[topic]:
            del left[topic]
        now += 1.0
        merge.offer(topic, run[0].offset, run, now)
        if rng.random() < 0.7:
            taken += merge.take({t: BEHIND if t in left else now + 0.5 for t in Topic}, now)
    return [*taken, *merge.take(dict.fromkeys(Topic, now + 0.5), now)]


@given(logs=topics, first=st.randoms(), second=st.randoms())
def test_the_order_does_not_depend_on_the_arrivals(
    logs: dict[Topic, list[float]], first: random.Random, second: random.Random
) -> None:
    made = {topic: records_of(topic, times) for topic, times in logs.items()}
    assert merged(made, first) == merged(made, second)


@given(logs=topics, rng=st.randoms())
def test_nothing_is_lost_or_twice_and_every_topic_keeps_its_order(
    logs: dict[Topic, list[float]], rng: random.Random
) -> None:
    made = {topic: records_of(topic, times) for topic, times in logs.items()}
    taken = merged(made, rng)
    assert {topic: [record for record in taken if record.topic is topic] for topic in Topic} == made


@given(logs=st.fixed_dictionaries(dict.fromkeys(Topic, timestamps.map(sorted))), rng=st.randoms())
def test_topics_in_order_are_merged_into_the_order_of_time_topic_and_offset(
    logs: dict[Topic, list[float]], rng: random.Random
) -> None:
    taken = merged({topic: records_of(topic, times) for topic, times in logs.items()}, rng)
    order = [(record.timestamp, record.topic, record.offset) for record in taken]
    assert order == sorted(order)
