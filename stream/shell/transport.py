"""Faust's aiokafka driver with two changes: it delivers runs of records, and it reads from stored positions.

*Runs.* Plain Faust makes two asyncio tasks for every record. Here ``_getmany`` folds the records of one
partition from one poll into one message, whose value is the run of them.

*Positions.* A pipeline's state says from where it goes on, not the consumer group's commit. ``_getmany`` runs
in the main loop between deliveries, the one place where a seek cannot race with a delivery. What is older
than the position is dropped; where there is a gap, the consumer seeks once; a gap that stays is a hole in the
log (transaction markers, expired records) and is passed.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT
from faust.types.transports import ConsumerCallback
from yarl import URL

from stream.core.merge import BEHIND
from stream.shell.batches import RecordMap, drain
from stream.shell.fencing import READ_COMMITTED

logger = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 100
"""How long the broker holds back the answer to a fetch that finds nothing."""


class LogShrunkError(Exception):
    """A topic ends before the position in the state: the text says which and what to do."""


def shrunk(topic: str, partition: int, end: int, seen: int) -> str:
    """Say that the log of *topic* ends at offset *end*, though it was *seen* up to a later one."""
    return (
        f"topic {topic}, partition {partition} ends at offset {end}, the state has seen it up to {seen}: "
        "if the topic was made anew, start over with another prefix or make the state topic anew too"
    )


class Run(NamedTuple):
    """Records of one topic partition that stand in the log from offset *start* on, as aiokafka parses them.

    *arrived* is when they were fetched, in seconds since the epoch.
    """

    start: int
    records: Sequence[Any]
    arrived: float


class Reader(Protocol):
    """Who reads the runs: it says where to start, and when it has had enough."""

    async def positions(self, generation: int, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Get ready for the partitions of a new *generation*; give the offset at which each one goes on."""

    def is_full(self, tp: TP) -> bool:
        """Tell whether *tp* has enough records waiting, so that no more should be fetched."""


