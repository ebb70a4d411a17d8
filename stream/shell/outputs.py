"""Outputs: what a worker publishes, sent in order, each acknowledged before the checkpoint that follows it.

A broker that refuses is asked again for as long as the producer's request timeout; then the worker ends, with
an error that names the topic and says what to do. A message that is too large for its topic ends it as well,
but for a rejected one and for an event that is sent on: nothing that somebody sends can stop a worker. Of the
one less is kept, at last nothing; the other is rejected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner

from schemas.alerts import Rejected
from schemas.codec import encode
from stream.core.intake import FORWARDED_HEADER
from stream.core.nouns import Forward, Result
from stream.shell import clock
from stream.shell.fencing import TOO_LARGE, FencedProducer, TopicRefusedError
from stream.shell.metrics import Metrics
from stream.shell.producers import Producer
from stream.shell.topics import ALERTS, INCIDENTS, REJECTED, Topics

logger = logging.getLogger(__name__)

UNACKNOWLEDGED_MESSAGES: Final = 5_000
UNACKNOWLEDGED_BYTES: Final = 16 * 1024 * 1024
"""Messages, and bytes of them, that may wait for the broker before nothing more is sent."""

_WHAT_TO_DO: Final[tuple[tuple[tuple[type[KafkaError], ...], str], ...]] = (
    (
        (UnknownTopicOrPartitionError, InvalidTopicError),
        "it does not exist, or lacks partitions: `driftline topics create` makes it",
    ),
    (TOO_LARGE, "a message is too large for it: raise its max.message.bytes"),
    (
        (NotEnoughReplicasError, NotEnoughReplicasAfterAppendError),
        "fewer replicas are in sync than its min.insync.replicas: bring the other brokers back",
    ),
    ((TopicAuthorizationFailedError,), "writing to it is not allowed: grant this user Write on it"),
)


class PublishError(Exception):
    """The broker does not take what is to be published: the text names the topic and says what to do."""


@contextmanager
def refusals_of(topic: str, also: str = "") -> Iterator[None]:
    """Raise what a broker refuses in this block as a PublishError that names *topic*, and says *also*."""
    try:
        yield
    except (KafkaError, TopicRefusedError) as refusal:
        error: Exception = refusal
        if isinstance(refusal, TopicRefusedError):
            topic, error = refusal.topic, refusal.reason
        advice = next(
            (text for kinds, text in _WHAT_TO_DO if isinstance(error, kinds)),
            "look at the broker, and at whether it lets this user write",
        )
        text = f"topic {topic} takes no messages ({type(error).__name__}): {advice}{also}"
        raise PublishError(text) from error


class _Message(NamedTuple):
    """A message on its way: to the full name of a topic.

    It is *rejected*, where it tells of something that was; *instead* is what is told where it is too large.
    """

    topic: str
    key: bytes | None
    value: bytes
    more: dict[str, Any]
    rejected: Rejected | None = None
    instead: Rejected | None = None


class _Sent(NamedTuple):
    """A message that was given to the producer, how many bytes it has, and what is done when it is taken."""

    message: _Message
    size: int
    done: asyncio.Future[Any]


class Outputs:
    """Sends the messages of one partition, and remembers them until they are acknowledged.

    More may be sent while what was sent before is waited for, but none while some are sent again.
    """

    def __init__(self, producer: Producer, topics: Topics, metrics: Metrics) -> None:
        self._producer = producer
        self._topics = topics
        self._metrics = metrics
        self._sent: list[_Sent] = []
        self._bytes = 0
        self._hearing = asyncio.Lock()
        self._sending = asyncio.Lock()

    async def publish(self, result: Result) -> None:
        """Send what a step has to say. Waits where too much is on its way. Raises PublishError."""
        for alert in result.alerts:
            await self.send(ALERTS, alert.model.encode(), encode(alert))
        for incident in result.incidents:
            await self.send(INCIDENTS, incident.id.encode(), encode(incident))
        for rejected in result.rejected:
            await self._send(self._telling(rejected))
        for forward in result.forwards:
            await self._forward(forward)

    async def send(self, name: str, key: bytes | None, value: bytes, **more: object) -> None:
        """Send *value* to the topic *name*, without prefix; *more* as aiokafka's ``send`` takes it."""
        await self._send(_Message(self._topics.full(name), key, value, more))

    async def _forward(self, forward: Forward) -> None:
        """Send an event on; one that is too large to be sent is rejected."""
        timestamp = min(max(forward.timestamp, 0.0), clock.wall())  # a broker refuses the future
        more = {
            "partition": self._topics.partition_of(forward.model),
            "timestamp_ms": int(timestamp * 1000),
            "headers": [*forward.headers, (FORWARDED_HEADER, b"1")],
        }
        topic, key = self._topics.full(forward.topic.suffix), forward.model.encode()
        await self._send(_Message(topic, key, forward.value, more, instead=forward.instead))

    def _telling(self, rejected: Rejected) -> _Message:
        return _Message(self._topics.full(REJECTED), rejected.key, encode(rejected), {}, rejected)

    async def acknowledged(self) -> None:
        """Wait until the broker has taken all that was sent before this call. Raises PublishError.

        A batch that is too large is refused whole; its messages may be small: each is sent again on its own.
        Of incidents, of which the last message counts, all are, those too that were taken: an older one never
        stands behind a newer one.
        """
        async with self._hearing:
            heard = self._sent.copy()
            if any(await _refused(heard)):
                async with self._sending:
                    await self._send_again()
                return
            del self._sent[: len(heard)]
            self._bytes -= sum(one.size for one in heard)

    async def _send_again(self) -> None:
        """Hear of all that was sent, by now too, and send what was refused."""
        sent, self._sent, self._bytes = self._sent, [], 0
        refused = await _refused(sent)
        in_order = {self._topics.full(INCIDENTS)}
        in_order &= {one.message.topic for one, was in zip(sent, refused, strict=True) if was}
        for one, was in zip(sent, refused, strict=True):
            if was or one.message.topic in in_order:
                await self._send_alone(one.message)

    async def _send(self, message: _Message) -> None:
        if len(self._sent) >= UNACKNOWLEDGED_MESSAGES or self._bytes >= UNACKNOWLEDGED_BYTES:
            await self.acknowledged()
        async with self._sending:
            with refusals_of(message.topic):
                try:
                    future = await self._producer.send(
                        message.topic, message.value, key=message.key, **message.more
                    )
                except TOO_LARGE:  # the producer itself takes none so large
                    if message.instead is None:
                        raise
                    future = None
            if future is not None:
                headers = message.more.get("headers", ())
                size = len(message.value) + sum(len(name) + len(value or b"") for name, value in headers)
                self._sent.append(_Sent(message, size, future))
                self._bytes += size
                return
        assert message.instead is not None  # noqa: S101 - it is raised where there is none
        await self._send(self._not_sent_on(message.instead))

    def _not_sent_on(self, rejected: Rejected) -> _Message:
        self._metrics.count("rejected_total", rejected.reason.value)
        return self._telling(rejected)

    async def _send_alone(self, message: _Message) -> None:
        """Send a message in a batch of its own; cut a rejected one until the broker takes it, or drop it."""
        also = f" (this one has {len(message.value)} bytes)"
        with refusals_of(message.topic, also):
            try:
                await self._deliver(message, message.key, message.value)
            except TOO_LARGE:
                if message.rejected is not None:
                    await self._deliver_less(message, message.rejected)
                elif message.instead is not None:
                    await self._send_alone(self._not_sent_on(message.instead))
                else:
                    raise

    async def _deliver_less(self, message: _Message, rejected: Rejected) -> None:
        raw = rejected.raw
        while raw or rejected.key:
            raw = raw[: len(raw) // 4]
            rejected = msgspec.structs.replace(rejected, raw=raw, key=rejected.key if raw else None)
            try:
                await self._deliver(message, rejected.key, encode(rejected))
            except TOO_LARGE:
                continue
            return
        source = rejected.source
        logger.error(
            "topic %s does not even take the reason why the message at %s, partition %d, offset %d was "
            "rejected: it is dropped; raise max.message.bytes of the topic",
            message.topic,
            source.topic,
            source.partition,
            source.offset,
        )
        self._metrics.count("dropped_outputs_total", REJECTED)

    async def _deliver(self, message: _Message, key: bytes | None, value: bytes) -> None:
        if isinstance(self._producer, FencedProducer):  # nothing else is on its way in its transaction
            await (await self._producer.send(message.topic, value, key=key, **message.more))
            return
        batch = self._producer.create_batch()
        timestamp, headers = message.more.get("timestamp_ms"), message.more.get("headers", [])
        if batch.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
            raise MessageSizeTooLargeError(f"{len(value)} bytes")
        partition = message.more.get("partition")
        if partition is None:
            known = sorted(await self._producer.partitions_for(message.topic))
            partition = DefaultPartitioner()(key, known, known)
        await (await self._producer.send_batch(batch, message.topic, partition=partition))


async def _refused(sent: Sequence[_Sent]) -> list[bool]:
    """Wait for the answers to what was *sent*; tell which were refused for their size, raise other errors."""
    answers = await asyncio.gather(*(one.done for one in sent), return_exceptions=True)
    refused: list[bool] = []
    for one, answer in zip(sent, answers, strict=True):
        refused.append(isinstance(answer, TOO_LARGE))
        if isinstance(answer, BaseException) and not refused[-1]:
            with refusals_of(one.message.topic):
                raise answer
    return refused
