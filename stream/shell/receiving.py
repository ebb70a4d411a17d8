"""Bytes from a connection straight into a buffer: the kernel puts them there, and nothing copies them again.

A stream of asyncio has them three times on their way: as what was received, as what waits to be read, and as
what was read.
"""

from __future__ import annotations

import asyncio
from asyncio import BufferedProtocol, IncompleteReadError, Protocol, StreamReader, StreamWriter
from typing import cast


async def fill(room: memoryview, reader: StreamReader, writer: StreamWriter) -> None:
    """Fill *room* from a connection: with what *reader* has already, and with what comes behind that.

    Raises IncompleteReadError, or what the connection failed with, where it ends before.
    """
    first = await reader.read(len(room))
    room[: len(first)] = first
    if len(first) == len(room):
        return
    if (error := reader.exception()) is not None:
        raise error
    if reader.at_eof():
        raise IncompleteReadError(b"", len(room) - len(first))
    filling = _Filling(room[len(first) :], cast("asyncio.Transport", writer.transport))
    try:
        await filling.done
    finally:
        filling.end()


class _Filling(BufferedProtocol):
    """Takes the place of a connection's protocol until a buffer is full, or the connection ends."""

    def __init__(self, rest: memoryview, transport: asyncio.Transport) -> None:
        self._rest = rest
        self._transport = transport
        self._own = cast("Protocol", transport.get_protocol())
        self.done = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)

    def end(self) -> None:
        """Let the connection's own protocol take what comes from now on, and look no more into the buffer.

        What deciphers remembers whom it has given bytes to, until it gives some to another buffer.
        """
        self._rest = memoryview(b"")
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._own)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - there is room for all
        """Give where to put what comes."""
        return self._rest

    def buffer_updated(self, nbytes: int) -> None:
        """Take note that so many bytes have come."""
        self._rest = self._rest[nbytes:]
        if not self._rest:
            self.end()
            self._settle(None)

    def eof_received(self) -> bool | None:
        """Take note that nothing more will come, as the connection's own protocol does."""
        self._settle(IncompleteReadError(b"", len(self._rest)))
        return self._own.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone, as its own protocol does."""
        self._settle(exc or IncompleteReadError(b"", len(self._rest)))
        self._own.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell the connection's own protocol, which who writes asks."""
        self._own.pause_writing()

    def resume_writing(self) -> None:
        """Tell the connection's own protocol likewise."""
        self._own.resume_writing()

    def _settle(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
