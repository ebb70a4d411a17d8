"""Several worker processes under one supervisor: from outside they are one worker."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration import logs, reading
from tests.integration.conftest import Broker
from tests.integration.replaying import Replayed, essence, replay
from tests.integration.running import COMMAND, RunningWorker, publish, settings, wait_until

PROCESSES = (*COMMAND, "--processes", "2")
PARTITIONS = 4
MODELS = ("model-0", "model-1", "model-2", "model-4")
"""One a partition."""

PREDICTIONS = 2_500


def pids(worker: RunningWorker) -> dict[str, int]:
    """Give the processes as the log last told of them."""
    return {number: int(pid) for number, pid in re.findall(r"process (\d+) is pid (\d+)", worker.log)}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or ") Z " not in Path(f"/proc/{pid}/stat").read_text()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Two processes that have seen a whole log; one of them was killed on the way."""

    worker: RunningWorker
    prefix: str
    expected: Replayed
    outcomes: list[float]


@pytest.fixture(scope="module")
def finished(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder, prefix = tmp_path_factory.mktemp("processes"), f"processes-{uuid4().hex[:8]}."
    environment = settings(broker, prefix, partitions=PARTITIONS, max_poll_records=200)
    file = logs.write(folder / "events.jsonl", logs.shifted(MODELS, PREDICTIONS))
    first, second = logs.split(file, 2)
    outcomes: list[float] = []

    def watched(worker: RunningWorker) -> RunningWorker:
        outcomes.append(worker.metric("outcomes_total"))
        return worker

    with RunningWorker(environment, folder / "log", program=PROCESSES) as worker:
        expected = replay(file, environment)  # while the worker starts
        worker.wait_for(lambda it: it.is_ready and it.metric("partitions") == PARTITIONS)
        publish(first, environment)
        worker.wait_for(lambda it: watched(it).metric("events_total") > 1_000)
        killed = pids(worker)["1"]
        os.kill(killed, signal.SIGKILL)
        worker.wait_for(lambda it: not watched(it).is_ready)
        worker.wait_for(lambda it: watched(it).is_ready and pids(it)["1"] != killed)
        publish(second, environment)
        reading.wait_until_committed(broker, environment, file)
        watched(worker)
        yield Finished(worker=worker, prefix=prefix, expected=expected, outcomes=outcomes)


def test_processes_one_of_which_is_killed_come_to_the_incidents_of_a_replay(
    broker: Broker, finished: Finished
) -> None:
    found, expected = reading.incidents(broker, finished.prefix), finished.expected.incidents
    assert {one["model"] for one in expected.values()} == set(MODELS)
    assert {name: essence(one) for name, one in found.items()} == {
        name: essence(one) for name, one in expected.items()
    }


def test_a_process_that_is_killed_is_started_again_and_counted(finished: Finished) -> None:
    restarts = {n: finished.worker.metric("worker_restarts_total", process=n) for n in ("1", "2")}
    assert restarts == {"1": 1, "2": 0}
    assert re.search(r"process 1 \(pid \d+\) was ended by SIGKILL; it is started again", finished.worker.log)


def test_the_processes_share_the_partitions_and_the_endpoint_speaks_for_all(finished: Finished) -> None:
    metrics = finished.worker.metrics()
    assert metrics["driftline_partitions"] == [({}, PARTITIONS)]
    assert [value for _, value in metrics["driftline_build_info"]] == [1]
    assert {labels["model"] for labels, _ in metrics["driftline_pending_predictions"]} == set(MODELS)
    shown = {labels["process"] for labels, _ in metrics["process_resident_memory_bytes"]}
    assert shown == {"1", "2", "supervisor"}
    assert [finished.worker.answer(path)[0] for path in ("/healthz", "/readyz")] == [200, 200]


def test_both_processes_have_partitions(finished: Finished) -> None:
    ready = re.findall(r"process (\d): stream.shell.worker: ready: partitions \[(.+?)\]", finished.worker.log)
    last = {number: partitions.split(", ") for number, partitions in ready}
    assert sorted(partition for held in last.values() for partition in held) == ["0", "1", "2", "3"]
    assert {number: len(held) for number, held in last.items()} == {"1": 2, "2": 2}


def test_no_count_falls_when_a_process_is_killed(finished: Finished) -> None:
    assert finished.outcomes == sorted(finished.outcomes)
    assert finished.outcomes[-1] > 0


def test_the_open_incidents_are_those_of_all_processes(finished: Finished) -> None:
    open_ones = [one for one in finished.expected.incidents.values() if one["resolved_at"] is None]
    assert finished.worker.metric("incidents_open") == len(open_ones)


def test_processes_stop_in_good_order_and_leave_nothing_to_do_twice(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, partitions=2, checkpoint_seconds=3600)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(MODELS, 300))
    publish(file, environment)
    with RunningWorker(environment, tmp_path / "log", program=PROCESSES) as worker:
        worker.wait_for(lambda it: it.metric("outcomes_total") == 300 * len(MODELS))
        children = pids(worker).values()
        assert worker.terminate() == 0
    reading.wait_until_committed(broker, environment, file, deadline_s=0)
    assert [is_running(pid) for pid in children] == [False, False]


def test_processes_do_not_outlive_a_supervisor_that_is_killed(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, partitions=2)
    with RunningWorker(environment, tmp_path / "log", program=PROCESSES).ready() as worker:
        children = pids(worker).values()
        worker.kill()
        wait_until(lambda: not any(map(is_running, children)), lambda: worker.log)
        assert worker.log.count("the supervisor is gone") == 2


def test_a_supervisor_says_at_once_what_is_wrong_with_a_policy(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[default]\nhorizon = 3\n")
    environment = settings(broker, prefix, policy_file=policy)
    with RunningWorker(environment, tmp_path / "log", program=PROCESSES) as worker:
        assert worker.ended() == 2
    assert worker.log.splitlines()[-1].startswith(f"driftline: {policy}: [default]: ")
    assert pids(worker) == {}
