"""Bytes from a connection straight into a buffer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from stream.shell.receiving import fill
from tests.integration.certificates import Authority

T = TypeVar("T")

LARGE = bytes(range(256)) * 4096
MARK = b"what comes behind it"


class Side(NamedTuple):
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Side, Side]]:
    """Connect this test with itself."""
    ours, theirs = [Side(*await asyncio.open_connection(sock=one)) for one in socket.socketpair()]
    try:
        yield ours, theirs
    finally:
        ours.writer.close()
        theirs.writer.close()


async def soon(waited_for: Awaitable[T]) -> T:
    return await asyncio.wait_for(waited_for, 10.0)


async def until_filling(side: Side) -> None:
    own = side.writer.transport.get_protocol()
    while side.writer.transport.get_protocol() is own:  # noqa: ASYNC110 - nothing says when it is not
        await asyncio.sleep(0)


@pytest.mark.parametrize("first", [len(LARGE) + len(MARK), len(LARGE), len(LARGE) - 1, 1_000, 1])
@pytest.mark.parametrize("chunk", [7_001, len(LARGE)])
async def test_it_takes_what_it_is_to_have_and_leaves_the_rest(first: int, chunk: int) -> None:
    async with connected() as (ours, theirs):
        text = LARGE + MARK

        async def send() -> None:
            theirs.writer.write(text[:first])
            await theirs.writer.drain()
            await asyncio.sleep(0.01)
            for start in range(first, len(text), chunk):
                theirs.writer.write(text[start : start + chunk])
                await theirs.writer.drain()

        sending, room = asyncio.create_task(send()), bytearray(len(LARGE))
        await soon(fill(memoryview(room), *ours))
        assert room == LARGE
        assert await soon(ours.reader.readexactly(len(MARK))) == MARK
        await sending


async def test_one_after_the_other() -> None:
    async with connected() as (ours, theirs):
        theirs.writer.write(LARGE + LARGE[::-1] + MARK)
        for text in (LARGE, LARGE[::-1]):
            room = bytearray(len(text))
            await soon(fill(memoryview(room), *ours))
            assert room == text
        assert await soon(ours.reader.readexactly(len(MARK))) == MARK


@pytest.mark.parametrize("sent", [0, 1_000, len(LARGE) - 1])
async def test_a_connection_that_ends_too_soon(sent: int) -> None:
    async with connected() as (ours, theirs):
        filling = asyncio.create_task(fill(memoryview(bytearray(len(LARGE))), *ours))
        if sent:
            theirs.writer.write(LARGE[:sent])
            await soon(until_filling(ours))
        theirs.writer.close()
        with pytest.raises(asyncio.IncompleteReadError):
            await soon(filling)
        assert await soon(ours.reader.read()) == b""


async def test_one_that_had_ended_before() -> None:
    async with connected() as (ours, theirs):
        theirs.writer.write(LARGE[:1_000])
        theirs.writer.close()
        await theirs.writer.wait_closed()
        await soon(ours.reader.readexactly(500))
        with pytest.raises(asyncio.IncompleteReadError):
            await soon(fill(memoryview(bytearray(len(LARGE))), *ours))


async def test_one_that_is_broken_off() -> None:
    server = await asyncio.start_server(_broken_off, "127.0.0.1", 0)
    async with server:
        ours = Side(*await asyncio.open_connection(*server.sockets[0].getsockname()))
        with pytest.raises(ConnectionResetError):
            await soon(fill(memoryview(bytearray(len(LARGE))), *ours))
        with pytest.raises(ConnectionResetError):
            await soon(ours.reader.read())
        ours.writer.close()


async def _broken_off(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(LARGE[:1_000])
    await writer.drain()
    await asyncio.sleep(0.05)
    linger = struct.pack("ii", 1, 0)  # to close it is to reset it
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()


async def test_who_gives_up_leaves_the_connection_as_it_was() -> None:
    async with connected() as (ours, theirs):
        filling = asyncio.create_task(fill(memoryview(bytearray(len(LARGE))), *ours))
        theirs.writer.write(LARGE[:1_000])
        await soon(until_filling(ours))
        filling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filling
        theirs.writer.write(MARK)
        assert await soon(ours.reader.readexactly(len(MARK))) == MARK


async def test_who_writes_meanwhile_waits_for_room_as_ever() -> None:
    async with connected() as (ours, theirs):
        room = bytearray(len(LARGE))
        filling = asyncio.create_task(fill(memoryview(room), *ours))
        theirs.writer.write(LARGE[:1_000])
        await soon(until_filling(ours))
        theirs.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
        ours.writer.write(bytes(2**24))
        draining = asyncio.create_task(ours.writer.drain())
        await asyncio.sleep(0.01)
        assert not draining.done()
        theirs.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await soon(theirs.reader.readexactly(2**24))) == 2**24
        await soon(draining)
        theirs.writer.write(LARGE[1_000:])
        await soon(filling)
        assert room == LARGE


async def test_what_is_encrypted_is_deciphered_into_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(*authority.sign("broker"))
    trusted = ssl.create_default_context(cafile=str(authority.certificate))

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(LARGE)
            await writer.drain()
        writer.write(MARK)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=own)
    async with server:
        ours = Side(*await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trusted))
        for _ in range(3):
            room = bytearray(len(LARGE))
            await soon(fill(memoryview(room), *ours))
            assert room == LARGE
            room.clear()  # which is refused while anybody looks into it
        assert await soon(ours.reader.read()) == MARK
        ours.writer.close()
