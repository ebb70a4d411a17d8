"""Workers and brokers that die: what comes out is what would have come out."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.config import load_settings
from stream.core.nouns import Topic
from stream.shell.state import StateStore
from stream.shell.topics import STATE
from stream.wiring import build_connection, build_replay_pipeline
from tests.integration import logs, reading
from tests.integration.conftest import Broker
from tests.integration.replaying import essence, replay
from tests.integration.running import POLICY, ROOT, RunningWorker, publish, settings, wait_until

KILLS = 5
BROKEN = """
import sys
from stream.core.pipeline import Pipeline
from stream.cli import main

def broken(*_):
    raise RuntimeError("a bug of ours")

Pipeline.step = broken
sys.exit(main(["worker"]))
"""
IDLE = """
import sys
from stream.shell.partition import Partition
from stream.cli import main

async def idle(*_):
    return 0

Partition.advance = idle
sys.exit(main(["worker"]))
"""


def test_a_worker_that_is_killed_again_and_again_comes_to_the_incidents_of_a_replay(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, max_poll_records=500, checkpoint_seconds=0.2)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit", "churn", "fraud"], 6_000))
    moments = random.Random(3)
    *parts, last = logs.split(file, KILLS + 1)
    for part in parts:
        with RunningWorker(environment, tmp_path / "log") as worker:
            publish(part, environment)
            worker.wait_for(lambda it: it.metric("events_total") > 1_000)
            time.sleep(moments.uniform(0.0, 0.5))  # between two checkpoints, or in the middle of one
            worker.kill()
    with RunningWorker(environment, tmp_path / "log") as worker:
        publish(last, environment)
        reading.wait_until_committed(broker, environment, file)
        assert worker.terminate() == 0
    assert reading.incidents(broker, prefix) == replay(file, environment).incidents


def test_the_partitions_of_a_killed_worker_go_on_at_the_other(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, partitions=4)
    models = [f"model-{number}" for number in range(8)]
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(models, 2_500))
    with (
        RunningWorker(environment, tmp_path / "log-1") as first,
        RunningWorker(environment, tmp_path / "log-2") as second,
    ):
        for worker in (first, second):
            worker.wait_for(lambda it: it.is_ready and it.metric("partitions") == 2)
        publisher = publishing(file, environment, rate=8_000)
        try:
            first.wait_for(lambda it: it.metric("events_total") > 2_000)
            first.kill()
            assert publisher.wait(60) == 0
        finally:
            publisher.kill()
            publisher.wait()
        reading.wait_until_committed(broker, environment, file)
        assert second.metric("partitions") == 4
        assert second.terminate() == 0
    found, expected = reading.incidents(broker, prefix), replay(file, environment).incidents
    assert {one["model"] for one in expected.values()} == set(models)
    assert {name: essence(one) for name, one in found.items()} == {
        name: essence(one) for name, one in expected.items()
    }


def test_a_worker_that_was_frozen_while_another_took_its_partition_does_no_harm(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, max_poll_records=500, checkpoint_seconds=0.2)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit", "churn", "fraud"], 4_000))
    first, second, third = logs.split(file, 3)
    with (
        RunningWorker(environment, tmp_path / "log-1") as one,
        RunningWorker(environment, tmp_path / "log-2") as other,
    ):
        both = (one.ready(), other.ready())  # the one without a partition too: it stands by
        publish(first, environment)
        wait_until(lambda: any(it.metric("events_total") > 1_000 for it in both), lambda: one.log + other.log)
        frozen, owner = both if one.metric("events_total") else (other, one)
        frozen.freeze()
        publish(second, environment)
        owner.wait_for(lambda it: it.metric("partitions") == 1 and it.metric("events_total") > 1_000)
        frozen.thaw()
        publish(third, environment)  # to whichever has the partition now: it restores what both have left
        reading.wait_until_committed(broker, environment, file)
        assert [worker.terminate() for worker in both] == [0, 0]
    assert reading.incidents(broker, prefix) == replay(file, environment).incidents


def test_a_worker_with_a_bug_ends_with_status_1(broker: Broker, prefix: str, tmp_path: Path) -> None:
    environment = settings(broker, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 10))
    publish(file, environment)
    with RunningWorker(environment, tmp_path / "log", program=("-c", BROKEN)) as worker:
        status, log = worker.ended(), worker.log
    assert status == 1
    assert "stopped by an error: RuntimeError: a bug of ours" in log


def test_a_worker_that_processes_nothing_while_records_wait_ends_with_status_1(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, session_timeout_seconds=1, rebalance_timeout_seconds=1)
    publish(logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 10)), environment)
    with RunningWorker(environment, tmp_path / "log", program=("-c", IDLE)).ready() as worker:
        worker.wait_for(lambda it: it.answer("/readyz")[0] == 503)
        code, body = worker.answer("/readyz")
        status, log = worker.ended(), worker.log
    assert code == 503
    assert "partition 0 has had records and processed none for" in body
    assert status == 1
    assert "stopped by an error: StalledError: partition 0 has had records and processed none for" in log


def test_a_worker_whose_broker_is_gone_ends_with_status_1(
    mortal: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(mortal, prefix, session_timeout_seconds=1, rebalance_timeout_seconds=1)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        mortal.kill()
        status, log = worker.ended(), worker.log
    assert status == 1
    assert "stopped by an error: StalledError: " in log


def test_a_worker_goes_on_when_its_broker_comes_back(mortal: Broker, prefix: str, tmp_path: Path) -> None:
    if mortal.name == "embedded":
        pytest.skip("the embedded broker has forgotten everything when it comes back")
    environment = settings(mortal, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 4_000))
    first, second = logs.split(file, 2)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        publish(first, environment)
        worker.wait_for(lambda it: it.metric("events_total") > 500)
        mortal.kill()
        mortal.start()
        publish(second, environment)
        reading.wait_until_committed(mortal, environment, file)
        assert worker.terminate() == 0
    assert reading.incidents(mortal, prefix) == replay(file, environment).incidents


def test_a_worker_whose_topics_were_made_anew_beside_its_state_ends_with_status_1(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    sessions = {"session_timeout_seconds": 1, "rebalance_timeout_seconds": 1}
    environment = settings(broker, prefix, **(sessions if broker.name == "embedded" else {}))
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit"], 10))
    publish(file, environment)
    asyncio.run(write_positions(broker, prefix, offset=1_000))
    with RunningWorker(environment, tmp_path / "log") as worker:
        status, log = worker.ended(), worker.log
    assert status == 1
    assert (
        f"topic {prefix}predictions, partition 0 ends at offset 10, the state has seen it up to 1000" in log
    )


async def write_positions(broker: Broker, prefix: str, *, offset: int) -> None:
    """Leave the state of a worker that has seen the predictions up to *offset*."""
    options = load_settings(
        {
            "DRIFTLINE_BROKERS": broker.bootstrap,
            "DRIFTLINE_PREFIX": prefix,
            "DRIFTLINE_POLICY_FILE": str(POLICY),
        }
    )
    pipeline = build_replay_pipeline(options)
    pipeline.positions[Topic.PREDICTIONS] = offset
    store = StateStore(build_connection(options), prefix + STATE)
    await store.start()
    await (await store.restore([0], "before"))[0].writer.write(pipeline.rows())
    await store.stop()


def publishing(file: Path, environment: dict[str, str], *, rate: int) -> subprocess.Popen[bytes]:
    """Publish *file* in a process of its own, so many records a second."""
    command = [sys.executable, "-m", "stream", "publish", str(file), "--rate", str(rate)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
