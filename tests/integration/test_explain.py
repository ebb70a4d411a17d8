"""`driftline config explain`: from the state that a worker has left, or from files; and what it refuses."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from stream.shell.connection import Connection
from stream.shell.topics import Topics, create
from tests.integration import logs
from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, driftline, publish, settings


def a_log(folder: Path) -> Path:
    return logs.write(folder / "events.jsonl", logs.shifted(["credit", "fraud"], 700))


def test_the_state_of_a_running_worker_is_explained_and_left_alone(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    file = a_log(tmp_path)
    environment = settings(broker, prefix, partitions=2, policy_file="")
    publish(file, environment)
    explain = ("config", "explain", "--model", "credit")
    replayed = driftline(*explain, "--replay", str(file), environment=environment)
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert "0.3 false alarms in 30 days at most" in replayed.stdout
    assert "missing:amount" in replayed.stdout
    show = ("baseline", "show", "--model", "credit")
    baselines = driftline(*show, "--replay", str(file), environment=environment)
    assert (baselines.returncode, baselines.stderr) == (0, "")
    headings = ["version", "series", "number", "baseline", "readings", "since", "digest"]
    assert baselines.stdout.split()[:7] == headings
    assert re.search(r"error +1 +learning +[0-9]+ +2025-03-01T[0-9:+]+ +[0-9a-f]{64}\n", baselines.stdout)
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.ready().wait_for(lambda own: own.has_caught_up)
        worker.wait_for(lambda _: driftline(*explain, environment=environment).stdout == replayed.stdout)
        written = worker.metric("checkpoints_total")
        publish(logs.write(tmp_path / "more.jsonl", logs.shifted(["fraud"], 20, seed=2)), environment)
        worker.wait_for(lambda own: own.metric("checkpoints_total") > written)
        assert worker.terminate() == 0, worker.log
    assert driftline(*explain, environment=environment).stdout == replayed.stdout
    assert driftline(*show, environment=environment).stdout == baselines.stdout


def test_what_cannot_be_explained_is_said_in_a_line(broker: Broker, prefix: str, tmp_path: Path) -> None:
    environment = settings(broker, prefix)
    explain = ("config", "explain", "--model", "credit")
    missing = driftline(*explain, environment=environment)
    assert missing.returncode == 1
    assert missing.stderr == (
        f"driftline: topic {prefix}state does not exist: `driftline topics create` makes it\n"
    )
    asyncio.run(create(Connection(bootstrap=broker.bootstrap), Topics(prefix=prefix, partitions=1)))
    empty = driftline(*explain, environment=environment)
    assert empty.returncode == 1
    assert empty.stderr == (
        f"driftline: no model 'credit' in partition 0 of {prefix}state: no checkpoint there yet; has a "
        "worker taken events?\n"
    )
    file = str(a_log(tmp_path))
    other = driftline("config", "explain", "--model", "nix", "--replay", file, environment=environment)
    assert other.returncode == 1
    assert other.stderr == "driftline: no model 'nix' in these files: known there: credit, fraud\n"
    gone = driftline(*explain, "--replay", "nowhere.jsonl", environment=environment)
    assert gone.returncode == 2
    assert gone.stderr == "driftline config explain: nowhere.jsonl: No such file or directory\n"
    show = ("baseline", "show", "--model", "credit", "--replay", "nowhere.jsonl")
    gone = driftline(*show, environment=environment)
    assert gone.returncode == 2
    assert gone.stderr == "driftline baseline show: nowhere.jsonl: No such file or directory\n"
