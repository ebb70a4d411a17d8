"""What Driftline takes for granted of a broker, on whichever one the session runs."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord

from stream.shell.broker import BrokerError, cluster_of
from tests.integration.apache_kafka import ApacheKafka
from tests.integration.conftest import Broker

DEADLINE_S = 30
ROOT = Path(__file__).parents[2]
A_DAY_IN_2013_MS = 1_357_000_000_123

PARENT = """
import json, sys
from pathlib import Path
from stream.shell.broker import EmbeddedBroker
from tests.integration.apache_kafka import ApacheKafka

arguments = json.loads(sys.argv[1])
paths = {name: Path(path) for name, path in arguments.items()}
broker = ApacheKafka(**paths) if paths else EmbeddedBroker()
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


async def test_a_record_keeps_its_timestamp_headers_key_and_value(broker: Broker, prefix: str) -> None:
    headers = [("ce_id", b"p-1"), ("again", b"1"), ("again", b"2"), ("empty", b"")]
    (record,) = await round_trip(
        broker,
        prefix + "records",
        [{"key": b"model", "value": b"\x00\xff", "timestamp_ms": A_DAY_IN_2013_MS, "headers": headers}],
    )
    assert (record.timestamp, record.timestamp_type) == (A_DAY_IN_2013_MS, 0)
    assert list(record.headers) == headers
    assert (record.key, record.value) == (b"model", b"\x00\xff")


async def test_a_consumer_reads_back_every_record_in_order(broker: Broker, prefix: str) -> None:
    sent = [{"value": b"%d" % number} for number in range(1000)]
    records = await round_trip(broker, prefix + "records", sent)
    assert [record.value for record in records] == [message["value"] for message in sent]
    assert [record.offset for record in records] == list(range(1000))


async def test_a_tombstone_arrives_as_one(broker: Broker, prefix: str) -> None:
    (record,) = await round_trip(broker, prefix + "rows", [{"key": b"row", "value": None}])
    assert record.value is None


async def test_a_topic_is_created_with_its_partitions_and_the_configs_we_use(
    broker: Broker, prefix: str
) -> None:
    configs = {"cleanup.policy": "compact", "retention.ms": "-1", "min.compaction.lag.ms": "60000"}

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(prefix + "rows", 16, 1, topic_configs=configs)])
        described: list[int] = []
        async with asyncio.timeout(DEADLINE_S):  # a broker may say so before it knows the partitions itself
            while not described:
                (topic,) = await admin.describe_topics([prefix + "rows"])
                described = sorted(part["partition"] for part in topic["partitions"])
    finally:
        await admin.close()
    assert described == list(range(16))


async def test_the_end_of_a_log_is_known_when_its_last_record_is_a_batch_of_its_own(
    broker: Broker, prefix: str
) -> None:
    await round_trip(broker, prefix + "rows", [{"value": b"row"}] * 10)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    partition = TopicPartition(prefix + "rows", 0)
    try:
        await producer.start()
        last = await producer.send_and_wait(prefix + "rows", b"last", partition=0)
        await consumer.start()
        ends = await consumer.end_offsets([partition])
    finally:
        await consumer.stop()
        await producer.stop()
    assert ends == {partition: 11}
    assert last.offset == 10


def test_a_killed_broker_starts_again_on_the_same_address(mortal: Broker) -> None:
    before = mortal.bootstrap
    mortal.kill()
    mortal.start()
    assert mortal.bootstrap == before
    assert cluster_of(int(before.rpartition(":")[2])) is not None


def test_a_stopped_broker_leaves_no_process(mortal: Broker) -> None:
    assert mortal.pid is not None
    process = os.pidfd_open(mortal.pid)
    mortal.stop()
    try:
        assert has_ended(process)
    finally:
        os.close(process)


def test_a_broker_dies_when_its_parent_is_killed(
    broker: Broker, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("apache-kafka")
    paths = {"directory": str(tmp_path), "cache": str(cache)} if broker.name == "kafka" else {}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(paths)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        process = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.send_signal(signal.SIGKILL)
            assert has_ended(process)
        finally:
            os.close(process)


def test_a_broker_started_from_a_thread_outlives_the_thread(made_mortal: Broker) -> None:
    made_mortal.stop()
    asyncio.run(asyncio.to_thread(made_mortal.start))  # the loop ends its threads with itself
    assert cluster_of(int(made_mortal.bootstrap.rpartition(":")[2])) is not None


def test_kafka_without_maven_is_a_failure_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match="there is no java on PATH; install it or use --broker=embedded"):
        ApacheKafka(directory=tmp_path / "data", cache=tmp_path / "cache").start()


def has_ended(process: int) -> bool:
    """Wait for the process behind a pidfd to end; reaped or not."""
    ready, _, _ = select.select([process], [], [], DEADLINE_S)
    return bool(ready)


async def round_trip(
    broker: Broker, topic: str, messages: Sequence[Mapping[str, object]]
) -> list[ConsumerRecord[bytes, bytes]]:
    """Send *messages* to a new topic with one partition and read as many back."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    received: list[ConsumerRecord[bytes, bytes]] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            await admin.start()
            # Kafka drops records whose timestamps are past the retention, which is 7 days by default.
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "-1"})])
            await producer.start()
            for message in messages:
                await producer.send(topic, **message)
            await producer.flush()
            await consumer.start()
            consumer.assign([TopicPartition(topic, 0)])
            while len(received) < len(messages):
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    received.extend(records)
    finally:
        await consumer.stop()
        await producer.stop()
        await admin.close()
    return received
