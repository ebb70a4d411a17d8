"""`driftline worker` as a process: alone, as one of several, or as their supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import stream
from stream.config import Settings
from stream.shell.access import admit, of_worker
from stream.shell.connection import Connection
from stream.shell.doors import reason_of
from stream.shell.http import Endpoints, Served
from stream.shell.line import Answering
from stream.shell.running import run_until
from stream.shell.topics import TopicsError, check, create
from stream.shell.worker import Worker
from stream.wiring import (
    build_connection,
    build_endpoints,
    build_policies,
    build_supervisor,
    build_topics,
    build_worker,
)

logger = logging.getLogger("driftline")

STOP_SECONDS = 20.0
CRASH_SECONDS = 5.0
"""How long a worker may take to stop in good order, and after an error."""

KILL_SECONDS = STOP_SECONDS + 5.0
"""How long a supervisor waits for its processes, which end themselves before that."""


async def work(settings: Settings) -> int:
    """Run one worker, with endpoints of its own, until it is asked to stop; give the exit status."""
    worker, status = build_worker(settings)
    await _prepare(settings)
    endpoints = await _serve(settings, status)
    failed = await _run(worker, _asked_to_stop(), build_connection(settings))
    await endpoints.stop()
    return _ended(failed)


async def work_under_supervision(settings: Settings, line: int) -> int:
    """Run one worker of several; its supervisor is at the other end of the descriptor *line*.

    It makes no topics and serves no endpoints, and it stops when the supervisor is gone.
    """
    await admit(build_connection(settings))
    worker, status = build_worker(settings)
    stop, loop = _asked_to_stop(), asyncio.get_running_loop()

    def orphaned() -> None:
        _exit_within(STOP_SECONDS)
        logger.error("the supervisor is gone: this process stops")
        os.kill(os.getpid(), signal.SIGTERM)

    Answering(socket.socket(fileno=line), status, loop, orphaned).start()
    return _ended(await _run(worker, stop, build_connection(settings)))


async def supervise(settings: Settings, config: Path | None) -> int:
    """Run as many workers as the settings say, in processes of their own, behind one set of endpoints.

    Every process reads its settings as this one did, from the environment and from *config*.
    """
    build_policies(settings)  # what is wrong with them is said once, by this process
    supervisor = build_supervisor(settings, partial(_command, config), KILL_SECONDS)
    await _prepare(settings)
    if settings.processes > settings.partitions:
        idle = settings.processes - settings.partitions
        logger.warning("%d partitions are too few: %d processes stand by", settings.partitions, idle)
    stop = _asked_to_stop()
    endpoints = await _serve(settings, supervisor)
    try:
        status = await supervisor.run(stop)
    finally:
        await endpoints.stop()
    if status == 0:
        logger.info("stopped")
    return status


def _command(config: Path | None, number: int, line: int) -> list[str]:
    # -P keeps a folder named `stream` where we happen to run from being taken for us; in a checkout it is us.
    is_checkout = Path(stream.__file__).parents[1] == Path.cwd()
    program = [sys.executable, *([] if is_checkout else ["-P"]), "-m", "stream"]
    options = [] if config is None else ["--config", str(config)]
    return [*program, *options, "worker", "--child", str(number), str(line)]


async def _prepare(settings: Settings) -> None:
    """See that the brokers let us in and make the topics that are missing, if that is wanted.

    Raises RefusedError where they don't, TopicsError where the topics are not right.
    """
    connection, topics = build_connection(settings), build_topics(settings)
    needed = of_worker(topics, settings.group)
    await admit(connection, needed)
    if settings.create_topics and (created := await create(connection, topics)):
        for name in created:
            logger.info("created topic %s", name)
        await admit(connection, needed)  # what had not existed could not be asked about
    if wrong := await check(connection, topics):
        raise TopicsError("; ".join(wrong))


async def _serve(settings: Settings, served: Served) -> Endpoints:
    endpoints = build_endpoints(settings, served)
    logger.info("metrics at %s/metrics", await endpoints.start())
    return endpoints


def _asked_to_stop() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _run(worker: Worker, stop: asyncio.Event, connection: Connection) -> BaseException | None:
    def end(reason: BaseException | None) -> None:
        if reason is not None:
            logger.error("stopped by an error: %s", reason_of(reason, connection))
        _exit_within(STOP_SECONDS if reason is None else CRASH_SECONDS)

    return await run_until(worker, stop, end)


def _ended(failed: BaseException | None) -> int:
    if failed is not None:
        return 1
    logger.info("stopped")
    return 0


def _exit_within(seconds: float) -> None:
    """End this process after *seconds*, whatever still waits for a broker that does not answer."""

    def give_up() -> None:
        with contextlib.suppress(OSError):  # who reads it may be gone
            sys.stderr.write(f"driftline: the worker did not stop within {seconds:g} s and is ended\n")
            sys.stderr.flush()
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
