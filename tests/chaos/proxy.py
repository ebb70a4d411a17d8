"""A TCP proxy before the broker that can fall silent, refuse, dawdle, or hold back what one client writes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, Self

from stream.shell.broker import LOOPBACK

PRODUCE: Final = 0
"""The Kafka protocol's key of a request that writes records."""

_CHUNK_BYTES: Final = 256 * 1024
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class Proxy:
    """Leads clients to the broker at *target*, in a thread of its own; the methods are for other threads.

    What is held back is delivered later, in order, as a network does that was interrupted for a while.
    """

    def __init__(self, listen: int, target: str) -> None:
        """Listen on port *listen* of the loopback; *target* is ``host:port``."""
        self._listen = listen
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._open = asyncio.Event()
        self._produce_open = asyncio.Event()
        self._is_refusing = False
        self._delay = 0.0
        self._is_holding = False
        self._held_client: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.held_requests = 0

    @property
    def address(self) -> str:
        """Where its clients connect, ``host:port``."""
        return f"{LOOPBACK}:{self._listen}"

    def __enter__(self) -> Self:
        """Begin to listen; everything passes."""
        self._thread.start()
        self._do(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def pass_all(self) -> None:
        """Let everything pass again, first what was held back."""

        def opened() -> None:
            self._is_refusing, self._delay, self._is_holding = False, 0.0, False
            self._open.set()
            self._produce_open.set()

        self._call(opened)

    def fall_silent(self) -> None:
        """Hold everything back, both ways; connections stay, new ones are taken and hear nothing."""
        self._call(self._open.clear)

    def refuse(self) -> None:
        """Reset every connection, and every new one at once."""

        def refused() -> None:
            self._is_refusing = True
            for writer in list(self._writers):
                writer.transport.abort()

        self._call(refused)

    def dawdle(self, seconds: float) -> None:
        """Let every chunk and every request wait *seconds* before it passes."""

        def slowed() -> None:
            self._delay = seconds

        self._call(slowed)

    def hold_writes(self, client: int | None = None) -> None:
        """Hold back the produce requests of the process *client*, None means of all."""

        def held() -> None:
            self._is_holding, self._held_client = True, client
            self._produce_open.clear()

        self._call(held)

    def _call(self, change: Callable[[], None]) -> None:
        async def changed() -> None:
            change()

        self._do(changed)

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self._loop).result()

    async def _start(self) -> None:
        self._open.set()
        self._produce_open.set()
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._listen)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._lead(reader, writer)
        writer.transport.abort()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_refusing:
            return
        await self._open.wait()
        broker_reader, broker_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, broker_writer}
        port = int(writer.get_extra_info("peername")[1])
        ways = [
            asyncio.ensure_future(self._requests(reader, broker_writer, port)),
            asyncio.ensure_future(self._answers(broker_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers -= {writer, broker_writer}
            broker_writer.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        while True:
            header = await reader.readexactly(4)
            request = await reader.readexactly(struct.unpack(">i", header)[0])
            await self._pause()
            if struct.unpack_from(">h", request)[0] == PRODUCE and self._is_held(port):
                self.held_requests += 1
                await self._produce_open.wait()
            writer.write(header + request)
            await writer.drain()

    def _is_held(self, port: int) -> bool:
        client = self._held_client
        return self._is_holding and (client is None or port in ports_of(client))

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._pause()
            writer.write(chunk)
            await writer.drain()

    async def _pause(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._open.wait()


def ports_of(pid: int) -> frozenset[int]:
    """Give the local TCP ports of a process, as Linux tells them."""
    sockets: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if found := _SOCKET.match(str(entry.readlink())):
                sockets.add(found[1])
    ports: set[int] = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in sockets:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(ports)
