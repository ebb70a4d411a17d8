"""Publish: the events of a file to the input topics, keyed by model, each with its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream.core.lines import Part, parts
from stream.core.nouns import Topic
from stream.shell import clock
from stream.shell.connection import Connection
from stream.shell.outputs import PublishError, refusals_of
from stream.shell.topics import LARGE_RECORD_BYTES, Topics

CHUNK_RECORDS = 2_000
"""Records between two waits for the broker's acknowledgement."""


async def publish(
    lines: Iterable[bytes],
    connection: Connection,
    topics: Topics,
    *,
    rate: float | None = None,
    timeout_seconds: float = 40.0,
    progress: Callable[[int], None] = lambda _sent: None,
) -> int:
    """Send every event of *lines*; give the number of records. *rate* is in records per second.

    A record's timestamp is its event's time, so that workers see predictions and feedback in that order; a
    time in the future becomes the present. Within a chunk the predictions are acknowledged before the
    feedback is sent: no label stands in the log before its prediction. Raises PublishError where the broker
    has not taken a record after *timeout_seconds*; those before it may stand in the topics.
    """
    producer = AIOKafkaProducer(
        **connection.for_aiokafka(),
        acks="all",
        linger_ms=5,
        max_batch_size=256 * 1024,
        max_request_size=LARGE_RECORD_BYTES,
        request_timeout_ms=int(timeout_seconds * 1000),
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise PublishError(f"no broker answers at {connection.bootstrap}: {error}") from error
    sent, newest, began = 0, 0.0, clock.steady()
    try:
        chunk: list[Part] = []
        size = CHUNK_RECORDS if rate is None else max(1, min(CHUNK_RECORDS, int(rate / 20)))
        for line in lines:
            for part in parts(line):
                newest = part.time if part.time is not None else newest
                chunk.append(part._replace(time=newest))
            if len(chunk) >= size:
                sent += await _send(producer, topics, chunk, sent)
                chunk = []
                progress(sent)
                if rate is not None:
                    await asyncio.sleep(max(0.0, began + sent / rate - clock.steady()))
        sent += await _send(producer, topics, chunk, sent)
        progress(sent)
    finally:
        await producer.stop()
    return sent


async def _send(producer: AIOKafkaProducer, topics: Topics, chunk: list[Part], before: int) -> int:
    """Send the records of a chunk, which has *before* records before it; give how many there are."""
    latest = int(clock.wall() * 1000)
    for topic in Topic:
        waiting: list[tuple[str, asyncio.Future[Any]]] = []
        for place, part in enumerate(chunk):
            if part.topic is not topic:
                continue
            name, known = topics.full(topic.suffix), part.model is not None
            which = f" (record {before + place + 1} of the input, {len(part.value)} bytes, or one near it)"
            with refusals_of(name, which):
                future = await producer.send(
                    name,
                    part.value,
                    key=part.model.encode() if part.model is not None else None,
                    partition=topics.partition_of(part.model) if known and part.model else 0,
                    timestamp_ms=min(max(int((part.time or 0.0) * 1000), 0), latest),
                )
            waiting.append((which, future))
        if waiting:
            await producer.flush()
            for which, future in waiting:
                with refusals_of(topics.full(topic.suffix), which):
                    await future
    return len(chunk)
