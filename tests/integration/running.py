"""Driftline's commands and workers as their users run them: processes, set up by their environment."""

from __future__ import annotations

import gc
import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final, Self
from unittest import mock

from prometheus_client.parser import text_string_to_metric_families

from stream.cli import main
from tests.integration.conftest import Broker

ROOT: Final = Path(__file__).parents[2]
DEADLINE_S: Final = 60.0
COMMAND: Final = ("-m", "stream", "worker")

_POLL_S: Final = 0.05
POLICY: Final = Path(__file__).with_name("policy.toml")
"""Detectors that find what shifts in the short logs of the tests."""

_ADDRESS: Final = re.compile(r"metrics at (http://\S+)/metrics")


def settings(broker: Broker, prefix: str, *, partitions: int = 1, **more: object) -> dict[str, str]:
    """Give the environment of a command; *more* are settings by their names in lower case."""
    # The embedded broker answers a join only when the old sessions are over.
    session, rebalance = (2, 1) if broker.name == "embedded" else (3, 3)
    values: dict[str, object] = {
        "brokers": broker.bootstrap,
        "prefix": prefix,
        "group": prefix + "workers",
        "partitions": partitions,
        "retention_seconds": -1,  # Kafka deletes what is older by its timestamps
        "session_timeout_seconds": session,
        "rebalance_timeout_seconds": rebalance,
        "checkpoint_seconds": 0.5,
        "http_port": 0,
        "policy_file": POLICY,
        **more,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return inherited | {f"DRIFTLINE_{name.upper()}": str(value) for name, value in values.items()}


def driftline(
    *arguments: str, environment: Mapping[str, str], deadline_s: float = DEADLINE_S
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit status."""
    command = [sys.executable, "-m", "stream", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=deadline_s
    )


def command(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process, which has imported it: it takes a second less of a core.

    Not for a worker, which is a process of its own in more than its start.
    """
    thresholds, of_aiokafka = gc.get_threshold(), logging.getLogger("aiokafka")
    level, out, err = of_aiokafka.level, io.StringIO(), io.StringIO()
    try:
        with mock.patch.dict(os.environ, environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            status = main(arguments)
    finally:
        gc.set_threshold(*thresholds)
        of_aiokafka.setLevel(level)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def publish(file: Path, environment: Mapping[str, str]) -> None:
    """Publish *file* to its end."""
    done = command("publish", str(file), environment=environment)
    assert done.returncode == 0, done.stderr


def make_topics(environment: Mapping[str, str]) -> None:
    """Make the topics before there is a worker."""
    done = command("topics", "create", environment=environment)
    assert done.returncode == 0, done.stderr


def wait_until(
    condition: Callable[[], bool], what: Callable[[], str], deadline_s: float = DEADLINE_S
) -> None:
    """Wait for *condition*; a failure says *what* was there instead."""
    give_up = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"not within {deadline_s:g} s: {what()}")
        time.sleep(_POLL_S)


class RunningWorker:
    """A worker process; it is killed at the end of the block where it still runs."""

    def __init__(
        self, environment: Mapping[str, str], log: Path, *, program: Sequence[str] = COMMAND
    ) -> None:
        """Start it; *log* is where its standard error goes, behind what stands there."""
        self._log = log
        self._log_starts = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *program], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=output
            )
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_bytes()[self._log_starts :].decode()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def address(self) -> str:
        """Where its endpoints are; empty while it has not said so."""
        said = _ADDRESS.search(self.log)
        return said[1] if said else ""

    @property
    def is_ready(self) -> bool:
        """Whether it says that it is."""
        return self.answer("/readyz")[0] == 200

    def ready(self) -> Self:
        """Wait until it is ready."""
        return self.wait_for(lambda worker: worker.is_ready)

    def answer(self, path: str) -> tuple[int, str]:
        """Ask one of its endpoints; status 0 where there is no answer."""
        if not self.address:
            return 0, ""
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as response:  # noqa: S310 our own
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Scrape it: the samples by name."""
        samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(self.answer("/metrics")[1]):
            for sample in family.samples:
                samples.setdefault(sample.name, []).append((sample.labels, sample.value))
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """Scrape one metric, the prefix left out: the sum over the series that have *labels*."""
        found = self.metrics().get(f"driftline_{name}", [])
        return sum(value for has, value in found if labels.items() <= has.items())

    @property
    def has_caught_up(self) -> bool:
        """Whether it has partitions, knows where all of their topics end, and has nothing left to do."""
        metrics = self.metrics()
        lags = [lag for _, lag in metrics.get("driftline_lag_events", [])]
        partitions = sum(number for _, number in metrics.get("driftline_partitions", []))
        return bool(partitions) and len(lags) == 4 * partitions and not any(lags)

    def wait_for(self, condition: Callable[[RunningWorker], bool], deadline_s: float = DEADLINE_S) -> Self:
        """Wait for *condition* of the worker, which has to go on running."""

        def holds() -> bool:
            assert self.status is None, f"the worker ended with status {self.status}: {self.log}"
            return condition(self)

        wait_until(holds, lambda: self.log, deadline_s)
        return self

    def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; give the exit status."""
        wait_until(lambda: self.status is not None, lambda: self.log, deadline_s)
        return self._process.wait()

    def terminate(self) -> int:
        """Ask it to stop; give the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def freeze(self) -> None:
        """Stop its clock, as a virtual machine that is moved elsewhere has it stopped."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()
