"""Faust's aiokafka driver with two changes: it delivers runs of records, and it reads from stored positions.

*Runs.* Plain Faust makes two asyncio tasks for every record. Here ``_getmany`` folds the records of one
partition from one poll, those of all its topics, into one message, whose value is the runs of them.

*Positions.* A pipeline's state says from where it goes on, not the consumer group's commit. ``_getmany`` runs
in the main loop between deliveries, the one place where a seek cannot race with a delivery. What is older
than the position is dropped; where there is a gap, the consumer seeks once. Of a gap that stays, the log's
start tells what it is: where it begins behind the position, Kafka has deleted records that nobody read, and
the reader is told; else it is a hole (transaction markers, compaction) and is passed.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT
from faust.types.transports import ConsumerCallback
from yarl import URL

from stream.core.lost import Gap
from stream.core.merge import BEHIND
from stream.shell.batches import Reached, RecordMap
from stream.shell.fetching import ConsumerThread
from stream.shell.runs import LogShrunkError, Reader, Run, Runs, shrunk

logger = logging.getLogger(__name__)

_ROOM_SECONDS: Final = 0.05
"""How long topics that are not full wait for one that is."""


class _Message(NamedTuple):
    """What Faust takes for a record: the place of the last one of a topic, and for its value the runs."""

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
        self.reader.room.clear()
        active = {tp for tp in active_partitions or () if not self._is_full(tp)}
        is_held_back = len(active) < len(active_partitions or ())
        fetched: RecordMap = {}
        if active:
            patience = 0.0 if is_held_back else timeout
            fetched = dict(await super()._getmany(active_partitions=active, timeout=patience) or {})
        if is_held_back and not fetched:
            with suppress(TimeoutError):  # what is held back is here already: no fetch would wake us
                await asyncio.wait_for(self.reader.room.wait(), _ROOM_SECONDS)
        if not self.flow_active or (revocations, generation) != self._now():
            return {}
        fetched = await self._without_gaps(fetched, active)
        if (revocations, generation) != self._now():
            return {}
        delivered: RecordMap = {}
        runs: defaultdict[int, dict[TP, Run]] = defaultdict(dict)
        for tp, records in fetched.items():
            if tp.topic not in self.topics:
                delivered[tp] = records
            elif run := self._run(tp, records):
                runs[tp.partition][tp] = run
        for together in runs.values():
            tp = next(iter(together))
            self._read_offset[tp] = None
            delivered[tp] = [_message(tp, together)]
        self._settle()
        return delivered

    async def _begin(self, generation: int) -> bool:
        """Go to the stored positions of a new generation; False when it was over before that."""
        before = self._now()
        assigned = {tp for tp in self.assignment() if tp.topic in self.topics}
        starts = await self._starts(assigned)
        positions = await self.reader.positions(generation, assigned, starts)
        if self._now() != before:
            return False
        try:
            for tp, offset in positions.items():
                self._thread.seek(tp, offset)
        except IllegalStateError as error:  # the consumer's thread has begun to rebalance
            logger.info("generation %d is over: %s", generation, error)
            return False
        self._expected = {tp: _Expected(offset) for tp, offset in positions.items()}
        for tp, offset in positions.items():
            if offset < starts.get(tp, 0):
                self._skip(tp, Gap(offset, starts[tp], is_lost=True))
        self._settle()
        self._generation = generation
        return True

    async def _starts(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Ask where the logs of *tps* begin."""
        asked = list(tps)
        found: Mapping[TopicPartition, int] = await self._thread.earliest_offsets(*asked) if asked else {}
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def _without_gaps(self, fetched: RecordMap, active: set[TP]) -> RecordMap:
        """Give of *fetched* what goes on where it should, or behind a hole; seek where that is unsure."""
        stayed: dict[TP, int] = {}
        for tp in active & self._expected.keys():
            expected, reached = self._expected[tp], self._reached(tp, fetched.get(tp))
            if reached <= expected.offset:
                continue
            if expected.sought:
                stayed[tp] = reached
            else:
                expected.sought = True
                self._thread.seek(tp, expected.offset)
                fetched.pop(tp, None)
        starts = await self._starts(stayed)
        for tp, reached in stayed.items():
            offset = self._expected[tp].offset if tp in self._expected else reached
            if offset < starts[tp]:
                self._skip(tp, Gap(offset, starts[tp], is_lost=True))
                fetched.pop(tp, None)
            elif offset < reached and tp not in fetched:
                self._skip(tp, Gap(offset, reached, is_lost=False))
        return fetched

    def _reached(self, tp: TP, records: list[Any] | None) -> int:
        """Give the offset of the next record of *tp*, where none is in hand that of the next fetch."""
        if records:
            return int(records[0].offset)
        state = self._state(tp)
        return 0 if state is None else int(state._position or 0)  # read once: its thread may be resetting it

    def _skip(self, tp: TP, gap: Gap) -> None:
        """Go on behind *gap*; the reader is told, and takes no more of *tp* until it has passed it too."""
        self._expected[tp] = _Expected(gap.stop)
        self._thread.seek(tp, gap.stop)
        self.reader.skip(tp, gap)

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
        drained = self._drained[tp]
        stop = max(records[-1].offset + 1, drained.stop)
        run = Run(expected.offset, stop, records, drained.at, drained.size)
        self._expected[tp] = _Expected(stop)
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

    def unread(self, tp: TP, taken: int) -> int:
        """Give how many records *tp* has from offset *taken* on; 0 where none of them has been fetched."""
        fetched = self._thread._ensure_consumer()._fetcher._records
        end = self.end_of(tp) if TopicPartition(tp.topic, tp.partition) in fetched else None
        return 0 if end is None else max(0, end - taken)

    def last_fetch(self) -> float | None:
        """Give when the broker last answered a fetch, in seconds; None where it never has."""
        times = [state.timestamp for tp in self._expected if (state := self._state(tp)) is not None]
        return max((float(time) / 1000.0 for time in times if time is not None), default=None)

    def end_of(self, tp: TP) -> int | None:
        """Give the offset after the last record of *tp* as of the last fetch; None while it is not known."""
        state = self._state(tp)
        return None if state is None else state.highwater

    @property
    def _drained(self) -> Mapping[TP, Reached]:
        assert isinstance(self._thread, ConsumerThread)  # noqa: S101 - what _new_consumer_thread makes
        return self._thread.reached

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


def _message(tp: TP, runs: Runs) -> _Message:
    last = runs[tp].records[-1]
    return _Message(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp,
        last.timestamp_type,
        (),
        None,
        runs,
        None,
        0,
        0,
    )
