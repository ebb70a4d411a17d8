"""Events that come faster than they are processed wait in Kafka, not in the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, make_topics, settings

EARLY, LATE = 60_000, 210_000
GROWTH_BYTES = 50 * 1024 * 1024
"""What may be added while 150,000 events of half a kilobyte are: kept in Python they take 120 MB."""

PER_SECOND = 2_000
SLOW = f"""
import asyncio, sys
from stream.cli import main
from stream.shell.partition import Partition

advance = Partition.advance

async def slow(self, empty_at):
    count = await advance(self, empty_at)
    await asyncio.sleep(count / {PER_SECOND})
    return count

Partition.advance = slow
sys.exit(main(["worker"]))
"""
EVENT = (
    '{"type":"prediction","id":"p-%d","model":"credit","version":"1","time":"2026-03-02T10:00:00Z",'
    f'"output":1,"note":"{"x" * 380}"}}'
)


def test_a_worker_that_is_too_slow_lags_and_its_memory_does_not_grow(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, max_poll_records=1_000)
    make_topics(environment)
    with RunningWorker(environment, tmp_path / "log", program=("-c", SLOW)).ready() as worker:
        asyncio.run(send(broker, prefix + "predictions", range(EARLY)))
        worker.wait_for(lambda it: it.metric("lag_events", topic="predictions") > EARLY / 2)
        before = resident_bytes(worker)
        asyncio.run(send(broker, prefix + "predictions", range(EARLY, LATE)))
        worker.wait_for(lambda it: it.metric("lag_events", topic="predictions") > (EARLY + LATE) / 2)
        had = worker.metric("events_total")
        worker.wait_for(lambda it: it.metric("events_total") > had)
        assert resident_bytes(worker) - before < GROWTH_BYTES
        worker.kill()


def resident_bytes(worker: RunningWorker) -> float:
    """Give the memory of a worker."""
    ((_, value),) = worker.metrics()["process_resident_memory_bytes"]
    return value


async def send(broker: Broker, topic: str, numbers: range) -> None:
    """Send an event of each of *numbers*, many in a request."""
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_batch_size=256 * 1024)
    await producer.start()
    try:
        for batch in batches(producer, numbers):
            await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


def batches(producer: AIOKafkaProducer, numbers: range) -> Iterator[object]:
    """Give the batches of the producer's size that hold an event of each of *numbers*."""
    batch = producer.create_batch()
    for number in numbers:
        event = (EVENT % number).encode()
        if batch.append(key=b"credit", value=event, timestamp=number) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(key=b"credit", value=event, timestamp=number)
    yield batch
