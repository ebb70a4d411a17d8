"""Steps that would be small wait for what has been fetched, where there is much to do; never for long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faust.types import TP

from stream.core.merge import ENOUGH_BYTES, ENOUGH_RECORDS, TURN_RECORDS, Merge
from stream.core.nouns import Record, Topic
from stream.shell import clock
from stream.shell.fuller import PATIENCE_SECONDS, Fuller

INPUTS = {topic.suffix: topic for topic in Topic}
P, F = Topic.PREDICTIONS, Topic.FEEDBACK


class Place:
    """A partition, and a consumer that has fetched some of its topics; the clock stands still."""

    number = 3

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock, "steady", lambda: self.now)
        self.merge = Merge({}, max_idle=0.0)
        self.full: set[Topic] = set()
        self.left: dict[Topic, int] = {}
        self.news = asyncio.Event()
        self.fuller = Fuller(INPUTS, lambda: self, self.news)

    def is_full(self, topic: Topic) -> bool:
        return topic in self.full

    def unread(self, tp: TP, taken: int) -> int:
        assert (tp.partition, taken) == (self.number, self.merge.expected(INPUTS[tp.topic]))
        return self.left.get(INPUTS[tp.topic], 0)

    def offer(self, topic: Topic, number: int, size: int = 0) -> None:
        start = self.merge.expected(topic)
        records = [Record(topic, self.number, start + n, 1.0, b"") for n in range(number)]
        self.merge.offer(topic, start, records, 1.0, size=size)

    def is_due(self) -> bool:
        partition: Any = self
        return self.fuller.is_due(partition)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(monkeypatch)


def test_one_that_is_up_to_date_never_waits(place: Place) -> None:
    place.offer(P, 1)
    place.left = {P: TURN_RECORDS - 1, F: TURN_RECORDS - 1}
    assert place.is_due()


async def test_one_that_is_far_behind_waits_for_what_is_in_hand(place: Place) -> None:
    place.offer(P, ENOUGH_RECORDS - 1)
    place.left = {P: TURN_RECORDS}
    assert not place.is_due()
    place.offer(P, 1)
    assert place.is_due()


async def test_of_a_topic_that_has_enough_more_is_not_waited_for(place: Place) -> None:
    place.offer(P, ENOUGH_RECORDS)
    place.left = {P: TURN_RECORDS}
    assert place.is_due()
    place.left = {P: TURN_RECORDS, F: TURN_RECORDS}
    assert not place.is_due()


def test_a_few_large_records_are_enough(place: Place) -> None:
    place.offer(P, 2, size=ENOUGH_BYTES)
    place.left = {P: TURN_RECORDS}
    assert place.is_due()


def test_what_may_not_be_fetched_is_not_waited_for(place: Place) -> None:
    place.left, place.full = {P: TURN_RECORDS}, {P}
    assert place.is_due()


async def test_it_does_not_wait_for_long_and_is_woken_when_it_has(place: Place) -> None:
    place.left = {P: TURN_RECORDS}
    assert not place.is_due()
    await asyncio.wait_for(place.news.wait(), 10.0)
    place.now += PATIENCE_SECONDS * 0.9
    assert not place.is_due()
    place.now += PATIENCE_SECONDS * 0.2
    assert place.is_due()
    assert not place.is_due()  # the next one may wait as long
