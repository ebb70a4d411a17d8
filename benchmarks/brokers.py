"""The brokers that the rows run on, and logs that are in them before a worker starts."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer

from benchmarks.events import Entry
from stream.config import Settings, load_settings
from stream.shell.broker import EmbeddedBroker
from stream.shell.topics import create
from stream.wiring import build_connection, build_topics
from tests.integration.apache_kafka import ApacheKafka

Broker: TypeAlias = EmbeddedBroker | ApacheKafka

_AS_KAFKA_HAS_IT: Final = {"group.initial.rebalance.delay.ms": "3000"}
"""A new group waits so long for more members: else the first of two processes begins with all partitions, and
has to give half of them away at once. The tests do not wait."""

_BATCH_BYTES: Final = 256 * 1024
_IN_FLIGHT: Final = 16


def missing(name: str) -> str | None:
    """Say why the broker *name* can't run here; None where it can."""
    if name == "kafka" and not (shutil.which("java") and shutil.which("mvn")):
        return "not available: Java 17 and Maven are not on PATH"
    return None


def make(name: str, directory: Path) -> Broker:
    """Make the broker *name*, not started, with its data in *directory*."""
    if name == "embedded":
        return EmbeddedBroker()
    cache = Path(tempfile.gettempdir()) / "driftline-benchmarks"
    return ApacheKafka(directory=directory / "kafka", cache=cache, properties=_AS_KAFKA_HAS_IT)


def worker_settings(
    bootstrap: str, prefix: str, policy: Path, *, partitions: int = 1, **more: str
) -> dict[str, str]:
    """Give the environment of a worker: the default settings, its own topics, a quick first rebalance."""
    return {
        "DRIFTLINE_BROKERS": bootstrap,
        "DRIFTLINE_PREFIX": prefix,
        "DRIFTLINE_GROUP": f"{prefix}group",
        "DRIFTLINE_PARTITIONS": str(partitions),
        "DRIFTLINE_POLICY_FILE": str(policy),
        "DRIFTLINE_RETENTION_SECONDS": "-1",
        "DRIFTLINE_SESSION_TIMEOUT_SECONDS": "6",
        "DRIFTLINE_REBALANCE_TIMEOUT_SECONDS": "3",
        **{f"DRIFTLINE_{name.upper()}": value for name, value in more.items()},
    }


def fill(environment: Mapping[str, str], log: Iterable[Entry]) -> None:
    """Make the topics that *environment* describes and put *log* into them."""
    asyncio.run(_fill(load_settings(environment), log))


async def _fill(settings: Settings, log: Iterable[Entry]) -> None:
    connection, topics = build_connection(settings), build_topics(settings)
    await create(connection, topics)
    producer = AIOKafkaProducer(**connection.for_aiokafka(), acks="all", max_batch_size=_BATCH_BYTES)
    await producer.start()
    waiting: list[asyncio.Future[object]] = []

    async def send(place: tuple[str, int]) -> None:
        waiting.append(await producer.send_batch(batches.pop(place), place[0], partition=place[1]))
        if len(waiting) >= _IN_FLIGHT:
            await asyncio.gather(*waiting)
            waiting.clear()

    try:
        batches: dict[tuple[str, int], Any] = {}
        for entry in log:
            place = (topics.full(entry.topic), topics.partition_of(entry.model))
            key = entry.model.encode()
            for _ in range(2):
                batch = batches.get(place) or batches.setdefault(place, producer.create_batch())
                if batch.append(key=key, value=entry.value, timestamp=entry.timestamp_ms) is not None:
                    break
                await send(place)
        for place in list(batches):
            await send(place)
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()
