"""Topics that take no messages: the worker ends and says which, and the next one publishes everything."""

from __future__ import annotations

from pathlib import Path

from tests.integration import logs, reading
from tests.integration.altering import alter, delete_topic
from tests.integration.conftest import Broker
from tests.integration.replaying import replay
from tests.integration.running import RunningWorker, driftline, make_topics, publish, settings
from tests.integration.test_bad_messages import good, send


def test_a_worker_whose_topic_was_deleted_ends_and_the_next_one_publishes_everything(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix, publish_timeout_seconds=2)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 3_000))
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        delete_topic(kafka, prefix + "incidents")
        publish(file, environment | {"DRIFTLINE_CREATE_TOPICS": "false"})
        assert worker.ended() == 1
        assert (
            f"stopped by an error: PublishError: topic {prefix}incidents takes no messages "
            "(UnknownTopicOrPartitionError): it does not exist, or lacks partitions: "
            "`driftline topics create` makes it"
        ) in worker.log
    the_next_one_publishes_everything(kafka, environment, file)  # it makes what is missing


def test_a_worker_whose_incidents_are_too_large_for_their_topic_ends_and_the_next_one_publishes_everything(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 3_000))
    publish(file, environment)
    alter(kafka, prefix + "incidents", {"max.message.bytes": "300"})
    with RunningWorker(environment, tmp_path / "log") as worker:
        assert worker.ended() == 1
        assert (
            f"PublishError: topic {prefix}incidents takes no messages (MessageSizeTooLargeError): "
            "a message is too large for it: raise its max.message.bytes"
        ) in worker.log
    alter(kafka, prefix + "incidents", {"max.message.bytes": "1000000"})
    the_next_one_publishes_everything(kafka, environment, file)


def test_a_rejected_message_that_is_too_large_for_its_topic_is_cut_and_at_last_dropped(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix)
    make_topics(environment)
    alter(kafka, prefix + "rejected", {"max.message.bytes": "3000"})
    bad = {"topic": prefix + "predictions", "value": b"x" * 50_000, "key": b"credit"}
    small = {"topic": prefix + "predictions", "value": b"y", "key": b"credit"}
    send(kafka, [bad, small, good(prefix, 1)])
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("events_total") == 1)
        worker.wait_for(lambda _: len(reading.messages(kafka, prefix + "rejected")) == 2)
        assert worker.metric("dropped_outputs_total") == 0
        alter(kafka, prefix + "rejected", {"max.message.bytes": "100"})
        send(kafka, [bad, good(prefix, 2)])
        worker.wait_for(lambda it: it.metric("dropped_outputs_total", topic="rejected") == 1)
        worker.wait_for(lambda it: it.metric("events_total") == 2 and it.has_caught_up)
        assert worker.terminate() == 0
    found = reading.messages(kafka, prefix + "rejected")
    cut, whole = sorted(found, key=lambda one: one["source"]["offset"])
    assert (cut["source"]["offset"], cut["raw_size"]) == (0, 50_000)
    assert (whole["source"]["offset"], whole["raw"]) == (1, "eQ==")
    assert f"{prefix}predictions, partition 0, offset 3 was rejected: it is dropped" in worker.log


def test_publish_names_the_topic_that_takes_no_messages(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    environment = settings(kafka, prefix, create_topics="false", publish_timeout_seconds=1)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 1))
    done = driftline("publish", str(file), environment=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"driftline: topic {prefix}predictions takes no messages (UnknownTopicOrPartitionError): it does not"
    )
    assert "Traceback" not in done.stderr


def the_next_one_publishes_everything(kafka: Broker, environment: dict[str, str], file: Path) -> None:
    """Let a worker come to the end of *file*; the incidents are then those of a replay."""
    with RunningWorker(environment, file.with_name("log-of-the-next")) as worker:
        reading.wait_until_committed(kafka, environment, file)
        assert worker.terminate() == 0
    expected = replay(file, environment).incidents
    assert expected
    assert reading.incidents(kafka, environment["DRIFTLINE_PREFIX"]) == expected
