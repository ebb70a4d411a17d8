"""The line between a supervisor and one of its processes: questions down, reports up, and a lifeline.

It is a pair of connected sockets without a name: nothing is left on disk, no port is open, and the
end of either process shows at the other as the end of the stream. A question is one byte, a report a
length (4 bytes, big-endian) and MessagePack.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from enum import StrEnum
from typing import Final

import msgspec

from stream.shell import clock
from stream.shell.status import WorkerStatus
from stream.shell.totals import Family, families_of

logger = logging.getLogger(__name__)

_LENGTH: Final = struct.Struct(">I")
_REFRESH_SECONDS: Final = 4.0
"""How long the loop of a busy worker may take to bring its gauges up to date, for one report."""


class Asked(StrEnum):
    """What a supervisor asks: how are you, or what have you counted as well."""

    STATE = "s"
    METRICS = "m"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself; without metrics where they were not asked, or it had no time."""

    asked: Asked
    unhealthy: str
    unready: str
    metrics: list[Family] | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Report).decode


class Line:
    """A supervisor's end: asks, and keeps what was heard last."""

    def __init__(self, end: socket.socket, on_metrics: Callable[[list[Family]], None]) -> None:
        """Take *end*; :meth:`open` begins to listen. *on_metrics* is told of metrics as they come."""
        self._end = end
        self._on_metrics = on_metrics
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: dict[Asked, asyncio.Future[None]] = {}
        self.last: Report | None = None
        self.heard_at = clock.steady()

    async def open(self) -> None:
        """Begin to listen."""
        reader, self._writer = await asyncio.open_connection(sock=self._end)
        self._listening = asyncio.create_task(self._listen(reader))

    async def ask(self, what: Asked, within: float) -> None:
        """Wait at most *within* seconds for an answer, which ``last`` then is; a late one still counts."""
        if self._writer is None or self._listening is None or self._listening.done():
            return
        answered = self._waiting.get(what)
        if answered is None:
            answered = self._waiting[what] = asyncio.get_running_loop().create_future()
            self._writer.write(what.encode())
        await asyncio.wait({answered}, timeout=within)

    async def closed(self, within: float) -> None:
        """Hear the rest of what the process said before it ended, and hang up."""
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=within)
            self._listening.cancel()
        if self._writer is not None:
            self._writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                report = _decode(await reader.readexactly(length))
                self.last, self.heard_at = report, clock.steady()
                if report.metrics is not None:
                    self._on_metrics(report.metrics)
                if (answered := self._waiting.pop(report.asked, None)) is not None:
                    answered.set_result(None)
        except msgspec.MsgspecError:
            logger.exception("a process says what cannot be understood: it is not listened to any more")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has ended
        finally:
            for answered in self._waiting.values():
                answered.cancel()


class Answering(threading.Thread):
    """A process' end: answers for as long as there is a supervisor, then calls *on_end*.

    It is a thread, so that a worker whose loop hangs still says so, and does not outlive its supervisor.
    """

    def __init__(
        self,
        end: socket.socket,
        status: WorkerStatus,
        loop: asyncio.AbstractEventLoop,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(name="answering", daemon=True)
        self._end = end
        self._status = status
        self._loop = loop
        self._on_end = on_end

    def run(self) -> None:
        """Answer until the supervisor is gone."""
        with suppress(ConnectionError):
            while asked := self._end.recv(1):
                body = _encode(self._report(Asked(asked.decode())))
                self._end.sendall(_LENGTH.pack(len(body)) + body)
        self._on_end()

    def _report(self, asked: Asked) -> Report:
        return Report(
            asked=asked,
            unhealthy=self._status.unhealthy(),
            unready=self._status.unready(),
            metrics=self._metrics() if asked is Asked.METRICS else None,
        )

    def _metrics(self) -> list[Family] | None:
        refresh = self._status.refresh()
        try:
            refreshed = asyncio.run_coroutine_threadsafe(refresh, self._loop)
        except RuntimeError:  # the loop is closed: the worker is about to end
            refresh.close()
            return None
        try:
            refreshed.result(_REFRESH_SECONDS)
        except (TimeoutError, CancelledError):
            refreshed.cancel()
            return None
        return families_of(self._status.registry)
