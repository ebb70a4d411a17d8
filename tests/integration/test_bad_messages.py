"""Messages that no worker should have been sent: kept with their reason, and the stream goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.alerts import RejectReason
from stream.shell.topics import LARGE_RECORD_BYTES, Topics
from tests.contract.corpus import BadMessage, bad_messages
from tests.integration import reading
from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, make_topics, settings

ROOM_BYTES = LARGE_RECORD_BYTES - 64 * 1024
"""What is larger does not get into a topic: the producer refuses it."""

NESTED = BadMessage(name="nested", raw=b"[" * 7_000_000, reason=RejectReason.TOO_LARGE)
GOOD = '{"type":"prediction","id":"good-%d","model":"steady","time":"2026-03-02T10:00:00Z"}'


def test_every_bad_message_is_kept_with_its_reason_and_the_stream_goes_on(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    bad = [message for message in (*bad_messages(), NESTED) if message.size <= ROOM_BYTES]
    environment = settings(broker, prefix)
    make_topics(environment)
    places = dict(zip(send(broker, [as_record(prefix, message) for message in bad]), bad, strict=True))
    send(broker, [good(prefix, number) for number in range(len(bad))])
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.has_caught_up)
        taken = worker.metric("events_total")
        counted = {
            labels["reason"]: count for labels, count in worker.metrics()["driftline_rejected_total"] if count
        }
        assert worker.terminate() == 0
    found: dict[str, Counter[str]] = {}
    for rejected in reading.messages(broker, prefix + "rejected"):
        source = rejected["source"]
        name = places[source["topic"], source["offset"]].name
        found.setdefault(name, Counter())[rejected["reason"]] += 1
    assert found == {message.name: Counter({message.reason.value: message.rejections}) for message in bad}
    assert taken == len(bad) + sum(message.good_elements for message in bad)
    assert counted == sum((Counter(reasons) for reasons in found.values()), Counter())


def test_an_event_on_the_wrong_partition_is_sent_on_once_and_watched_once(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, partitions=4)
    make_topics(environment)
    home = Topics(prefix=prefix, partitions=4).partition_of("steady")
    strays = [
        good(prefix, 1) | {"key": b"steady", "partition": (home + 1) % 4},
        good(prefix, 2) | {"key": None, "partition": (home + 2) % 4, "headers": [("ce_id", b"good-3")]},
    ]
    send(broker, [*strays, good(prefix, 4) | {"key": b"steady", "partition": home}])
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("events_total") >= 3 and it.has_caught_up)
        counted = {
            name: worker.metric(name)
            for name in ("events_total", "forwarded_total", "duplicates_total", "rejected_total")
        }
        assert worker.terminate() == 0
    there = reading.records(broker, prefix + "predictions")
    assert counted == {
        "events_total": 3,
        "forwarded_total": 2,
        "duplicates_total": 0,
        "rejected_total": 0,
    }
    assert Counter(record.partition == home for record in there) == {True: 3, False: 2}


def good(prefix: str, number: int) -> dict[str, Any]:
    """Give the record of an event that nothing is wrong with."""
    return {"topic": prefix + "predictions", "value": (GOOD % number).encode()}


def as_record(prefix: str, message: BadMessage) -> dict[str, Any]:
    """Give the record of a bad message."""
    return {
        "topic": prefix + message.topic,
        "key": b"contract",
        "value": message.raw,
        "headers": list(message.headers),
    }


def send(broker: Broker, messages: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Send records in their order; give where each one stands: topic and offset."""

    async def run() -> list[tuple[str, int]]:
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap, max_request_size=LARGE_RECORD_BYTES, linger_ms=5
        )
        await producer.start()
        try:
            sent = [await producer.send(**message) for message in messages]
            places = await asyncio.gather(*sent)
        finally:
            await producer.stop()
        return [(place.topic, place.offset) for place in places]

    return asyncio.run(run())
