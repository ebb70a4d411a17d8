"""The thread that fetches: aiokafka's consumer, drained of whole batches as it parses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.shell.asking import HOLD_BACK_MS, Asking
from stream.shell.batches import Reached, RecordMap, drain
from stream.shell.fencing import READ_COMMITTED
from stream.shell.frames import ANSWER_MAX_BYTES
from stream.shell.runs import Reader

logger = logging.getLogger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the aiokafka consumer, with a fetch that does not wait longer than an alert may."""

    logger = logging.getLogger("faust.consumer")

    reached: Mapping[TP, Reached] = MappingProxyType({})
    """How far the last fetch has read each partition, markers of transactions included."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = HOLD_BACK_MS  # Faust has no setting for it, nor for the next ones
        consumer._fetch_max_bytes = ANSWER_MAX_BYTES
        consumer._isolation_level = READ_COMMITTED  # what a producer takes back is no event
        return consumer

    async def on_start(self) -> None:
        """Start the consumer."""
        await super().on_start()
        reader: Reader = self.consumer.reader  # type: ignore[attr-defined]  # the transport makes no other
        call = self.parent_loop.call_soon_threadsafe
        fetcher = self._ensure_consumer()._fetcher
        self._asking = Asking(fetcher, partial(call, reader.heard), partial(call, reader.room.set))

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
            records = await self._drain(fetcher, active_partitions, max_records)
            if records or not timeout:
                return records
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=timeout)
            if not waiter.done():
                waiter.cancel()
                return {}
            waiter.result()  # raises where the broker refused
            return await self._drain(fetcher, active_partitions, max_records)

    async def _drain(self, fetcher: Fetcher, partitions: set[TP], max_records: int | None) -> RecordMap:
        """Give what is there; its topics are asked for what else there was."""
        records, self.reached = await drain(fetcher, partitions, max_records)
        self._asking.came(records)
        return records

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
