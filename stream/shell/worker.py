"""The worker: a Faust app whose one agent leads runs of records to the partitions' pipelines."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import faust
from aiokafka import AIOKafkaProducer
from faust.types import TP

from stream.core.errors import NotContiguousError
from stream.core.merge import Merge
from stream.core.nouns import Topic
from stream.core.pipeline import Pipeline
from stream.shell import clock
from stream.shell.connection import Connection
from stream.shell.metrics import Metrics
from stream.shell.partition import Partition
from stream.shell.state import StateStore
from stream.shell.topics import LARGE_RECORD_BYTES, STATE, Topics
from stream.shell.transport import Consumer, Run, Transport

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """What a worker needs to know beside its topics; times in seconds."""

    group: str
    checkpoint_seconds: float
    max_idle_seconds: float
    max_poll_records: int
    session_timeout_seconds: float
    rebalance_timeout_seconds: float


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
        self._name = uuid4().hex
        self.is_ready = False
        self.last_tick = clock.steady()
        self._store = StateStore(connection, topics.full(STATE))
        self._producer = AIOKafkaProducer(
            **connection.for_aiokafka(), acks="all", linger_ms=5, max_request_size=LARGE_RECORD_BYTES
        )
        self.app = self._make_app()

    def _make_app(self) -> faust.App:
        options = self._options
        app = faust.App(
            options.group,
            broker=self._connection.faust_urls(),
            broker_credentials=self._connection.faust_credentials(),
            broker_max_poll_records=options.max_poll_records,
            broker_session_timeout=options.session_timeout_seconds,
            broker_heartbeat_interval=options.session_timeout_seconds / 5,
            broker_rebalance_timeout=options.rebalance_timeout_seconds,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=LARGE_RECORD_BYTES,
            datadir=tempfile.mkdtemp(prefix="driftline-"),
            store="memory://",
            stream_buffer_maxsize=16,
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
        app.task(self._tick_until_stopped)
        app.on_partitions_revoked.connect(self._revoked)
        return app

    async def start(self) -> None:
        """Connect and take part in the group."""
        await self._producer.start()
        await self._store.start()
        await self.app.start()

    async def stop(self) -> None:
        """Write a last checkpoint, leave the group, disconnect; nothing is left half done."""
        self.is_ready = False
        if not self.app.crashed:
            await self._give_up(self._partitions)
        await self.app.stop()
        await self._producer.stop()
        await self._store.stop()

    async def positions(self, generation: int, assigned: Iterable[TP]) -> Mapping[TP, int]:
        """Restore the partitions of a new generation; give the offset at which each topic of them goes on."""
        began = clock.steady()
        self.is_ready = False
        await self._give_up(self._partitions)
        wanted = list(assigned)
        restored = await self._store.restore({tp.partition for tp in wanted}, f"{self._name}-{generation}")
        for number, state in restored.items():
            pipeline = self._make_pipeline(number)
            unreadable = pipeline.restore(state.rows)
            for key in unreadable:
                logger.warning("partition %d: row %s cannot be read, it is learned again", number, key)
            if lost := len(unreadable) + state.unreadable:
                self._metrics.count("unreadable_rows_total", by=lost)
            self._partitions[number] = Partition(
                pipeline,
                Merge(pipeline.positions, self._options.max_idle_seconds),
                state.writer,
                self._producer,
                self._topics,
                self._metrics,
            )
        self._generation = generation
        self.is_ready = True
        seconds = clock.steady() - began
        self._metrics.observe("restore_seconds", value=seconds)
        self._metrics.set("partitions", to=len(self._partitions))
        logger.info("ready: partitions %s restored in %.2f s", sorted(self._partitions), seconds)
        return {
            tp: self._partitions[tp.partition].merge.expected(self._inputs[tp.topic]) for tp in wanted
        }

    def is_full(self, tp: TP) -> bool:
        """Tell whether *tp* has enough records waiting."""
        partition = self._partitions.get(tp.partition)
        return partition is not None and partition.merge.is_full(self._inputs[tp.topic])

    async def _read(self, stream: faust.StreamT[Run]) -> None:
        async for event in stream.noack().events():
            message = event.message
            partition = self._partitions.get(message.partition)
            if partition is None or message.generation_id != self._generation:
                continue
            try:
                await self._take(partition, message.tp, event.value)
            except Exception as error:
                logger.exception("partition %d cannot go on", message.partition)
                await self.app.crash(error)
                raise

    async def _take(self, partition: Partition, tp: TP, run: Run) -> None:
        topic = self._inputs[tp.topic]
        try:
            partition.offer(topic, run.start, run.records, run.arrived)
        except NotContiguousError as error:
            logger.warning("partition %d: %s; it is read again", partition.number, error)
            self._consumer.forget(tp, partition.merge.expected(topic))
            return
        await self._advance(partition)

    async def _advance(self, partition: Partition) -> None:
        """Process what is in order; checkpoint when it is time."""
        while await partition.advance(self._empty_at(partition)):
            due = partition.last_checkpoint + self._options.checkpoint_seconds
            if clock.steady() >= due:
                await self._checkpoint(partition)

    async def _checkpoint(self, partition: Partition) -> None:
        positions = await partition.checkpoint()
        if positions and not partition.is_lost:
            await self._consumer.commit_positions(
                {
                    TP(name, partition.number): positions[topic]
                    for name, topic in self._inputs.items()
                    if topic in positions
                }
            )

    def _empty_at(self, partition: Partition) -> dict[Topic, float]:
        """Say of each topic when it was last seen that all of its log had been fetched and handed over."""
        seen = {
            topic: self._consumer.empty_at(TP(name, partition.number), partition.merge.expected(topic))
            for name, topic in self._inputs.items()
        }
        return {topic: at for topic, at in seen.items() if at is not None}

    async def _tick_until_stopped(self) -> None:
        """Look after what no record wakes: runs that were held back, checkpoints that are due."""
        while not self.app.should_stop:
            try:
                await self._tick()
            except Exception as error:
                logger.exception("a partition cannot go on")
                await self.app.crash(error)
                raise
            await self.app.sleep(TICK_SECONDS)

    async def _tick(self) -> None:
        self.last_tick = clock.steady()
        for partition in list(self._partitions.values()):
            if len(partition.merge):
                await self._advance(partition)
            if clock.steady() >= partition.last_checkpoint + self._options.checkpoint_seconds:
                await self._checkpoint(partition)

    async def _revoked(self, _app: Any, revoked: Iterable[TP], **_kwargs: Any) -> None:
        logger.info("%d topic partitions revoked", len(set(revoked)))
        self.is_ready = False
        self._generation = None
        await self._give_up(self._partitions)

    async def _give_up(self, partitions: Mapping[int, Partition]) -> None:
        """Write the last checkpoint of partitions that are given away, and forget them."""
        leaving = list(partitions.values())
        self._partitions = {}
        for partition in leaving:
            await partition.checkpoint()
            partition.is_lost = True
            self._metrics.forget(partition=str(partition.number))
            for model in partition.pipeline.models():
                self._metrics.forget(model=model)

    def collect(self) -> None:
        """Bring the gauges up to date, for a scrape."""
        for partition in self._partitions.values():
            self._metrics.add(partition.pipeline.gauges())
            for name, topic in self._inputs.items():
                end = self._consumer.end_of(TP(name, partition.number))
                if end is not None:
                    lag = max(0, end - partition.pipeline.positions[topic])
                    self._metrics.set("lag_events", topic.suffix, str(partition.number), to=lag)

    @property
    def _consumer(self) -> Consumer:
        consumer = self.app.consumer
        assert isinstance(consumer, Consumer)  # noqa: S101 - the transport above makes no other
        return consumer


async def run_until(worker: Worker, stop: asyncio.Event) -> BaseException | None:
    """Run *worker* until *stop* is set or it crashes; give the reason of a crash."""
    await worker.start()
    waiting = asyncio.ensure_future(stop.wait())
    crashed = asyncio.ensure_future(worker.app.wait_until_stopped())
    await asyncio.wait({waiting, crashed}, return_when=asyncio.FIRST_COMPLETED)
    reason: BaseException | None = worker.app.crash_reason if worker.app.crashed else None
    for task in (waiting, crashed):
        task.cancel()
    await worker.stop()
    return reason
