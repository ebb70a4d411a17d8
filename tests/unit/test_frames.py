"""Large answers of a broker: received into buffers that are used again, and read where they stand."""

from __future__ import annotations

import asyncio
import socket
import struct
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from stream.shell import clock, frames
from stream.shell.frames import BUFFERS_KEPT, KEPT_SECONDS, LARGE_BYTES, Batches, Buffers, Connection, Frame
from tests.unit.wire import PLAIN, a_batch

MEBIBYTE = 1024 * 1024


def an_old_batch(magic: int, *values: bytes) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, 0, 2**30)
    for number, value in enumerate(values):
        builder.append(number, 1_000, b"key", value)
    return bytes(builder.build())


def read(batches: Any) -> list[tuple[int, bytes]]:  # noqa: ANN401 - aiokafka has no annotations
    found = []
    while batches.has_next():
        batch = batches.next_batch()
        assert batch.validate_crc()
        found += [(record.offset, record.value) for record in batch]
    return found


class TestBuffers:
    def test_one_that_nobody_looks_into_is_filled_again(self) -> None:
        buffers = Buffers()
        first = buffers.room(3 * MEBIBYTE)
        first[:4] = b"mark"
        del first
        again = buffers.room(2 * MEBIBYTE)
        assert (bytes(again[:4]), len(again)) == (b"mark", 2 * MEBIBYTE)

    @pytest.mark.parametrize("part", [slice(0, 10), slice(MEBIBYTE, MEBIBYTE + 1)])
    def test_one_of_which_there_is_a_view_is_left_alone(self, part: slice) -> None:
        buffers = Buffers()
        room = buffers.room(2 * MEBIBYTE)
        room[part] = b"x" * len(room[part])
        view = room[part].toreadonly()
        del room
        other = buffers.room(2 * MEBIBYTE)
        other[:] = b"o" * len(other)
        assert bytes(view) == b"x" * len(view)

    def test_no_more_are_kept_than_there_should_be(self) -> None:
        buffers = Buffers()
        rooms = [buffers.room(MEBIBYTE) for _ in range(BUFFERS_KEPT + 2)]
        for number, room in enumerate(rooms):
            room[:] = bytes([number]) * len(room)
        assert [room[-1] for room in rooms] == list(range(BUFFERS_KEPT + 2))
        assert len(buffers._kept) == BUFFERS_KEPT

    def test_too_small_ones_make_way(self) -> None:
        buffers = Buffers()
        for mebibytes in range(1, 10):
            assert len(buffers.room(mebibytes * MEBIBYTE)) == mebibytes * MEBIBYTE
        assert [len(one) for one in buffers._kept] == [9 * MEBIBYTE]

    def test_a_huge_one_is_not_kept(self) -> None:
        buffers = Buffers()
        assert len(buffers.room(frames.KEPT_MAX_BYTES + 1)) == frames.KEPT_MAX_BYTES + 1
        assert buffers._kept == []

    def test_they_are_let_go_when_no_large_answer_has_come_for_a_while(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr(clock, "steady", lambda: now)
        buffers = Buffers()
        buffers.room(MEBIBYTE)
        now += KEPT_SECONDS
        buffers.rest()
        assert len(buffers._kept) == 1
        now += 0.1
        buffers.rest()
        assert buffers._kept == []


class TestFrame:
    def test_it_is_read_as_bytes_are_and_large_parts_are_views(self) -> None:
        raw = bytes(range(256)) * (2 * LARGE_BYTES // 256) + b"end"
        frame = Frame(memoryview(raw))
        assert frame.read(0) == b""
        assert frame.read(5) == raw[:5]
        part = frame.read(LARGE_BYTES)
        assert isinstance(part, memoryview)
        assert part == raw[5 : LARGE_BYTES + 5]
        assert bytes(frame.read()) == raw[LARGE_BYTES + 5 :]
        assert frame.read(10) == b""

    def test_behind_its_end_there_is_less(self) -> None:
        frame = Frame(memoryview(b"abc"))
        assert frame.read(10) == b"abc"


class TestBatches:
    def test_they_are_those_that_aiokafka_finds(self) -> None:
        raw = a_batch(PLAIN, 0, b"a", b"b") + a_batch(PLAIN, 7, b"c") + a_batch(PLAIN, 8, b"cut off")[:-1]
        for given in (raw, memoryview(bytearray(raw)).toreadonly()):
            assert read(Batches(given)) == read(MemoryRecords(raw))
            assert Batches(given).size_in_bytes() == len(raw)

    def test_those_of_older_formats_are_read_among_them(self) -> None:
        raw = an_old_batch(0, b"x") + a_batch(PLAIN, 3, b"a", b"b") + an_old_batch(1, b"y")
        assert read(Batches(raw)) == [(0, b"x"), (3, b"a"), (4, b"b"), (0, b"y")]

    @pytest.mark.parametrize("raw", [b"", b"\0" * 11, a_batch(PLAIN, 0, b"a")[:-1]])
    def test_where_there_is_no_whole_batch_there_is_none(self, raw: bytes) -> None:
        batches = Batches(raw)
        assert (batches.has_next(), batches.next_batch()) == (False, None)

    def test_one_that_is_too_short_is_corrupt(self) -> None:
        batches = Batches(bytes(8) + (10).to_bytes(4, "big") + bytes(10))
        assert batches.has_next()
        with pytest.raises(CorruptRecordException, match="22 bytes"):
            batches.next_batch()

    @pytest.mark.parametrize("is_fast", [True, False])
    @pytest.mark.parametrize("make", [partial(a_batch, PLAIN, 0), partial(an_old_batch, 1)])
    def test_a_checksum_that_is_wrong_is_seen(
        self, *, is_fast: bool, make: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(frames, "_IS_FAST", is_fast)
        right = make(b"abcdefgh")
        wrong = right.replace(b"abcdefgh", b"abcdefgi")
        for raw, is_intact in ((right, True), (wrong, False)):
            batches = Batches(raw)
            assert batches.is_intact(batches.next_batch()) is is_intact

    def test_it_says_how_large_the_last_one_was_and_what_is_left(self) -> None:
        first, second = a_batch(PLAIN, 0, b"a", b"b"), a_batch(PLAIN, 2, b"c" * 100)
        batches = Batches(first + second + b"rest")
        seen = [(batches.last_size, batches.left)]
        while batches.has_next():
            batches.next_batch()
            seen.append((batches.last_size, batches.left))
        whole = len(first) + len(second) + 4
        assert seen == [(0, whole), (len(first), len(second) + 4), (len(second), 4)]


class Answer:
    """What a request asks for: bytes behind the number of the request."""

    def __init__(self, text: bytes | memoryview) -> None:
        self.text = text

    @classmethod
    def decode(cls, data: Any) -> Answer:  # noqa: ANN401 - BytesIO, or what reads as it does
        return cls(data.read())


class Asking:
    """A connection whose other side is this test."""

    RESPONSE_TYPE = Answer

    @classmethod
    async def begin(cls) -> Asking:
        """Connect, and begin to read."""
        asking, (own, other) = cls(), socket.socketpair()
        asking.connection = object.__new__(Connection)
        asking.connection._reader, asking.connection._writer = await asyncio.open_connection(sock=own)
        asking.connection._requests = deque()
        asking.connection._host, asking.connection._port = "here", 1
        asking.closed = []
        asking.connection.close = lambda **why: asking.closed.append(why)
        _, asking.other = await asyncio.open_connection(sock=other)
        asking.reading = asyncio.create_task(Connection._read(weakref.ref(asking.connection)))
        return asking

    connection: Any
    other: asyncio.StreamWriter
    closed: list[Any]
    reading: asyncio.Task[None]

    @staticmethod
    def parse_response_header(data: Any) -> Any:  # noqa: ANN401 - see above
        return SimpleNamespace(correlation_id=struct.unpack(">i", data.read(4))[0])

    def ask(self, number: int) -> asyncio.Future[Answer]:
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.connection._requests.append((number, self, waiter))
        return waiter

    async def end(self) -> None:
        """Close both sides."""
        self.reading.cancel()
        self.other.close()
        self.connection._writer.close()
        self.connection._reader = None  # as one that was closed has it
        await asyncio.gather(self.reading, self.other.wait_closed(), return_exceptions=True)

    async def answer(self, number: int, text: bytes, chunk: int = 100_000) -> None:
        raw = struct.pack(">ii", len(text) + 4, number) + text
        for start in range(0, len(raw), chunk):
            self.other.write(raw[start : start + chunk])
            await self.other.drain()


LARGE = bytes(range(256)) * (3 * MEBIBYTE // 256)


class TestConnection:
    async def test_answers_small_and_large_come_to_who_asked(self) -> None:
        asking = await Asking.begin()
        texts = [b"small", LARGE, b"", LARGE[::-1], LARGE[: LARGE_BYTES - 4], b"x" * (LARGE_BYTES - 5)]
        waiters = [asking.ask(number) for number in range(len(texts))]
        for number, text in enumerate(texts):
            await asking.answer(number, text)
        answers = [await asyncio.wait_for(waiter, 10.0) for waiter in waiters]
        assert [bytes(answer.text) for answer in answers] == texts
        assert [isinstance(one.text, memoryview) for one in answers] == [n in {1, 3} for n in range(6)]
        assert asking.closed == []
        await asking.end()

    async def test_one_for_which_nobody_waits_any_more_is_passed(self) -> None:
        asking = await Asking.begin()
        asking.ask(0).cancel()
        waiter = asking.ask(1)
        await asking.answer(0, LARGE)
        await asking.answer(1, b"next")
        assert (await asyncio.wait_for(waiter, 10.0)).text == b"next"
        await asking.end()

    async def test_one_that_was_not_asked_for_closes_the_connection(self) -> None:
        asking = await Asking.begin()
        waiter = asking.ask(5)
        await asking.answer(6, LARGE)
        with pytest.raises(Exception, match="sent 5, recv 6"):
            await asyncio.wait_for(waiter, 10.0)
        assert [why["reason"] for why in asking.closed] == [conn.CloseReason.OUT_OF_SYNC]
        await asking.end()

    async def test_one_that_ends_too_soon_ends_the_reading(self) -> None:
        asking = await Asking.begin()
        asking.ask(0)
        asking.other.write(struct.pack(">ii", 2 * LARGE_BYTES, 0) + bytes(LARGE_BYTES))
        asking.other.write_eof()
        with pytest.raises(asyncio.IncompleteReadError):
            await asyncio.wait_for(asking.reading, 10.0)
        await asking.end()

    async def test_it_reads_no_more_when_the_connection_is_gone(self) -> None:
        asking = await Asking.begin()
        asking.ask(0)
        await asyncio.sleep(0)
        writer = asking.connection._writer
        asking.connection._reader = None  # as one that was closed has it
        del asking.connection
        await asking.answer(0, LARGE)
        await asyncio.wait_for(asking.reading, 10.0)
        writer.close()
        asking.other.close()


def test_aiokafka_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conn, "AIOKafkaConnection", conn.AIOKafkaConnection)
    monkeypatch.setattr(fetcher, "MemoryRecords", fetcher.MemoryRecords)
    frames.read_in_place()
    assert (conn.AIOKafkaConnection, fetcher.MemoryRecords) == (Connection, Batches)
