"""Records that a broker takes and no worker can read, or send on: they end nobody."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError
from aiokafka.record.util import calc_crc32c

from stream.shell.pieces import PIECE_BYTES
from stream.shell.topics import LARGE_RECORD_BYTES, Topics
from tests.integration import reading
from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, make_topics, settings
from tests.integration.test_bad_messages import good, send

NAME: Final = "name-of-a-header"
LARGE: Final = 12 * 1024 * 1024
"""Bytes of a header: few when compressed, more than a producer may send at once when not."""


def send_batch(
    broker: Broker, topic: str, partition: int, values: list[bytes], header: bytes = b"", *, spoil: bool
) -> None:
    """Send *values* as one compressed batch, the first with a header whose name is spoiled or not."""

    async def run() -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap,
            compression_type=None if spoil else "gzip",
            max_batch_size=2 * LARGE,
            max_request_size=2 * LARGE,
        )
        await producer.start()
        try:
            batch = producer.create_batch()
            for value in values:
                headers = [(NAME, header)] if value is values[0] else []
                assert batch.append(key=None, value=value, timestamp=None, headers=headers) is not None
            if spoil:
                raw = bytearray(batch._build().replace(NAME.encode(), b"\xff" * len(NAME)))  # noqa: SLF001
                raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
                batch._buffer = raw  # noqa: SLF001 - no client writes such a name of itself
            await (await producer.send_batch(batch, topic, partition=partition))
        finally:
            await producer.stop()

    asyncio.run(run())


def test_what_cannot_be_read_or_sent_on_ends_no_worker(broker: Broker, prefix: str, tmp_path: Path) -> None:
    environment = settings(broker, prefix, partitions=2)
    make_topics(environment)
    home = Topics(prefix=prefix, partitions=2).partition_of("steady")
    topic = prefix + "predictions"

    def value(number: int) -> bytes:
        raw: bytes = good(prefix, number)["value"]
        return raw

    send(broker, [good(prefix, 1) | {"key": b"steady", "partition": home}])
    send_batch(broker, topic, home, [value(2), value(3)], spoil=True)
    send_batch(broker, topic, 1 - home, [value(4), value(5)], bytes(LARGE), spoil=False)
    send(broker, [good(prefix, 6) | {"key": b"steady", "partition": place} for place in (home, 1 - home)])
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.has_caught_up and it.metric("duplicates_total") == 1)
        counted = {
            name: worker.metric(name) for name in ("events_total", "forwarded_total", "rejected_total")
        }
        assert worker.terminate() == 0
    assert counted == {"events_total": 3, "forwarded_total": 3, "rejected_total": 2}
    rejected = reading.messages(broker, prefix + "rejected")
    told = sorted((one["reason"], one["source"]["partition"], one["source"]["offset"]) for one in rejected)
    assert told == [("malformed", home, 1), ("too_large", 1 - home, 0)]


def test_names_and_texts_without_measure_make_no_state_that_a_topic_does_not_take(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    """Answers of megabytes, and a row of state of as many as its bounds allow."""
    environment = settings(broker, prefix)
    make_topics(environment)
    topic, time = prefix + "predictions", "2026-03-02T10:00:00Z"

    def sent(number: int, **fields: object) -> dict[str, object]:
        event = {"type": "prediction", "id": f"p-{number}", "model": "wide", "time": time, **fields}
        return {"topic": topic, "key": b"wide", "value": json.dumps(event, ensure_ascii=False).encode()}

    answers = [sent(number, output=str(number) * 3_500_000) for number in range(4)]
    names = [f"{number:03}" + "\N{SNOWMAN}" * 250 for number in range(200)]
    described = [
        sent(100 + number, features=dict.fromkeys(names, f"{number:03}" + "😀" * 250)) for number in range(60)
    ]
    send(broker, [*answers, *described])
    for start in ("first", "again"):
        with RunningWorker(environment, tmp_path / start) as worker:
            worker.wait_for(lambda it: it.has_caught_up)
            if start == "again":
                assert worker.metric("unreadable_rows_total") == 0
                send(broker, [sent(1_000), sent(1, id="answer")])
                worker.wait_for(lambda it: it.metric("events_total") == 2)
            assert worker.terminate() == 0
    records = reading.records(broker, prefix + "state")
    assert max(len(record.value or b"") for record in records) < 1_000_000
    pieces = [int(key.rpartition(b"]#")[2]) for record in records if (key := record.key or b"").count(b"]#")]
    assert max(pieces) * PIECE_BYTES > LARGE_RECORD_BYTES


def test_a_timestamp_far_ahead_gets_into_no_input(kafka: Broker, prefix: str) -> None:
    """It would hold back its topic behind the others."""
    make_topics(settings(kafka, prefix))
    ahead = int(1000 * (time.time() + 2 * 3_600))
    with pytest.raises(InvalidTimestampError):
        send(kafka, [good(prefix, 1) | {"timestamp_ms": ahead}])
