"""Fetches: how long an answer may be held back, and what wakes who has had enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.types import TP

from stream.shell import clock, transport
from stream.shell.asking import HOLD_BACK_MS, HURRY_MS, PATIENCE_MS, UNREAD_MS, Asking
from stream.shell.batches import Reached
from stream.shell.fetching import ConsumerThread
from stream.shell.runs import Run
from stream.shell.transport import Consumer

PREDICTIONS, COMMANDS = (TopicPartition(name, 0) for name in ("predictions", "commands"))
ELSEWHERE = TopicPartition("commands", 1)


class Asked:
    """What Asking sees of a fetcher: when each topic was last heard of, and what is unread."""

    def __init__(self, **heard: int) -> None:
        now = int(1000 * clock.wall())
        times = {PREDICTIONS: heard["predictions"], COMMANDS: heard["commands"]}
        self.states = {tp: SimpleNamespace(timestamp=now + after) for tp, after in times.items()}
        assignment = SimpleNamespace(tps=set(self.states), state_value=self.states.get)
        self.fetcher = SimpleNamespace(
            _records={},
            _fetch_max_wait_ms=None,
            _subscriptions=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment)),
            _get_actions_per_node=lambda assignment: ("planned", assignment, 0.2, False, []),
            _in_flight=set(),
            _pending_tasks=set(),
        )
        self.told = self.arrived = 0
        self.asking = Asking(self.fetcher, self._tell, self._arrive)

    def _tell(self) -> None:
        self.told += 1

    def _arrive(self) -> None:
        self.arrived += 1

    def wait_ms(self) -> int:
        """Plan the next fetch; give how long its answer may be held back."""
        assert self.pause() == 0.2
        return int(self.fetcher._fetch_max_wait_ms)

    def pause(self) -> float:
        """Plan the next fetch; give the time to the next plan, where nothing happens."""
        assignment = self.fetcher._subscriptions.subscription.assignment
        planned, given, pause, *rest = self.fetcher._get_actions_per_node(assignment)
        assert (planned, given, rest) == ("planned", assignment, [False, []])
        return float(pause)


def test_where_nothing_waits_an_answer_may_be_held_back() -> None:
    asked = Asked(predictions=0, commands=-50)
    assert (asked.wait_ms(), asked.told) == (HOLD_BACK_MS, 0)


def test_records_that_came_hurry_the_answer_of_other_topics_and_are_told_of_it() -> None:
    asked = Asked(predictions=0, commands=0)  # the same answer: a command may have come while it was written
    asked.asking.came([PREDICTIONS])
    assert (asked.wait_ms(), asked.told) == (HURRY_MS, 0)
    asked.states[COMMANDS].timestamp += 1
    asked.states[PREDICTIONS].timestamp += 1
    assert (asked.wait_ms(), asked.told) == (HOLD_BACK_MS, 1)
    assert (asked.wait_ms(), asked.told) == (HOLD_BACK_MS, 1)


def test_a_topic_with_unread_records_is_not_waited_for() -> None:
    asked = Asked(predictions=1, commands=0)
    asked.asking.came([PREDICTIONS])
    asked.states[PREDICTIONS].timestamp += 1
    asked.fetcher._records[COMMANDS] = object()
    assert (asked.wait_ms(), asked.told) == (UNREAD_MS, 0)  # and may be asked again soon


def test_another_partitions_topics_are_not_asked() -> None:
    asked = Asked(predictions=0, commands=1)
    asked.states[ELSEWHERE] = SimpleNamespace(timestamp=None)
    asked.asking.came([PREDICTIONS])
    asked.states[PREDICTIONS].timestamp += 1
    asked.fetcher._subscriptions.subscription.assignment.tps.add(ELSEWHERE)
    assert asked.wait_ms() == HOLD_BACK_MS


def test_a_topic_that_never_answers_is_not_asked_in_a_hurry_for_ever() -> None:
    asked = Asked(predictions=-PATIENCE_MS - 1, commands=-PATIENCE_MS - 1)
    asked.asking.came([PREDICTIONS])
    assert asked.wait_ms() == HOLD_BACK_MS


def test_without_an_assignment_nothing_is_noted() -> None:
    asked = Asked(predictions=0, commands=0)
    assignment = asked.fetcher._subscriptions.subscription.assignment
    asked.fetcher._subscriptions.subscription.assignment = None
    asked.asking.came([PREDICTIONS])
    asked.fetcher._subscriptions.subscription.assignment = assignment
    assert asked.wait_ms() == HOLD_BACK_MS


def test_records_that_came_are_told_of_once() -> None:
    asked = Asked(predictions=0, commands=0)
    asked.wait_ms()
    assert asked.arrived == 0
    asked.fetcher._records[PREDICTIONS] = object()
    asked.wait_ms()
    asked.wait_ms()
    assert asked.arrived == 1
    asked.fetcher._records[COMMANDS] = object()
    asked.wait_ms()
    assert asked.arrived == 2
    asked.fetcher._records.clear()
    asked.wait_ms()
    assert asked.arrived == 2


async def test_a_plan_that_was_made_before_a_fetch_counted_as_ended_is_made_again_at_once() -> None:
    asked = Asked(predictions=0, commands=0)
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asked.fetcher._pending_tasks.add(done)
    asked.fetcher._in_flight.add(1)
    assert asked.pause() == 0.2
    done.set_result(None)
    assert asked.pause() == 0.0
    asked.fetcher._pending_tasks.clear()
    assert asked.pause() == 0.0
    asked.fetcher._in_flight.clear()
    assert asked.pause() == 0.2


class Full:
    """A reader that has enough of some topics until it is told otherwise."""

    def __init__(self, *full: str) -> None:
        self.room = asyncio.Event()
        self.full = set(full)

    def is_full(self, tp: TP) -> bool:
        return tp.topic in self.full


class Fetching:
    """A consumer's thread without Kafka, whose fetches are noted."""

    def __init__(self) -> None:
        self.asked: list[tuple[set[TP], float]] = []

    async def getmany(self, active: set[TP], patience: float) -> Mapping[TP, Any]:
        self.asked.append((active, patience))
        return {}


