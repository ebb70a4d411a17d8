"""The worker: a Faust app whose one agent leads runs of records to the partitions' pipelines."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import faust
from faust.types import TP

from stream.core.errors import NotContiguousError
from stream.core.lost import Gap
from stream.core.merge import BEHIND, Merge
from stream.core.nouns import Topic
from stream.core.pipeline import Pipeline
from stream.shell import clock
from stream.shell.aside import Aside
from stream.shell.connection import Connection
from stream.shell.fencing import Transactions
from stream.shell.fuller import Fuller
from stream.shell.metrics import Metrics
from stream.shell.noted import Noted
from stream.shell.outputs import Outputs
from stream.shell.partition import Partition
from stream.shell.pieces import Pieces
from stream.shell.producers import Producers
from stream.shell.runs import Run, Runs, shrunk
from stream.shell.state import Restored, StateStore
from stream.shell.topics import LARGE_RECORD_BYTES, STATE, Topics
from stream.shell.transport import Consumer, Transport
from stream.shell.watchdog import StalledError, Watchdog

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05
WATCH_SECONDS = 1.0
UNREAD_MESSAGES = 1_000
"""Messages that Faust may hold before it stops to fetch: we say so ourselves, of each topic, and it waits."""


class _App(faust.App):
    """A Faust app that leaves nothing on disk: its state is in Kafka."""

    logger = logging.getLogger("faust.worker")  # Faust's messages, at Faust's level

    def _create_directories(self) -> None:
        """Make none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """What a worker needs to know beside its topics; times in seconds."""

    group: str
    checkpoint_seconds: float
    max_idle_seconds: float
    max_poll_records: int
    session_timeout_seconds: float
    rebalance_timeout_seconds: float
    stall_seconds: float
    transactions: Transactions
    publish_timeout_seconds: float


