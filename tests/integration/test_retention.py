"""Input that Kafka deletes before it is read: the worker goes on, and an incident says what is missing."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer, TopicPartition

from tests.integration import logs, reading
from tests.integration.altering import delete_records
from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, make_topics, publish, settings


def test_input_that_was_deleted_while_no_worker_ran_is_an_incident_with_the_same_id_after_a_crash(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 300))
    first, second, third = logs.split(file, 3)
    publish(first, environment)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        reading.wait_until_committed(kafka, environment, first)
        assert worker.terminate() == 0
    topic = prefix + "predictions"
    position = len(reading.records(kafka, topic))
    publish(second, environment)
    end = len(reading.records(kafka, topic))
    delete_records(kafka, topic, end)
    once = settings(kafka, prefix, checkpoint_seconds=600)
    with RunningWorker(once, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("lost_offsets_total", topic="predictions") > 0)
        worker.wait_for(lambda _: bool(reading.messages(kafka, prefix + "incidents")))
        worker.kill()
    publish(third, environment)
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("lost_offsets_total", topic="predictions") > 0)
        worker.wait_for(lambda it: it.has_caught_up)
        assert worker.metric("lost_offsets_total") == end - position
        assert worker.terminate() == 0
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.has_caught_up)
        assert worker.metric("lost_offsets_total") == 0
    told = [one for one in reading.messages(kafka, prefix + "incidents") if one["kind"] == "governance"]
    assert len(told) == 2
    (incident,) = reading.by_id(told).values()
    assert incident["trigger"] == {"topic": topic, "partition": 0, "offset": position, "event_id": ""}
    assert incident["evidence"]["n"] == end - position
    assert incident["history"][0]["reason"] == (
        f"input was deleted before it was read: offsets {position} to {end - 1} of topic {topic}, partition 0"
    )
    alerts = [one for one in reading.messages(kafka, prefix + "alerts") if one["kind"] == "governance"]
    assert {one["incident_id"] for one in alerts} == {incident["id"]}


def test_input_that_is_deleted_before_a_running_worker_fetches_it_is_an_incident(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 300))
    first, second = logs.split(file, 2)
    topic = prefix + "predictions"
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        publish(first, environment)
        reading.wait_until_committed(kafka, environment, first)
        position = len(reading.records(kafka, topic))
        worker.freeze()
        time.sleep(1)  # the broker answers the fetch that is under way, with nothing, before there is more
        publish(second, environment)
        end = len(reading.records(kafka, topic))
        delete_records(kafka, topic, end - 10)
        worker.thaw()
        worker.wait_for(lambda it: it.metric("lost_offsets_total", topic="predictions") > 0)
        worker.wait_for(lambda it: it.has_caught_up)
        assert worker.metric("lost_offsets_total") == end - 10 - position
        assert worker.terminate() == 0
    told = [one for one in reading.incidents(kafka, prefix).values() if one["kind"] == "governance"]
    assert [(one["trigger"]["offset"], one["evidence"]["n"]) for one in told] == [
        (position, end - 10 - position)
    ]


def test_what_was_deleted_before_there_was_any_worker_is_not_missed(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 100))
    publish(file, environment)
    delete_records(kafka, prefix + "predictions", 60)
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("events_total", type="prediction") == 40 and it.has_caught_up)
        assert worker.terminate() == 0
    assert "were deleted before" not in worker.log
    assert reading.incidents(kafka, prefix) == {}


def test_the_markers_of_transactions_are_not_missed_even_when_they_are_deleted(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    make_topics(environment)
    topic = prefix + "predictions"
    asyncio.run(send_in_transactions(kafka, topic, 5))
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("events_total") == 5)
        worker.wait_for(lambda _: reading.committed(kafka, environment).get(TopicPartition(topic, 0)) == 10)
        assert worker.terminate() == 0
    delete_records(kafka, topic, 10)
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.has_caught_up)
        assert worker.metric("lost_offsets_total") == 0
        assert worker.terminate() == 0
    assert reading.incidents(kafka, prefix) == {}


async def send_in_transactions(kafka: Broker, topic: str, count: int) -> None:
    """Send so many events, each in a transaction of its own, which leaves a marker behind it."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic)
    await producer.start()
    try:
        for number in range(count):
            event = '{"type":"prediction","id":"p-%d","model":"credit","time":"2026-03-02T10:00:00Z"}'
            async with producer.transaction():
                await producer.send_and_wait(topic, (event % number).encode(), key=b"credit", partition=0)
    finally:
        await producer.stop()
