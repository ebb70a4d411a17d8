"""Peek: the committed state of a partition, read without claiming it: its owner goes on undisturbed."""

from __future__ import annotations

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.shell.connection import Connection
from stream.shell.fencing import READ_COMMITTED
from stream.shell.pieces import Pieces
from stream.shell.state import Fold
from stream.shell.topics import LARGE_RECORD_BYTES

_FETCH_MS: Final = 500
_FETCHES_IN_VAIN: Final = 4
"""Fetches that give nothing, behind which a broker's idea of the end may be believed."""


async def peek(connection: Connection, topic: str, partition: int) -> dict[bytes, bytes]:
    """Give the rows of the last checkpoint in *partition* of the state *topic*.

    Raises StateError where the state is of a newer format, and what aiokafka raises where it cannot be read.
    """
    fold, where = Fold(), TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        **connection.for_aiokafka(),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level=READ_COMMITTED,
        max_partition_fetch_bytes=LARGE_RECORD_BYTES,
    )
    await consumer.start()
    try:
        consumer.assign([where])
        await consumer.seek_to_beginning(where)
        end = (await consumer.end_offsets([where]))[where]
        in_vain = 0
        while in_vain < _FETCHES_IN_VAIN and (in_vain == 0 or await consumer.position(where) < end):
            fetched = (await consumer.getmany(where, timeout_ms=_FETCH_MS)).get(where, [])
            in_vain = 0 if fetched else in_vain + 1
            for record in fetched:
                fold.take(record.key or b"", record.value, dict(record.headers), record.offset)
    finally:
        await consumer.stop()
    fold.finish()
    return Pieces().join(fold.rows)
