"""What an administrator does to topics while workers run: deletes them, their records, or alters them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.integration.conftest import Broker


def delete_topic(broker: Broker, topic: str) -> None:
    """Delete *topic*."""
    _do(broker, lambda admin: admin.delete_topics([topic]))


def delete_records(broker: Broker, topic: str, before: int) -> None:
    """Delete the records of the first partition of *topic* that stand before an offset."""
    gone = {TopicPartition(topic, 0): RecordsToDelete(before)}
    _do(broker, lambda admin: admin.delete_records(gone))


def alter(broker: Broker, topic: str, configs: Mapping[str, str]) -> None:
    """Set what *topic* is configured with; what is not among *configs* becomes the default."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict(configs))
    _do(broker, lambda admin: admin.alter_configs([resource]))


def _do(broker: Broker, work: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    async def run() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            await work(admin)
        finally:
            await admin.close()

    asyncio.run(run())
