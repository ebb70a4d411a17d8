"""What was fetched, batch by batch, with the transactions that were taken back left out.

aiokafka's own way asks Python several questions about every single record.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from faust.types import TP

RecordMap = dict[TP, list[Any]]


async def drain(
    fetcher: Fetcher, partitions: set[TP], max_records: int | None
) -> tuple[RecordMap, Mapping[TP, int]]:
    """Give what *fetcher* has of *partitions*, at least *max_records* of each where there are as many.

    Give too the offset behind it of each partition, markers of transactions and what was taken back included.
    A Kafka batch is given whole. Raises CorruptRecordException where one is damaged.
    """
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

    Notes in *ends* up to where they were read. Beside that it does what aiokafka's ``getall`` does.
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
    """Give the next batch that counts; None at the end. Raises CorruptRecordException where one is damaged.

    Does what aiokafka's ``_unpack_records`` does with the batches of transactions.
    """
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if unread._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {unread._tp}")
        if not _is_void(unread, batch) and not batch.is_control_batch:
            return batch
        unread.next_fetch_offset = batch.next_offset
    return None


def _is_void(unread: PartitionRecords, batch: Any) -> bool:  # noqa: ANN401 - aiokafka has no annotations
    """Tell whether *batch* is of a transaction that was taken back; an abort marker ends one."""
    if unread._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    unread._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and unread._contains_abort_marker(batch):
        unread._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in unread._aborted_producers)
