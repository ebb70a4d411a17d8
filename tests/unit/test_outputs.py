"""What a broker refuses: asked again where that helps, else an error that says which topic and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from schemas.alerts import Rejected, RejectReason, Source
from stream.core.nouns import Forward, Result, Topic
from stream.shell.fencing import TopicRefusedError
from stream.shell.metrics import Metrics
from stream.shell.outputs import (
    UNACKNOWLEDGED_BYTES,
    UNACKNOWLEDGED_MESSAGES,
    Outputs,
    PublishError,
    refusals_of,
)
from stream.shell.status import new_registry
from stream.shell.topics import ALERTS, INCIDENTS, Topics
from tests.unit.turns import settled

SOURCE = Source(topic="driftline.predictions", partition=0, offset=5)
Refuse = Callable[[str, bytes], KafkaError | None]


@dataclass
class Batch:
    """One message."""

    value: bytes = b""

    def append(self, *, value: bytes, **_more: object) -> object:
        self.value = value
        return self


@dataclass
class Producer:
    """Keeps what it takes; *refuse* says why it does not take a message among others, *alone* by itself."""

    refuse: Refuse
    alone: Refuse = lambda _topic, _value: None
    taken: list[bytes] = field(default_factory=list)

    async def send(self, topic: str, value: bytes, **_more: object) -> asyncio.Future[Any]:
        return self._answer(value, self.refuse(topic, value))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        assert partition == 0
        return self._answer(batch.value, self.alone(topic, batch.value))

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> Batch:
        return Batch()

    def _answer(self, value: bytes, error: KafkaError | None) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if error is None:
            self.taken.append(value)
            answer.set_result(None)
        else:
            answer.set_exception(error)
        return answer


@dataclass
class Slow(Producer):
    """Answers when it is told to; a message that is sent by itself at once, unless *is_slow_alone*."""

    is_slow_alone: bool = False
    open: list[tuple[asyncio.Future[Any], asyncio.Future[Any]]] = field(default_factory=list)

    async def send(self, topic: str, value: bytes, **more: object) -> asyncio.Future[Any]:
        return self._later(await super().send(topic, value, **more))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        answer = await super().send_batch(batch, topic, partition=partition)
        return self._later(answer) if self.is_slow_alone else answer

    def _later(self, answer: asyncio.Future[Any]) -> asyncio.Future[Any]:
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.open.append((told, answer))
        return told

    def answer(self) -> None:
        """Give all answers that are due."""
        for told, answer in self.open:
            error = answer.exception()
            told.set_result(None) if error is None else told.set_exception(error)
        self.open = []


def larger_than(limit: int) -> Refuse:
    return lambda _topic, value: MessageSizeTooLargeError() if len(value) > limit else None


def outputs(producer: Producer) -> tuple[Outputs, Metrics]:
    metrics = Metrics(new_registry(), version="0")
    return Outputs(producer, Topics(prefix="driftline.", partitions=1), metrics), metrics


def dropped(metrics: Metrics) -> float:
    found = {family.name: family.samples for family in metrics.collect()}
    return sum(one.value for one in found["driftline_dropped_outputs"] if one.name.endswith("_total"))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (UnknownTopicOrPartitionError(), "`driftline topics create` makes it"),
        (NotEnoughReplicasError(), "min.insync.replicas"),
        (TopicAuthorizationFailedError("driftline.alerts"), "grant this user Write"),
        (KafkaError("broken"), "look at the broker"),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, KafkaError) else "",
)
async def test_a_refusal_is_an_error_that_names_the_topic_and_says_what_to_do(
    error: KafkaError, advice: str
) -> None:
    out, _ = outputs(Producer(lambda *_: error))
    await out.send(ALERTS, b"m", b"{}")
    with pytest.raises(PublishError, match=r"topic driftline\.alerts takes no messages") as raised:
        await out.acknowledged()
    assert advice in str(raised.value)


def test_the_topic_that_a_transaction_failed_for_is_named_whatever_was_being_sent() -> None:
    refused = TopicRefusedError("driftline.incidents", UnknownTopicOrPartitionError())
    with (
        pytest.raises(PublishError, match=r"topic driftline\.incidents takes no messages \(UnknownTopic"),
        refusals_of("driftline.alerts"),
    ):
        raise refused


async def test_small_messages_of_a_batch_that_was_too_large_are_sent_alone() -> None:
    producer = Producer(lambda *_: MessageSizeTooLargeError())
    out, _ = outputs(producer)
    for value in (b"a", b"b"):
        await out.send(ALERTS, b"m", value)
    await out.acknowledged()
    assert producer.taken == [b"a", b"b"]


async def test_the_last_message_of_an_incident_stands_last_when_an_older_one_had_to_be_sent_again() -> None:
    producer = Producer(lambda _topic, value: MessageSizeTooLargeError() if value == b"old" else None)
    out, _ = outputs(producer)
    for value in (b"old", b"new"):
        await out.send(INCIDENTS, b"inc-1", value)
    await out.acknowledged()
    assert producer.taken[-2:] == [b"old", b"new"]


async def test_so_it_does_when_it_was_sent_while_the_older_one_was_waited_for() -> None:
    producer = Slow(lambda _topic, value: MessageSizeTooLargeError() if value == b"old" else None)
    out, _ = outputs(producer)
    await out.send(INCIDENTS, b"inc-1", b"old")
    waiting = asyncio.create_task(out.acknowledged())
    await asyncio.sleep(0)
    await out.send(INCIDENTS, b"inc-1", b"new")
    producer.answer()
    await waiting
    assert producer.taken == [b"new", b"old", b"new"]


async def test_nothing_is_sent_while_what_was_refused_is_sent_again() -> None:
    producer = Slow(lambda _topic, value: MessageSizeTooLargeError() if value == b"old" else None)
    out, _ = outputs(producer)
    await out.send(INCIDENTS, b"inc-1", b"old")
    waiting = asyncio.create_task(out.acknowledged())
    producer.answer()
    producer.is_slow_alone = True
    await settled()
    late = asyncio.create_task(out.send(INCIDENTS, b"inc-1", b"new"))
    await settled()
    assert (producer.taken, late.done()) == ([b"old"], False)
    producer.answer()
    await asyncio.gather(waiting, late)
    assert producer.taken == [b"old", b"new"]


async def test_what_is_sent_after_the_question_is_not_waited_for() -> None:
    producer = Slow(lambda *_: None)
    out, _ = outputs(producer)
    await out.send(ALERTS, b"m", b"first")
    waiting = asyncio.create_task(out.acknowledged())
    await asyncio.sleep(0)
    producer.answer()
    await out.send(ALERTS, b"m", b"second")
    await waiting
    assert len(producer.open) == 1
    second = asyncio.create_task(out.acknowledged())
    await settled()
    assert not second.done()
    producer.answer()
    await second


async def test_an_incident_that_is_too_large_by_itself_is_an_error_with_its_size() -> None:
    out, _ = outputs(Producer(larger_than(2), larger_than(2)))
    await out.send(INCIDENTS, b"inc-1", b"large")
    with pytest.raises(PublishError, match=r"raise its max\.message\.bytes \(this one has 5 bytes\)"):
        await out.acknowledged()


@pytest.mark.parametrize(("limit", "kept"), [(10_000, 4_096), (400, 64), (140, 0)])
async def test_a_rejected_message_is_cut_until_it_fits(limit: int, kept: int) -> None:
    producer = Producer(larger_than(limit), larger_than(limit))
    out, metrics = outputs(producer)
    await out.publish(Result(rejected=[rejected(b"x" * 16_384)]))
    await out.acknowledged()
    (value,) = producer.taken
    taken = msgspec.json.decode(value, type=Rejected)
    assert (len(taken.raw), taken.raw_size, dropped(metrics)) == (kept, 16_384, 0)


async def test_a_rejected_message_that_never_fits_is_dropped_and_counted() -> None:
    producer = Producer(larger_than(10), larger_than(10))
    out, metrics = outputs(producer)
    await out.publish(Result(rejected=[rejected(b"x" * 16_384)]))
    await out.acknowledged()
    assert (producer.taken, dropped(metrics)) == ([], 1)


def a_forward(value: bytes) -> Forward:
    instead = msgspec.structs.replace(rejected(value), reason=RejectReason.TOO_LARGE)
    return Forward(Topic.PREDICTIONS, "m", 0.0, value, (), instead)


def counted(metrics: Metrics) -> float:
    samples = [one for family in metrics.collect() for one in family.samples]
    return sum(one.value for one in samples if one.name == "driftline_rejected_total")


async def test_an_event_that_is_too_large_to_be_sent_on_is_rejected() -> None:
    """Who sent it to a wrong partition must not stop the worker."""
    producer = Producer(larger_than(1_000), larger_than(1_000))
    out, metrics = outputs(producer)
    await out.publish(Result(forwards=[a_forward(value) for value in (b"small", b"x" * 2_000)]))
    await out.acknowledged()
    small, told = producer.taken
    assert small == b"small"
    taken = msgspec.json.decode(told, type=Rejected)
    assert (taken.reason, taken.raw_size, taken.source) == (RejectReason.TOO_LARGE, 2_000, SOURCE)
    assert counted(metrics) == 1


async def test_so_is_one_that_the_producer_itself_does_not_take() -> None:
    producer = Producer(lambda *_: None)
    out, metrics = outputs(producer)
    send = producer.send

    async def takes_little(topic: str, value: bytes, **more: object) -> asyncio.Future[Any]:
        if topic.endswith("predictions") and len(value) > 4_000:
            raise MessageSizeTooLargeError
        return await send(topic, value, **more)

    producer.send = takes_little  # type: ignore[method-assign]
    await out.publish(Result(forwards=[a_forward(b"x" * 5_000), a_forward(b"y")]))
    await out.acknowledged()
    told, sent = producer.taken
    assert msgspec.json.decode(told, type=Rejected).raw_size == 5_000
    assert sent == b"y"
    assert counted(metrics) == 1


async def test_headers_count_among_what_is_on_its_way() -> None:
    producer = Producer(lambda *_: None)
    out, _ = outputs(producer)
    asked: list[int] = []

    async def acknowledged() -> None:
        asked.append(len(producer.taken))
        out._sent, out._bytes = [], 0  # noqa: SLF001 - as acknowledged() does

    out.acknowledged = acknowledged  # type: ignore[method-assign]
    forward = a_forward(b"v")._replace(headers=[("h", bytes(UNACKNOWLEDGED_BYTES))])
    await out.publish(Result(forwards=[forward] * 3))
    assert asked == [1, 2]


async def test_no_more_is_on_its_way_than_the_bound() -> None:
    producer = Producer(lambda *_: UnknownTopicOrPartitionError())
    out, _ = outputs(producer)
    for _ in range(UNACKNOWLEDGED_MESSAGES):
        await out.send(ALERTS, b"m", b"{}")
    with pytest.raises(PublishError):
        await out.send(ALERTS, b"m", b"{}")


def rejected(raw: bytes) -> Rejected:
    return Rejected(
        reason=RejectReason.MALFORMED, detail="", source=SOURCE, raw=raw, raw_size=len(raw), key=b"m"
    )