def a_consumer(reader: Full) -> tuple[Any, Fetching]:
    consumer: Any = object.__new__(Consumer)
    consumer.app = SimpleNamespace(consumer_generation_id=1)
    consumer._thread = fetching = Fetching()
    consumer.reader, consumer.topics = reader, frozenset(("predictions", "commands"))
    consumer._generation, consumer._revocations, consumer._expected = 1, 0, {}
    consumer.flow_active = True
    return consumer, fetching


HERE = {TP("predictions", 0), TP("commands", 0)}


@pytest.mark.parametrize("full", [("predictions",), ("predictions", "commands")])
async def test_who_has_had_enough_is_woken_as_soon_as_there_is_room(
    full: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_ROOM_SECONDS", 3600.0)
    reader = Full(*full)
    consumer, fetching = a_consumer(reader)
    waiting = asyncio.create_task(consumer._getmany(HERE, 3600.0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    reader.full.clear()
    reader.room.set()
    assert await asyncio.wait_for(waiting, 30.0) == {}
    rest = {tp for tp in HERE if tp.topic not in full}
    assert fetching.asked == ([(rest, 0.0)] if rest else [])
    await consumer._getmany(HERE, 3600.0)
    assert fetching.asked[-1] == (HERE, 3600.0)


async def test_topics_that_are_not_full_do_not_wait_for_room_for_ever() -> None:
    consumer, _ = a_consumer(Full("predictions"))
    assert await asyncio.wait_for(consumer._getmany(HERE, 3600.0), 30.0) == {}


def test_records_came_with_their_answer_however_late_they_are_handed_over() -> None:
    here = TP("predictions", 0)
    consumer, _ = a_consumer(Full())
    consumer._thread = object.__new__(ConsumerThread)
    consumer._thread.reached = {here: Reached(stop=3, size=10, at=5.0)}
    consumer._expected = {here: transport._Expected(0)}
    consumer._state = lambda _: SimpleNamespace(timestamp=9_000)  # it was asked again meanwhile
    records = [SimpleNamespace(offset=offset) for offset in range(2)]
    assert consumer._run(here, records) == Run(0, 3, records, arrived=5.0, size=10)