class Worker:
    """Runs the pipelines of the partitions that the group gives to this process."""

    def __init__(
        self,
        connection: Connection,
        topics: Topics,
        options: WorkerOptions,
        metrics: Metrics,
        make_pipeline: Callable[[int], Pipeline],
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._options = options
        self._metrics = metrics
        self._make_pipeline = make_pipeline
        self._inputs = topics.inputs()
        self._partitions: dict[int, Partition] = {}
        self._generation: int | None = None
        self._revocations = 0
        self._torn: list[int] = []
        self._saving: dict[int, asyncio.Task[None]] = {}
        self._noted = Noted(self._note)
        self._news = asyncio.Event()
        self.room = asyncio.Event()
        self._is_restoring = self.is_ready = False
        self.last_tick = clock.steady()
        self.watchdog = Watchdog(WATCH_SECONDS, options.stall_seconds)
        self._pauses = clock.Pauses(options.session_timeout_seconds / 2)
        producers = Producers(
            connection,
            f"{options.group}-{topics.prefix}",
            options.transactions,
            options.publish_timeout_seconds,
        )
        self._aside = Aside()
        self._fuller = Fuller(self._inputs, lambda: self._consumer, self._news)
        self._store = StateStore(connection, topics.full(STATE), producers)
        self.app = self._make_app()

    def _make_app(self) -> faust.App:
        options = self._options
        app = _App(
            options.group,
            broker=self._connection.faust_urls(),
            broker_credentials=self._connection.faust_credentials(),
            broker_max_poll_records=options.max_poll_records,
            broker_session_timeout=options.session_timeout_seconds,
            broker_heartbeat_interval=options.session_timeout_seconds / 5,
            broker_rebalance_timeout=options.rebalance_timeout_seconds,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=LARGE_RECORD_BYTES,
            store="memory://",
            stream_buffer_maxsize=UNREAD_MESSAGES,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            topic_partitions=self._topics.partitions,
            web_enabled=False,
            autodiscover=False,
        )
        app.transport = Transport(app.conf.broker, app, reader=self, topics=self._inputs, loop=app.loop)
        channel = app.topic(*self._inputs, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="inputs")(self._read)
        app.on_partitions_revoked.connect(self._revoked)
        app.on_partitions_assigned.connect(self._assigned)
        return app

    async def run(self) -> None:
        """Take part in the group until cancelled. Raises what it cannot go on after."""
        self._aside.start()
        await self._aside.do(self._store.start())
        loops = (self._until_the_app_ends, self._advance_for_ever, self._tick_for_ever, self._watch)
        tasks = [asyncio.create_task(part) for part in (self.app.start(), *(loop() for loop in loops))]
        try:
            await asyncio.gather(*tasks)
        finally:
            tasks += self._saving.values()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_the_app_ends(self) -> None:
        await self.app.wait_until_stopped()
        raise self.app.crash_reason or StalledError("Faust has stopped by itself")

    async def stop(self, *, in_good_order: bool) -> None:
        """Leave the group and disconnect, *in_good_order* with a last checkpoint: nothing is done twice."""
        self._end_generation()
        try:
            if in_good_order:
                await self._give_up()
        finally:
            self._partitions = {}
            await self.app.stop()
            await self._aside.do(self._store.stop())
            await self._aside.stop()

    async def positions(
        self, generation: int, assigned: Iterable[TP], starts: Mapping[TP, int]
    ) -> Mapping[TP, int]:
        """Restore the partitions of a new generation; give the offset at which each topic of them goes on."""
        began = clock.steady()
        self.is_ready = False
        await self._give_up()
        revocations, wanted = self._revocations, self._complete(assigned)
        self._is_restoring = True
        try:
            restored = await self._aside.do(self._store.restore({tp.partition for tp in wanted}, uuid4().hex))
        finally:
            self._is_restoring = False
        if revocations != self._revocations:
            return {}
        self._partitions = {
            number: self._restored(number, state, starts) for number, state in restored.items()
        }
        self._generation = generation
        self.is_ready = not self._torn
        seconds = clock.steady() - began
        self._metrics.observe("restore_seconds", value=seconds)
        self._metrics.set("partitions", to=len(self._partitions))
        logger.info("ready: partitions %s restored in %.2f s", sorted(self._partitions), seconds)
        return {tp: self._partitions[tp.partition].merge.expected(self._inputs[tp.topic]) for tp in wanted}

    def _complete(self, assigned: Iterable[TP]) -> list[TP]:
        """Give what is assigned of the partitions of which this worker has every input topic."""
        topics: dict[int, set[str]] = defaultdict(set)
        given = list(assigned)
        for tp in given:
            topics[tp.partition].add(tp.topic)
        self._torn = sorted(number for number, names in topics.items() if names != self._inputs.keys())
        if self._torn:
            logger.warning("partitions %s were assigned without some input topics: they wait", self._torn)
        return [tp for tp in given if tp.partition not in self._torn]

    def _restored(self, number: int, state: Restored, starts: Mapping[TP, int]) -> Partition:
        pipeline = self._make_pipeline(number)
        pieces = Pieces()
        unreadable = pipeline.restore(pieces.join(state.rows))
        if pipeline.is_new:
            pipeline.begin_at({topic: starts[TP(name, number)] for name, topic in self._inputs.items()})
        for key in unreadable:
            logger.warning("partition %d: row %s cannot be read, it is learned again", number, key)
        self._metrics.count("unreadable_rows_total", by=len(unreadable) + state.unreadable)
        return Partition(
            pipeline,
            Merge(pipeline.positions, self._options.max_idle_seconds),
            self._store,
            state.writer,
            Outputs(state.writer.producers.outputs, self._topics, self._metrics),
            self._topics,
            self._metrics,
            self._pauses,
            pieces,
            self._aside.do,
            is_changed=True,  # a checkpoint mends what was left half written, and tells the group where it is
        )

    def is_full(self, tp: TP) -> bool:
        """Tell whether *tp* has enough records waiting."""
        partition = self._partitions.get(tp.partition)
        return partition is not None and partition.is_full(self._inputs[tp.topic])

    def skip(self, tp: TP, gap: Gap) -> None:
        """Take note that *gap* follows what was delivered of *tp*."""
        if (partition := self._partitions.get(tp.partition)) is not None:
            partition.skip(self._inputs[tp.topic], gap)

    def heard(self) -> None:
        """Take note that the broker has said what records waited for: it may be their turn."""
        self._news.set()

    async def _read(self, stream: faust.StreamT[Runs]) -> None:
        """Take what comes, and no time over it: what comes while a step is made is one step together."""
        async for event in stream.noack().events():  # type: ignore[attr-defined]  # a Stream has it
            partition = self._partitions.get(event.message.partition)
            if partition is None or event.message.generation_id != self._generation:
                continue
            try:
                for tp, run in event.value.items():
                    self._take(partition, tp, run)
            except Exception as error:
                await self.app.crash(error)
                raise
            self._news.set()

    def _take(self, partition: Partition, tp: TP, run: Run) -> None:
        topic = self._inputs[tp.topic]
        try:
            partition.offer(topic, run.start, run.records, run.arrived, run.stop, run.size)
        except NotContiguousError as error:
            expected = partition.merge.expected(topic)
            if run.start > expected:  # what starts earlier was read again needlessly
                logger.warning("partition %d: %s; it is read again", partition.number, error)
                self._consumer.forget(tp, expected)

    async def _advance_for_ever(self) -> None:
        """Process what has come and is in order, a step of each partition in turn.

        No step waits for a checkpoint that is being written, of its own partition or of another.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            for number in [number for number, saving in self._saving.items() if saving.done()]:
                self._saving.pop(number).result()
            for partition in list(self._partitions.values()):
                if not self._fuller.is_due(partition):
                    continue
                if await partition.advance(self._empty_at(partition)):
                    self._news.set()  # there may be more
                    self.room.set()
                    self._save_if_due(partition)

    def _save_if_due(self, partition: Partition) -> None:
        is_due = partition.is_checkpoint_due(self._options.checkpoint_seconds)
        if is_due and partition.number not in self._saving:
            self._saving[partition.number] = saving = asyncio.create_task(self._checkpoint(partition))
            saving.add_done_callback(lambda _: self._news.set())

    async def _checkpoint(self, partition: Partition) -> None:
        self._noted.tell(self._offsets(partition, await partition.checkpoint()))

    async def _note(self, offsets: Mapping[TP, int]) -> bool:
        return await self._consumer.note(offsets)

    def _offsets(self, partition: Partition, positions: Mapping[Topic, int]) -> dict[TP, int]:
        return {
            TP(name, partition.number): positions[topic]
            for name, topic in self._inputs.items()
            if topic in positions
        }

    def _empty_at(self, partition: Partition) -> dict[Topic, float]:
        """Say of each topic when it was last seen that all of its log had been fetched and handed over."""
        seen = {
            topic: self._consumer.empty_at(TP(name, partition.number), partition.merge.expected(topic))
            for name, topic in self._inputs.items()
        }
        return {topic: at for topic, at in seen.items() if at is not None}

    async def _tick_for_ever(self) -> None:
        """Look after what no record wakes: runs that were held back, checkpoints that are due."""
        while True:
            self._pauses.look()
            self.last_tick = clock.steady()
            for partition in list(self._partitions.values()):
                if partition.is_waiting:
                    self._news.set()
                self._save_if_due(partition)
            await asyncio.sleep(TICK_SECONDS)

    async def _watch(self) -> None:
        """Raise StalledError where something that changes while all is well has not changed for too long."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.watchdog.look(self._signs_of_life())

    def _signs_of_life(self) -> dict[str, object]:
        """Give what should change, by what is wrong where it does not; nothing where nothing need happen."""
        if self._is_restoring:
            return {}
        signs: dict[str, object] = {}
        if self._torn:
            topics = ", ".join(self._inputs)
            signs[f"partitions {self._torn} have lacked some of the topics {topics}"] = self._revocations
        if self._partitions:
            signs["the broker has answered no fetch"] = self._consumer.last_fetch()
        elif not self.is_ready:
            signs["no partition has been assigned"] = self._revocations
        for number, partition in self._partitions.items():
            if partition.is_lost:
                signs[f"partition {number} is lost to another writer and was still assigned"] = True
            if len(partition.merge) or BEHIND in self._empty_at(partition).values():
                positions = dict(partition.pipeline.positions)
                signs[f"partition {number} has had records and processed none"] = positions
            for name, topic in self._inputs.items():
                end, expected = self._consumer.end_of(TP(name, number)), partition.merge.expected(topic)
                if end is not None and end < expected:
                    signs[shrunk(name, number, end, expected)] = end
        return signs

    async def _revoked(self, *_signal: object, **_more: object) -> None:
        logger.info("partitions %s revoked", sorted(self._partitions))
        self._end_generation()
        await self._give_up()

    def _end_generation(self) -> None:
        self.is_ready = False
        self._revocations += 1
        self._generation = None
        self._torn = []

    async def _assigned(self, *signal: Any, **_more: object) -> None:  # noqa: ANN401 - Faust's signature
        """Be ready where there is nothing to restore: a worker more than there are partitions stands by."""
        if not signal[1]:
            logger.info("ready: no partition is left for this worker, it stands by")
            self.is_ready = True

    async def _give_up(self) -> None:
        """Write the last checkpoint of the partitions, which are given away, and forget them."""
        leaving, self._partitions = list(self._partitions.values()), {}
        self._metrics.set("partitions", to=0)
        reached = await asyncio.gather(*(partition.give_up() for partition in leaving))
        offsets: dict[TP, int] = {}
        for partition, positions in zip(leaving, reached, strict=True):
            offsets |= self._offsets(partition, positions)
            self._metrics.forget(partition=str(partition.number))
            for model in partition.pipeline.models():
                self._metrics.forget(model=model)
        await self._noted.tell_last(offsets)

    def collect(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        for partition in self._partitions.values():
            self._metrics.add(partition.pipeline.gauges())
            empty_at = self._empty_at(partition)
            for name, topic in self._inputs.items():
                if (end := self._consumer.end_of(TP(name, partition.number))) is None:
                    continue
                is_done = not len(partition.merge) and empty_at.get(topic, BEHIND) != BEHIND
                # What stands behind the last record may be no record: a transaction's marker is none.
                lag = 0 if is_done else max(0, end - partition.pipeline.positions[topic])
                self._metrics.set("lag_events", topic.suffix, str(partition.number), to=lag)

    @property
    def _consumer(self) -> Consumer:
        consumer = self.app.consumer
        assert isinstance(consumer, Consumer)  # noqa: S101 - the transport above makes no other
        return consumer
