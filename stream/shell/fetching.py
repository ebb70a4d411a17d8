"""The thread that fetches: aiokafka's consumer, drained of whole batches as it parses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import aiokafka
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

logger = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 100
"""How long the broker holds back the answer to a fetch that finds nothing."""

RecordMap = dict[TP, list[Any]]


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of the aiokafka consumer, with a fetch that does not wait longer than an alert may."""

    logger = logging.getLogger("faust.consumer")

    read_up_to: Mapping[TP, int] = MappingProxyType({})
    """The offset behind what the last fetch has given of each partition, markers of transactions included."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # Faust has no setting for it
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
            records, self.read_up_to = await _drain(fetcher, active_partitions, max_records)
            if records or not timeout:
                return records
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=timeout)
            if not waiter.done():
                waiter.cancel()
                return {}
            waiter.result()  # raises where the broker refused
            records, self.read_up_to = await _drain(fetcher, active_partitions, max_records)
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


async def _drain(
    fetcher: Fetcher, partitions: set[TP], max_records: int | None
) -> tuple[RecordMap, Mapping[TP, int]]:
    """Give what was fetched, and the offset behind it of each partition."""
    ends: dict[TP, int] = {}
    for result in fetcher._records.values():
        if isinstance(result, FetchResult):
            result.getall = partial(_whole_batches, result, max_records, ends)
    drained: RecordMap = await fetcher.fetched_records(partitions, timeout=0, max_records=None)
    return drained, ends


def _whole_batches(
    result: FetchResult, at_least: int | None, ends: dict[TP, int], _max_records: int | None
) -> list[Any]:
    """Give the records of as many Kafka batches as make *at_least* records, as aiokafka parses them.

    Notes in *ends* up to where they were read, markers included. Beside that it does what aiokafka's
    ``getall`` does, which asks Python several questions about every single record.
    """
    unread = result._partition_records
    if not result.check_assignment(result._topic_partition) or unread is None:
        return []
    records: list[Any] = []
    tp = TP(*result._topic_partition)
    while at_least is None or len(records) < at_least:
        batch = _next_batch(unread)
        if batch is None:
            result._update_position()
            result._partition_records = None
            ends[tp] = unread.next_fetch_offset
            return records
        taken = list(batch)
        if taken and taken[0].offset < unread.next_fetch_offset:
            taken = [record for record in taken if record.offset >= unread.next_fetch_offset]
        records += taken
        unread.next_fetch_offset = batch.next_offset
    result._update_position()
    ends[tp] = unread.next_fetch_offset
    return records


def _next_batch(unread: PartitionRecords) -> Any | None:  # noqa: ANN401 - aiokafka has no annotations
    """Give the next batch of records; None at the end. Raises CorruptRecordException where one is damaged."""
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if unread._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {unread._tp}")
        if not batch.is_control_batch:
            return batch
        unread.next_fetch_offset = batch.next_offset
    return None
