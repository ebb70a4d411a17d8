"""From publish to alert, at half of the rate that the worker can do."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NamedTuple

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Entry, Load, entries
from benchmarks.processes import Failed
from benchmarks.worker import RunningWorker
from schemas.alerts import Alert

SHARE: Final = 0.5
SHIFT_EVERY: Final = 5_000
"""Predictions from one move of all series to the next: some eighty alerts a second, more than anybody has."""

LEAST_ALERTS: Final = 30
SETTLE_S: Final = 3.0
LATE_S: Final = 1.0
"""How late a record may be sent; later, the sender has not kept its rate and nothing was measured."""

_PORTION_S: Final = 0.01
_BATCH_BYTES: Final = 512 * 1024


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
        with _without_collections():
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


@contextmanager
def _without_collections() -> Iterator[None]:
    """Let this process, which sends and reads, look through none of its millions of objects meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _alerts(
    bootstrap: str, prefix: str, log: Sequence[Entry], records_per_second: float
) -> list[float]:
    """Send *log* at that rate; give the delay of every alert in milliseconds.

    The batches are made beforehand: at its moment each costs one call, however many records are in it.
    """
    got: list[tuple[str, float]] = []
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks=1, linger_ms=0, max_batch_size=_BATCH_BYTES)
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

    portions = list(_portions(producer, log, round(records_per_second * _PORTION_S)))
    receiving = asyncio.create_task(receive())
    late, sent = 0.0, dict[str, float]()
    began = time.perf_counter()
    for number, portion in enumerate(portions):
        due = began + number * _PORTION_S
        await asyncio.sleep(due - time.perf_counter())
        at = time.perf_counter()
        late = max(late, at - due)
        sent |= dict.fromkeys(portion.ids, at)
        for topic, batch in portion.batches.items():
            await producer.send_batch(batch, f"{prefix}{topic}", partition=0)
    await producer.flush()
    took = time.perf_counter() - began
    await asyncio.sleep(SETTLE_S)
    receiving.cancel()
    await producer.stop()
    await consumer.stop()
    if late > LATE_S or took > len(portions) * _PORTION_S + LATE_S:
        raise Failed(f"the sender came {late:.1f} s behind its rate of {records_per_second:.0f} records/s")
    return [(at - sent[key]) * 1000 for key, at in got if key in sent]


class _Portion(NamedTuple):
    """What is sent at one moment: the ids of its events, and one batch for each topic."""

    ids: Sequence[str]
    batches: Mapping[str, BatchBuilder]


def _portions(producer: AIOKafkaProducer, log: Sequence[Entry], size: int) -> Iterator[_Portion]:
    """Cut *log* into portions of *size* records."""
    for start in range(0, len(log), size):
        batches: dict[str, BatchBuilder] = {}
        portion = log[start : start + size]
        for entry in portion:
            batch = batches.get(entry.topic) or batches.setdefault(entry.topic, producer.create_batch())
            if batch.append(key=None, value=entry.value, timestamp=entry.timestamp_ms) is None:
                raise Failed(f"{size} records of a portion are more than a batch holds")
        yield _Portion([_decode_id(entry.value).id for entry in portion], batches)


MEASURES = (Measure(name="latency", run=latency),)