class _Message(NamedTuple):
    """What Faust takes for a record: the last one's place, and the run for its value."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    headers: Any
    key: Any
    value: Any
    checksum: Any
    serialized_key_size: int
    serialized_value_size: int


@dataclass(slots=True)
class _Expected:
    """Where the next run of a partition starts, and whether that was sought in vain."""

    offset: int
    sought: bool = False


class Consumer(driver.Consumer):
    """A Faust consumer that delivers runs from stored positions."""

    logger = logging.getLogger("faust.consumer")  # Faust's messages, at Faust's level

    reader: Reader
    topics: frozenset[str]
    _generation: int | None = None
    _revocations: int = 0
    _expected: dict[TP, _Expected]
    _settled: dict[TP, int]

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was expected: whatever comes next belongs to another generation, its number apart."""
        self._forget_generation()
        await super().on_partitions_revoked(revoked)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> RecordMap:
        revocations, generation = self._revocations, self.app.consumer_generation_id
        if generation != self._generation and not await self._begin(generation):
            return {}
        active = {tp for tp in active_partitions or () if not self._is_full(tp)}
        if not active:
            await self.sleep(0.05)
            return {}
        fetched = await super()._getmany(active_partitions=active, timeout=timeout)
        if not self.flow_active or (revocations, generation) != self._now():
            return {}
        delivered: RecordMap = {}
        for tp, records in (fetched or {}).items():
            if tp.topic not in self.topics:
                delivered[tp] = records
            elif run := self._run(tp, records):
                self._read_offset[tp] = None
                delivered[tp] = [_message(tp, run)]
        self._settle()
        return delivered

    async def _begin(self, generation: int) -> bool:
        """Go to the stored positions of a new generation; False when it was over before that."""
        before = self._now()
        assigned = {tp for tp in self.assignment() if tp.topic in self.topics}
        positions = await self.reader.positions(generation, assigned)
        if self._now() != before:
            return False
        try:
            for tp, offset in positions.items():
                self._thread.seek(tp, offset)
        except IllegalStateError as error:  # the consumer's thread has begun to rebalance
            logger.info("generation %d is over: %s", generation, error)
            return False
        self._expected = {tp: _Expected(offset) for tp, offset in positions.items()}
        self._settle()
        self._generation = generation
        return True

    def _now(self) -> tuple[int, int]:
        """Give what tells one assignment from every other: a group that is lost counts from 1 again."""
        return self._revocations, self.app.consumer_generation_id

    def _forget_generation(self) -> None:
        self._revocations += 1
        self._generation = None
        self._expected = {}
        self._settled = {}

    def _settle(self) -> None:
        """Take note of the positions while nothing is on its way from the consumer's thread."""
        states = {tp: self._state(tp) for tp in self._expected}
        self._settled = {
            tp: state.position
            for tp, state in states.items()
            if state is not None and state.has_valid_position
        }

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def forget(self, tp: TP, position: int) -> None:
        """Read *tp* again from *position*: what was delivered could not be taken."""
        self._expected[tp] = _Expected(position)

    def _is_full(self, tp: TP) -> bool:
        return tp.topic in self.topics and self.reader.is_full(tp)

    def _run(self, tp: TP, records: list[Any]) -> Run | None:
        expected = self._expected.get(tp)
        if expected is None:
            return None
        if records[0].offset < expected.offset:
            end = self.end_of(tp)
            if end is not None and end < expected.offset:
                raise LogShrunkError(shrunk(tp.topic, tp.partition, end, expected.offset))
            records = [record for record in records if record.offset >= expected.offset]
            if not records:
                return None
        if records[0].offset > expected.offset and not expected.sought:
            expected.sought = True
            self._thread.seek(tp, expected.offset)
            return None
        run = Run(expected.offset, records, self._fetched_at(tp))
        self._expected[tp] = _Expected(records[-1].offset + 1)
        return run

    def empty_at(self, tp: TP, taken: int) -> float | None:
        """Give when it was last seen that the log of *tp* ends before offset *taken*, in seconds.

        BEHIND where it is known to have more, None where nothing is known.
        """
        expected, state = self._expected.get(tp), self._state(tp)
        if expected is None or state is None or not state.has_valid_position:
            return None
        # The consumer's thread writes the end first, then the time: read the other way round.
        seen, position, end = state.timestamp, state.position, _readable_end(state)
        if end is None or seen is None:
            return None
        on_its_way = position != self._settled.get(tp)
        if expected.offset != taken or on_its_way or position < end:
            return BEHIND
        return float(seen) / 1000.0

    def last_fetch(self) -> float | None:
        """Give when the broker last answered a fetch, in seconds; None where it never has."""
        times = [state.timestamp for tp in self._expected if (state := self._state(tp)) is not None]
        return max((float(time) / 1000.0 for time in times if time is not None), default=None)

    def end_of(self, tp: TP) -> int | None:
        """Give the offset after the last record of *tp* as of the last fetch; None while it is not known."""
        state = self._state(tp)
        return None if state is None else state.highwater

    def _fetched_at(self, tp: TP) -> float:
        state = self._state(tp)
        return float(state.timestamp or 0) / 1000.0 if state is not None else 0.0

    def _state(self, tp: TP) -> Any:  # noqa: ANN401 - aiokafka has no annotations
        subscription = self._thread._ensure_consumer()._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return None
        known = TopicPartition(tp.topic, tp.partition)
        if known not in subscription.assignment.tps:
            return None
        return subscription.assignment.state_value(known)

    async def note(self, offsets: Mapping[TP, int]) -> bool:
        """Tell the group how far this worker is, for people and tools: the state has its own positions.

        Tell whether it has heard.
        """
        assert isinstance(self._thread, ConsumerThread)  # noqa: S101 - what _new_consumer_thread makes
        return await self._thread.note(offsets)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the aiokafka consumer, with a fetch that does not wait longer than an alert may."""

    logger = logging.getLogger("faust.consumer")

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # Faust has no setting for it, and for the next
        consumer._isolation_level = READ_COMMITTED  # what a producer takes back is no event
        return consumer

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> RecordMap:
        """Give what was fetched as aiokafka parses it: a ConsumerRecord of each would cost as much again.

        Does what Faust's does, and waits once rather than again and again.
        """
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        with fetcher._subscriptions.fetch_context():
            records = await drain(fetcher, active_partitions, max_records)
            if records or not timeout:
                return records
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=timeout)
            if not waiter.done():
                waiter.cancel()
                return {}
            waiter.result()  # raises where the broker refused
            return await drain(fetcher, active_partitions, max_records)

    async def note(self, offsets: Mapping[TP, int]) -> bool:
        """Commit *offsets* to the group; what cannot be is no harm. Tell whether nothing is left."""
        has_heard: bool = await self.call_thread(self._note, offsets)
        return has_heard

    async def _note(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        mine = self.assignment()
        wanted = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in mine and offset > 0
        }
        if not wanted:
            return True
        try:
            await consumer.commit(wanted)
        except (KafkaError, IllegalStateError) as error:
            logger.info("offsets are not committed to the group: %s", error)
            return False
        return True


class Transport(driver.Transport):
    """Makes such consumers, for one reader."""

    def __init__(
        self, url: list[URL], app: AppT, *, reader: Reader, topics: Iterable[str], loop: AbstractEventLoop
    ) -> None:
        super().__init__(url, app, loop=loop)
        self._reader = reader
        self._topics = frozenset(topics)

    def create_consumer(self, callback: ConsumerCallback, **kwargs: Any) -> Consumer:  # noqa: ANN401 - Faust's
        """Make the consumer of a worker."""
        consumer = Consumer(self, callback=callback, loop=self.loop, **kwargs)
        consumer.reader = self._reader
        consumer.topics = self._topics
        consumer._forget_generation()
        return consumer


def _readable_end(state: Any) -> int | None:  # noqa: ANN401 - aiokafka has no annotations
    """Give where a reader of what is committed comes to the end: before the first open transaction."""
    stable: int | None = state.lso
    end: int | None = state.highwater
    return end if stable is None or stable < 0 else stable


def _message(tp: TP, run: Run) -> _Message:
    last = run.records[-1]
    return _Message(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp,
        last.timestamp_type,
        (),
        None,
        run,
        None,
        0,
        0,
    )
