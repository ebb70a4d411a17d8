"""From publish to alert, at half of the rate that the worker can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Entry, Load, entries
from benchmarks.processes import Failed
from benchmarks.worker import RunningWorker
from schemas.alerts import Alert

SHARE: Final = 0.5
SHIFT_EVERY: Final = 1_000
LEAST_ALERTS: Final = 30
SETTLE_S: Final = 3.0
_PAUSE_S: Final = 0.005


class _Id(msgspec.Struct):
    id: str


_decode = msgspec.json.Decoder(Alert).decode
_decode_id = msgspec.json.Decoder(_Id).decode


def latency(context: Context) -> Figures:
    """Publish at a steady rate series that move again and again; time each alert from its trigger's send."""
    rate = SHARE * context.so_far("worker", "predictions/s")
    load = Load(
        predictions=int(rate * context.sizes.latency_seconds),
        shift_every=SHIFT_EVERY,
        spacing=timedelta(seconds=1),
    )
    log = list(entries(load))
    policy = policies.write(context.directory, policies.LATENCY)
    prefix = context.prefix("latency")
    settings = worker_settings(context.bootstrap, prefix, policy)
    warming = 1_000
    fill(settings, log[:warming])
    with RunningWorker(settings, context.cores, context.path("latency.log")) as running:
        before = running.wait(records=warming)
        delays = asyncio.run(_alerts(context.bootstrap, prefix, log[warming:], 2 * rate))
        after = running.wait(records=len(log))
    if len(delays) < LEAST_ALERTS:
        raise Failed(f"only {len(delays)} alerts came")
    p50, p99 = np.percentile(delays, (50, 99))
    return {
        "publish to alert p50 ms": float(p50),
        "publish to alert p99 ms": float(p99),
        "alerts": float(len(delays)),
        "records/s sent": 2 * rate,
        "CPU share of the worker": (after.cpu_seconds - before.cpu_seconds) / (after.at - before.at),
    }


async def _alerts(
    bootstrap: str, prefix: str, log: Sequence[Entry], records_per_second: float
) -> list[float]:
    """Send *log* at that rate; give the delay of every alert in milliseconds."""
    ids = [_decode_id(entry.value).id for entry in log]
    sent: dict[str, float] = {}
    got: list[tuple[str, float]] = []
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1, linger_ms=0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=10,
    )
    await producer.start()
    await consumer.start()
    partition = TopicPartition(f"{prefix}alerts", 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)

    async def receive() -> None:
        async for record in consumer:
            key = _decode(record.value).trigger.event_id
            got.append((key, time.perf_counter()))

    receiving = asyncio.create_task(receive())
    began = time.perf_counter()
    place = 0
    while place < len(log):
        due = min(len(log), int((time.perf_counter() - began) * records_per_second))
        for at in range(place, due):
            entry = log[at]
            sent[ids[at]] = time.perf_counter()
            await producer.send(
                f"{prefix}{entry.topic}", entry.value, partition=0, timestamp_ms=entry.timestamp_ms
            )
        place = max(place, due)
        await asyncio.sleep(_PAUSE_S)
    late = time.perf_counter() - began - len(log) / records_per_second
    await producer.flush()
    await asyncio.sleep(SETTLE_S)
    receiving.cancel()
    await producer.stop()
    await consumer.stop()
    if late > 1.0:
        raise Failed(f"the sender came {late:.1f} s behind its rate of {records_per_second:.0f} records/s")
    return [(at - sent[key]) * 1000 for key, at in got if key in sent]


MEASURES = (Measure(name="latency", run=latency),)
