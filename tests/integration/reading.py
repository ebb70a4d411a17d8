"""What stands in the topics and in the group: read to the end, which a fetch alone knows on every broker."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord

from tests.integration.conftest import Broker
from tests.integration.running import wait_until

DEADLINE_S: Final = 30
INPUTS: Final = {"prediction": "predictions", "feedback": "feedback", "lifecycle": "lifecycle"}

Message = dict[str, Any]


def records(broker: Broker, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Read *topic* from its beginning to where it ends now, partition after partition."""
    return asyncio.run(_records(broker, topic))


async def _records(broker: Broker, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=50,
    )
    found: dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]] = {}
    await consumer.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            found = {TopicPartition(topic, number): [] for number in await _partitions(broker, topic)}
            consumer.assign(list(found))
            while not all([await _is_read(consumer, partition) for partition in found]):
                for partition, batch in (await consumer.getmany(timeout_ms=200)).items():
                    found[partition] += batch
    finally:
        await consumer.stop()
    return [record for batch in found.values() for record in batch]


async def _partitions(broker: Broker, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return sorted(part["partition"] for part in described["partitions"])


async def _is_read(consumer: AIOKafkaConsumer, partition: TopicPartition) -> bool:
    end = consumer.highwater(partition)  # ListOffsets gives less than that on the embedded broker
    return end is not None and await consumer.position(partition) >= end


def messages(broker: Broker, topic: str) -> list[Message]:
    """Read the JSON of every record of *topic*."""
    return [json.loads(record.value) for record in records(broker, topic)]


def by_id(found: list[Message]) -> dict[str, Message]:
    """Give the last message of every id: what a compacted topic keeps."""
    return {message["id"]: message for message in found}


def incidents(broker: Broker, prefix: str) -> dict[str, Message]:
    """Give the incidents as they now are, by id."""
    return by_id(messages(broker, prefix + "incidents"))


def committed(broker: Broker, environment: Mapping[str, str]) -> dict[TopicPartition, int]:
    """Give how far the group of workers says it has come."""
    asked = [
        TopicPartition(environment["DRIFTLINE_PREFIX"] + topic, number)
        for topic in INPUTS.values()
        for number in range(int(environment["DRIFTLINE_PARTITIONS"]))
    ]  # the embedded broker can't be asked for all

    async def ask() -> dict[TopicPartition, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(
                environment["DRIFTLINE_GROUP"], partitions=asked
            )
        finally:
            await admin.close()
        return {partition: found.offset for partition, found in offsets.items() if found.offset >= 0}

    return asyncio.run(ask())


def wait_until_committed(
    broker: Broker, environment: Mapping[str, str], file: Path, deadline_s: float = 90
) -> None:
    """Wait until the workers have all events of *file* behind them, each in a record of its own."""
    kinds = Counter(json.loads(line)["type"] for line in file.read_bytes().splitlines())
    expected = {environment["DRIFTLINE_PREFIX"] + INPUTS[kind]: count for kind, count in kinds.items()}

    def reached() -> dict[str, int]:
        found: Counter[str] = Counter()
        for partition, offset in committed(broker, environment).items():
            found[partition.topic] += offset
        return dict(found)

    wait_until(
        lambda: reached() == expected, lambda: f"{reached()} are committed, not {expected}", deadline_s
    )
