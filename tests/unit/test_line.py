"""The line between a supervisor and a process: who asks, who answers, who notices that the other is gone."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest

from stream.shell import clock, line
from stream.shell.line import Answering, Asked, Line, Report
from stream.shell.metrics import Metrics
from stream.shell.status import STALLED_SECONDS, WorkerStatus, new_registry
from stream.shell.totals import Family
from stream.shell.watchdog import Watchdog
from stream.shell.worker import Worker


@dataclass
class FakeWorker:
    """What a status reads of a worker."""

    metrics: Metrics
    is_ready: bool = True
    last_tick: float = field(default_factory=clock.steady)
    watchdog: Watchdog = field(default_factory=lambda: Watchdog(1.0, 2.0))

    def collect(self) -> None:
        self.metrics.set("partitions", to=7)


@dataclass
class Ends:
    """Both ends of a line, the process' end in the loop of the test."""

    line: Line
    theirs: socket.socket
    worker: FakeWorker
    heard: list[list[Family]]
    is_orphaned: threading.Event

    async def answer(self, asked: Asked) -> Report:
        await self.line.ask(asked, within=30)
        report = self.line.last
        assert report is not None
        assert report.asked is asked
        return report


def unexpected(metrics: list[Family]) -> None:
    pytest.fail(f"nobody should have counted {metrics}")


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    registry = new_registry()
    worker = FakeWorker(Metrics(registry, version="1.2.3"))
    status = WorkerStatus(cast("Worker", worker), registry)
    heard: list[list[Family]] = []
    ours, theirs = socket.socketpair()
    orphaned = threading.Event()
    answering = Answering(theirs, status, asyncio.get_running_loop(), orphaned.set)
    supervisors = Line(ours, heard.append)
    await supervisors.open()
    answering.start()
    yield Ends(supervisors, theirs, worker, heard, orphaned)
    await supervisors.closed(within=0)
    await asyncio.to_thread(answering.join, 30)
    theirs.close()


async def test_a_worker_that_is_well_and_ready_has_nothing_to_say(ends: Ends) -> None:
    assert await ends.answer(Asked.STATE) == Report(asked=Asked.STATE, unhealthy="", unready="")


async def test_a_worker_that_restores_says_so(ends: Ends) -> None:
    ends.worker.is_ready = False
    assert (await ends.answer(Asked.STATE)).unready == "partitions are being assigned or restored"


async def test_a_worker_that_gets_nowhere_says_what_stands_still(ends: Ends) -> None:
    for _ in range(3):
        ends.worker.watchdog.look({"nothing was fetched": 1})
    assert (await ends.answer(Asked.STATE)).unready == "nothing was fetched for 2 s"


async def test_a_worker_whose_timer_stands_still_is_stalled(ends: Ends) -> None:
    ends.worker.last_tick -= STALLED_SECONDS
    assert (await ends.answer(Asked.STATE)).unhealthy == "stalled: the timer has not run for 30 s"


async def test_metrics_are_those_of_the_moment_and_many_of_them_fit(ends: Ends) -> None:
    for number in range(3_000):
        ends.worker.metrics.count("rejected_total", f"reason-{number}")
    report = await ends.answer(Asked.METRICS)
    found = {family.name: family.samples for family in report.metrics or ()}
    assert found["driftline_partitions"] == [("driftline_partitions", {}, 7.0)]
    assert len(found["driftline_rejected"]) == 3_000
    assert ends.heard == [report.metrics]


class Busy(WorkerStatus):
    """A worker that never comes to bring its gauges up to date."""

    async def refresh(self) -> None:
        await asyncio.Event().wait()


async def test_a_worker_whose_loop_is_busy_answers_without_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_REFRESH_SECONDS", 0.01)
    registry = new_registry()
    status = Busy(cast("Worker", FakeWorker(Metrics(registry, version="1.2.3"))), registry)
    assert await only_answer(status, asyncio.get_running_loop()) == Report(
        asked=Asked.METRICS, unhealthy="", unready=""
    )


async def test_a_worker_whose_loop_has_ended_answers_without_metrics() -> None:
    registry = new_registry()
    status = WorkerStatus(cast("Worker", FakeWorker(Metrics(registry, version="1.2.3"))), registry)
    loop = asyncio.new_event_loop()
    loop.close()
    assert await only_answer(status, loop) == Report(asked=Asked.METRICS, unhealthy="", unready="")


async def only_answer(status: WorkerStatus, loop: asyncio.AbstractEventLoop) -> Report | None:
    """Ask once for metrics, of which none may come."""
    ours, theirs = socket.socketpair()
    answering = Answering(theirs, status, loop, lambda: None)
    answering.start()
    supervisors = Line(ours, unexpected)
    await supervisors.open()
    await supervisors.ask(Asked.METRICS, within=30)
    await supervisors.closed(within=0)
    await asyncio.to_thread(answering.join, 30)
    theirs.close()
    return supervisors.last


async def test_a_process_notices_that_its_supervisor_is_gone(ends: Ends) -> None:
    await ends.line.closed(within=0)
    assert await asyncio.to_thread(ends.is_orphaned.wait, 30)


async def test_a_supervisor_does_not_wait_for_a_process_that_is_gone() -> None:
    ours, theirs = socket.socketpair()
    supervisors = Line(ours, unexpected)
    await supervisors.open()
    asking = asyncio.create_task(supervisors.ask(Asked.STATE, within=3_600))
    await asyncio.sleep(0)
    theirs.close()
    await asyncio.wait_for(asking, 30)
    await supervisors.ask(Asked.STATE, within=3_600)
    assert supervisors.last is None
    await supervisors.closed(within=30)


async def test_a_process_that_talks_nonsense_is_not_listened_to(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    supervisors = Line(ours, unexpected)
    await supervisors.open()
    theirs.sendall(b"\x00\x00\x00\x03abc")
    await supervisors.closed(within=30)
    assert caplog.messages == ["a process says what cannot be understood: it is not listened to any more"]
    assert supervisors.last is None
    theirs.close()
