"""The supervisor of several worker processes: starts them, again where they end, and speaks for them."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.registry import Collector

from stream.shell import clock
from stream.shell.line import Asked, Line
from stream.shell.metrics import Metrics
from stream.shell.status import STALLED_SECONDS
from stream.shell.totals import Totals, families_of

logger = logging.getLogger(__name__)

OWN: Final = "supervisor"
"""What the label ``process`` says of the supervisor itself."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""A process that ends so long after it was ready is started again as if it had never failed."""

FAILURES_MAX: Final = 5
"""A process that ended more often than that in a row, and is not ready, makes its supervisor unhealthy."""

MISUSED: Final = 2
"""The exit status of a process whose settings are wrong: it would be the same the next time."""

POLL_SECONDS: Final = 0.1
STATE_SECONDS: Final = 0.5
METRICS_SECONDS: Final = 5.0
"""How often a process is asked how it is, and what it has counted: a crash forgets the counts since."""


class GivenUpError(Exception):
    """The processes are not started again: the text says why, *status* is the supervisor's own."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Backoff:
    """Says how long to wait before a process is started again: 1, 2, 4 ... 60 s."""

    failures: int = 0

    def pause(self, ready_seconds: float) -> float:
        """Give the pause after one more end, *ready_seconds* after the process was first ready, or 0."""
        self.failures = 1 if ready_seconds >= STEADY_SECONDS else self.failures + 1
        # 2 ** 10 is beyond the longest pause: no need to reckon with more
        return min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures - 1, 10), LONGEST_PAUSE_SECONDS)


@dataclass(slots=True)
class Life:
    """One process from its start to its end; times of the steady clock."""

    process: subprocess.Popen[bytes]
    line: Line
    ready_at: float | None = None
    metrics_at: float = field(default_factory=clock.steady)

    def ready_seconds(self) -> float:
        """Tell how long ago it was first ready; 0 where it never was."""
        return 0.0 if self.ready_at is None else clock.steady() - self.ready_at

    def unready(self) -> str:
        """Say what it still waits for; empty where it is ready."""
        return self.line.last.unready if self.line.last is not None else "it starts"

    def unhealthy(self) -> str:
        """Say why it is better started anew; empty where it is well."""
        silent = clock.steady() - self.line.heard_at
        if silent >= STALLED_SECONDS:
            return f"it has not answered for {silent:.0f} s"
        return self.line.last.unhealthy if self.line.last is not None else ""


@dataclass(slots=True)
class _Place:
    """What one of the processes is to the supervisor, through all its lives."""

    number: int
    backoff: Backoff = field(default_factory=Backoff)
    life: Life | None = None
    was_ready: bool = False
    ended: str = ""

    def unready(self) -> str:
        return self.life.unready() if self.life is not None else self.ended or "it starts"

    def unhealthy(self) -> str:
        unready = self.unready()
        if unready and self.backoff.failures > FAILURES_MAX:
            return f"it has ended {self.backoff.failures} times in a row: {unready}"
        return self.life.unhealthy() if self.life is not None else ""


class Supervisor:
    """Keeps *processes* worker processes running until it is stopped."""

    def __init__(
        self,
        processes: int,
        command: Callable[[int, int], Sequence[str]],
        metrics: Metrics,
        registry: Collector,
        stop_seconds: float,
    ) -> None:
        """Make it; *command* gives a process' arguments by its number, from 1, and its end of the line.

        *registry* and *metrics* are the supervisor's own. After *stop_seconds* a process that was asked
        to stop is killed.
        """
        self._places = [_Place(number) for number in range(1, processes + 1)]
        self._command = command
        self._metrics = metrics
        self._registry = registry
        self._stop_seconds = stop_seconds
        self._totals = Totals()
        self._is_stopping = False

    async def run(self, stop: asyncio.Event) -> int:
        """Run the processes until *stop* is set or it is no use; give the exit status."""
        for place in self._places:
            self._metrics.count("worker_restarts_total", str(place.number), by=0)
        keeping = [asyncio.create_task(self._keep(place)) for place in self._places]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*keeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            in_good_order = await self._stop(keeping)
        failures = [task.exception() for task in keeping if not task.cancelled()]
        for failure in failures:
            if isinstance(failure, GivenUpError):
                logger.error("stopped: %s", failure)
                return failure.status
            if failure is not None:
                raise failure
        return 0 if in_good_order else 1

    async def _keep(self, place: _Place) -> None:
        """Start a process again and again."""
        while True:
            life = place.life = self._started(place.number)
            await life.line.open()
            status = await self._watched(place, life)
            place.life = None
            self._totals.retire(str(place.number))
            if self._is_stopping:
                return
            how, pause = ending(status), place.backoff.pause(life.ready_seconds())
            place.ended = f"it {how} and is started again within {pause:g} s"
            self._give_up_where_it_is_no_use(place, status, how)
            logger.error(
                "process %d (pid %d) %s; it is started again in %g s",
                place.number,
                life.process.pid,
                how,
                pause,
            )
            await asyncio.sleep(pause)
            self._metrics.count("worker_restarts_total", str(place.number))

    def _started(self, number: int) -> Life:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 our own command
                    self._command(number, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in its order
                )
            except OSError as error:
                ours.close()
                raise GivenUpError(f"process {number} cannot be started: {error}", 1) from error
        logger.info("process %d is pid %d", number, process.pid)
        return Life(process, Line(ours, lambda families: self._totals.update(str(number), families)))

    async def _watched(self, place: _Place, life: Life) -> int:
        """Ask a process how it is until it ends; give its exit status, negative for a signal."""
        asked_at = 0.0
        while (status := life.process.poll()) is None:
            now = clock.steady()
            if now >= asked_at + STATE_SECONDS:
                asked_at = now
                await life.line.ask(Asked.STATE, within=POLL_SECONDS)
                if now >= life.metrics_at + METRICS_SECONDS:
                    life.metrics_at = now
                    await life.line.ask(Asked.METRICS, within=POLL_SECONDS)
            if life.ready_at is None and not life.unready():
                life.ready_at = clock.steady()
                place.was_ready = True
            await asyncio.sleep(POLL_SECONDS)
        await life.line.closed(within=1.0)
        return status

    def _give_up_where_it_is_no_use(self, place: _Place, status: int, how: str) -> None:
        if status == MISUSED:
            raise GivenUpError(f"process {place.number} {how}: its settings are wrong", MISUSED)
        if not any(one.was_ready for one in self._places) and all(one.ended for one in self._places):
            raise GivenUpError(f"every process ended before one was ready, the last {how}", 1)

    async def _stop(self, keeping: Sequence[asyncio.Task[None]]) -> bool:
        """Ask all to stop and wait until they have; tell whether they did so in good order."""
        self._is_stopping = True
        lives = [place.life for place in self._places if place.life is not None]
        for life in lives:
            with suppress(ProcessLookupError):
                life.process.terminate()
        for place, task in zip(self._places, keeping, strict=True):
            if place.life is None:
                task.cancel()
        _, late = await asyncio.wait(keeping, timeout=self._stop_seconds)
        for life in lives if late else ():
            with suppress(ProcessLookupError):
                life.process.kill()
        await asyncio.gather(*keeping, return_exceptions=True)
        # One that was asked before it could listen ends by the signal, and has not begun anything.
        return not late and all(life.process.returncode in {0, -signal.SIGTERM} for life in lives)

    def unhealthy(self) -> str:
        """Say why the supervisor is better started anew; empty where all is well."""
        return _said(self._places, _Place.unhealthy)

    def unready(self) -> str:
        """Say which processes are not ready; empty where all are."""
        return _said(self._places, _Place.unready)

    async def collected(self) -> Totals:
        """Give the metrics of all processes as those of one; of one that does not answer the last known."""
        lives = [place.life for place in self._places if place.life is not None]
        await asyncio.gather(*(life.line.ask(Asked.METRICS, within=METRICS_SECONDS) for life in lives))
        self._totals.update(OWN, families_of(self._registry))
        return self._totals


def ending(status: int) -> str:
    """Say how a process ended, by its exit status."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def _said(places: Sequence[_Place], what: Callable[[_Place], str]) -> str:
    said = {place.number: what(place) for place in places}
    return "; ".join(f"process {number}: {text}" for number, text in said.items() if text)
