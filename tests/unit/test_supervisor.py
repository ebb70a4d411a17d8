"""Several processes and their supervisor; the processes here are small programs that speak its language."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from stream.shell import supervisor as module
from stream.shell.metrics import Metrics
from stream.shell.status import new_registry
from stream.shell.supervisor import FAILURES_MAX, Backoff, Supervisor, ending

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")

SPEAKING = """
import signal, socket, struct, sys, msgspec
number, line = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
def answer(unready="", unhealthy="", metrics=None):
    asked = line.recv(1).decode()
    if not asked:
        sys.exit(0)
    report = {"asked": asked, "unhealthy": unhealthy, "unready": unready}
    if asked == "m":
        report["metrics"] = metrics
    body = msgspec.msgpack.encode(report)
    line.sendall(struct.pack(">I", len(body)) + body)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
"""
COUNTED = "[('driftline_events', 'counter', 'Events.', [('driftline_events_total', {}, 5.0)])]"
READY = f"while True: answer(metrics={COUNTED})"
RESTORING = "while True: answer(unready='it restores')"
STALLED = "while True: answer(unhealthy='stalled')"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY
SILENT = "signal.pause()"
FAILING = "sys.exit(1)"
MISUSED = "sys.exit(2)"


@dataclass
class Running:
    """A supervisor at work."""

    supervisor: Supervisor
    stop: asyncio.Event
    status: asyncio.Task[int]
    starts: list[int]

    async def until(self, condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
        async with asyncio.timeout(deadline_s):
            while not condition():
                assert not self.status.done(), f"it ended with {self.status.result()}"
                await asyncio.sleep(0.01)

    async def stopped(self) -> int:
        self.stop.set()
        return await asyncio.wait_for(self.status, 30)

    async def ended(self) -> int:
        return await asyncio.wait_for(asyncio.shield(self.status), 30)

    async def metric(self, name: str, **labels: str) -> float:
        totals = await self.supervisor.collected()
        return sum(
            sample.value
            for metric in totals.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@asynccontextmanager
async def supervising(*programs: str, stop_seconds: float = 20.0) -> AsyncIterator[Running]:
    """Run one process a program; a program is started anew each time its process has ended."""
    registry, starts = new_registry(), list[int]()

    def command(number: int, line: int) -> list[str]:
        starts.append(number)
        return [sys.executable, "-c", SPEAKING + programs[number - 1], str(number), str(line)]

    metrics = Metrics(registry, version="1.2.3")
    supervisor = Supervisor(len(programs), command, metrics, registry, stop_seconds)
    stop = asyncio.Event()
    running = Running(supervisor, stop, asyncio.create_task(supervisor.run(stop)), starts)
    try:
        yield running
    finally:
        stop.set()
        await asyncio.wait({running.status}, timeout=30)


def pids(caplog: pytest.LogCaptureFixture) -> dict[int, int]:
    """Give the processes that were started last, by number, as the log has them."""
    told = (re.fullmatch(r"process (\d+) is pid (\d+)", message) for message in caplog.messages)
    return {int(found[1]): int(found[2]) for found in told if found}


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "STATE_SECONDS", 0.01)


def test_the_pauses_grow_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 1.0)
    backoff = Backoff()
    assert [backoff.pause(0) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.failures = 10_000
    assert backoff.pause(59) == 60


def test_a_process_that_was_ready_for_a_minute_is_as_good_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 1.0)
    backoff = Backoff()
    assert [backoff.pause(ready) for ready in (0, 59, 60, 0)] == [1, 2, 1, 2]


def test_an_end_is_told_by_status_or_signal() -> None:
    assert [ending(status) for status in (0, 1, -9, -63)] == [
        "ended with status 0",
        "ended with status 1",
        "was ended by SIGKILL",
        "was ended by signal 63",
    ]


async def test_processes_that_are_ready_make_their_supervisor_ready_until_it_is_stopped() -> None:
    async with supervising(READY, READY) as running:
        assert running.supervisor.unready() == "process 1: it starts; process 2: it starts"
        await running.until(lambda: not running.supervisor.unready())
        assert running.supervisor.unhealthy() == ""
        assert await running.stopped() == 0
        assert sorted(running.starts) == [1, 2]


async def test_a_process_that_is_not_ready_is_named() -> None:
    async with supervising(READY, RESTORING) as running:
        await running.until(lambda: running.supervisor.unready() == "process 2: it restores")
        assert running.supervisor.unhealthy() == ""


async def test_a_process_that_says_it_is_stalled_makes_its_supervisor_unhealthy() -> None:
    async with supervising(READY, STALLED) as running:
        await running.until(lambda: running.supervisor.unhealthy() == "process 2: stalled")


async def test_a_process_that_does_not_answer_makes_its_supervisor_unhealthy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALLED_SECONDS", 0.2)
    async with supervising(SILENT) as running:
        await running.until(lambda: "it has not answered" in running.supervisor.unhealthy())


async def test_a_process_that_is_killed_is_started_again_and_counted_and_its_counts_stay(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervising(READY, READY) as running:
        await running.until(lambda: not running.supervisor.unready())
        assert await running.metric("driftline_events_total") == 10
        assert await running.metric("driftline_worker_restarts_total") == 0
        killed = pids(caplog)[2]
        os.kill(killed, signal.SIGKILL)
        await running.until(lambda: running.starts.count(2) == 2)
        await running.until(lambda: not running.supervisor.unready())
        assert pids(caplog)[2] != killed
        assert await running.metric("driftline_events_total") == 15
        assert await running.metric("driftline_worker_restarts_total", process="2") == 1
        assert await running.metric("driftline_worker_restarts_total", process="1") == 0
        assert await running.stopped() == 0


async def test_a_process_that_waits_for_its_next_start_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 30.0)
    async with supervising(READY, READY) as running:
        await running.until(lambda: not running.supervisor.unready())
        os.kill(pids(caplog)[1], signal.SIGKILL)
        said = "process 1: it was ended by SIGKILL and is started again within 30 s"
        await running.until(lambda: running.supervisor.unready() == said)
        assert await running.metric("driftline_partitions") == 0
        assert await running.stopped() == 0


async def test_a_process_that_ends_again_and_again_beside_others_makes_its_supervisor_unhealthy() -> None:
    async with supervising(READY, "if line.recv(1): " + FAILING) as running:
        await running.until(lambda: "process 1" not in running.supervisor.unready())
        await running.until(lambda: "times in a row" in running.supervisor.unhealthy())
        assert running.starts.count(2) > FAILURES_MAX
        assert running.starts.count(1) == 1


async def test_processes_that_all_end_before_one_was_ready_end_their_supervisor(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervising(FAILING, FAILING) as running:
        assert await running.ended() == 1
    assert caplog.messages[-1] == (
        "stopped: every process ended before one was ready, the last ended with status 1"
    )


async def test_a_process_with_wrong_settings_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    async with supervising(READY, MISUSED) as running:
        assert await running.ended() == 2
    for pid in pids(caplog).values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert caplog.messages[-1] == "stopped: process 2 ended with status 2: its settings are wrong"


async def test_a_process_that_does_not_stop_is_killed_and_that_is_no_good_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with supervising(READY, STUBBORN, stop_seconds=0.5) as running:
        await running.until(lambda: not running.supervisor.unready())
        assert await running.stopped() == 1
        with pytest.raises(ProcessLookupError):
            os.kill(pids(caplog)[2], 0)


async def test_a_program_that_is_not_there_ends_the_supervisor(caplog: pytest.LogCaptureFixture) -> None:
    registry = new_registry()
    metrics = Metrics(registry, version="1.2.3")
    supervisor = Supervisor(1, lambda *_: ["/nowhere/python"], metrics, registry, 1.0)
    assert await supervisor.run(asyncio.Event()) == 1
    assert caplog.messages[-1].startswith("stopped: process 1 cannot be started: ")
