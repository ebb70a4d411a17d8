"""Follow: the values of a topic from its beginning on, and then as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.shell.connection import Connection
from stream.shell.fencing import READ_COMMITTED


async def follow(connection: Connection, topic: str, partitions: int) -> AsyncIterator[bytes]:
    """Give every committed value of *topic*, which has that many *partitions*; ends when it is closed."""
    consumer = AIOKafkaConsumer(
        **connection.for_aiokafka(),
        auto_offset_reset="earliest",
        isolation_level=READ_COMMITTED,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
        await consumer.seek_to_beginning()
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.value is not None:
                        yield record.value
    finally:
        await consumer.stop()
