"""What a broker answers, read where it stands: a fetch of megabytes is neither copied nor given new memory.

aiokafka copies an answer twice when it is there, each time into memory that it has not had before, and of
which every page is a fault; on its way from the kernel it was copied three times by then. Here large answers
are received into buffers that are used again, from the kernel without a copy between; batches of records are
views of them, and their checksums are worked out by the processor's own instruction.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, Final
from weakref import ReferenceType

import google_crc32c
from aiokafka import conn
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from stream.shell import clock
from stream.shell.receiving import fill

LARGE_BYTES: Final = 256 * 1024
"""An answer of this size on is read in place."""

ANSWER_MAX_BYTES: Final = 16 * 1024 * 1024
"""What is asked for in one answer; a single batch that is larger comes whole all the same."""

BUFFERS_KEPT: Final = 3
"""Two that are read, of topics that are not equally far, and one that is filled meanwhile."""

KEPT_SECONDS: Final = 10.0
"""How long after the last large answer: then a worker has caught up."""

KEPT_MAX_BYTES: Final = ANSWER_MAX_BYTES + 2 * 1024 * 1024
"""Larger ones are not kept."""

_STEP_BYTES: Final = 1024 * 1024
_SIZE: Final = struct.Struct(">i")
_OVERHEAD: Final = 12
_LENGTH_AT, _MAGIC_AT, _CHECKED_FROM = 8, 16, 21
_MAGIC: Final = 2
"""Of the format of batches that Kafka has had since 0.11."""

_LEAST_BATCH: Final = _OVERHEAD + 14
"""A batch begins with its offset and length; the least one is a message of the oldest format."""

_IS_FAST: Final = google_crc32c.implementation == "c"


class Buffers:
    """Buffers for large answers: one into which nobody looks any more is filled again."""

    def __init__(self) -> None:
        self._kept: list[mmap.mmap] = []
        self._needed = 0.0

    def rest(self) -> None:
        """Take note that an answer needed none; a while after the last that did they are let go."""
        if self._kept and clock.steady() - self._needed > KEPT_SECONDS:
            self._kept = []

    def room(self, size: int) -> memoryview:
        """Give room for *size* bytes, which is taken for as long as there is a view of it."""
        self._needed = clock.steady()
        for buffer in self._kept:
            if len(buffer) >= size and _is_free(buffer):
                return memoryview(buffer)[:size]
        made = mmap.mmap(-1, -(-size // _STEP_BYTES) * _STEP_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANON)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            made.madvise(mmap.MADV_HUGEPAGE)
        if len(made) <= KEPT_MAX_BYTES:
            self._kept = [buffer for buffer in self._kept if not _is_free(buffer)]  # they are too small
            if len(self._kept) < BUFFERS_KEPT:
                self._kept.append(made)
        return memoryview(made)[:size]


def _is_free(buffer: mmap.mmap) -> bool:
    """Tell whether there is no view of *buffer*: only then can its size be changed, even to what it is."""
    try:
        buffer.resize(len(buffer))
    except BufferError:
        return False
    except SystemError:  # there are systems that cannot, and say so after they have looked for views
        pass
    return True


class Frame:
    """A large answer; what is large in it is a view, not a copy."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def read(self, size: int = -1) -> bytes | memoryview:
        """Give the next *size* bytes, fewer at the end; all that are left where it is negative."""
        stop = len(self._view) if size < 0 else self._at + size
        part = self._view[self._at : stop]
        self._at += len(part)
        return part if len(part) >= LARGE_BYTES else bytes(part)


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # aiokafka has no annotations
    """A connection that receives large answers in place."""

    @staticmethod
    async def _read(self_ref: ReferenceType[Connection]) -> None:
        """Receive answers, as aiokafka does, until the connection or who has it is gone."""
        connection = self_ref()
        if connection is None:
            return
        reader, writer = connection._reader, connection._writer
        del connection
        buffers = Buffers()
        while True:
            (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
            if size < LARGE_BYTES:
                buffers.rest()
                answer: bytes | memoryview = await reader.readexactly(size)
            else:
                room = buffers.room(size)
                await fill(room, reader, writer)
                answer = room.toreadonly()
                del room
            connection = self_ref()
            if connection is None:
                return
            connection._handle_frame(answer)
            del connection, answer

    def _handle_frame(self, answer: bytes | memoryview) -> None:
        """Give an answer to who waits for it."""
        if isinstance(answer, bytes):
            super()._handle_frame(answer)
            return
        asked, request, waiter = self._requests[0]
        frame = Frame(answer)
        if asked is None or request.parse_response_header(frame).correlation_id != asked:
            super()._handle_frame(bytes(answer))  # it closes the connection
            return
        if not waiter.done():
            waiter.set_result(request.RESPONSE_TYPE.decode(frame))
        self._last_action = clock.steady()
        self._requests.popleft()


class Batches:
    """The batches of records that an answer has of one partition, each a view of it.

    Does what aiokafka's ``MemoryRecords`` does.
    """

    def __init__(self, raw: bytes | memoryview) -> None:
        self._rest = memoryview(raw)
        self._size = len(raw)
        self._next = self._cut()
        self._last = self._rest[:0]

    def size_in_bytes(self) -> int:
        """Give how many bytes there were, those of a batch that is cut off included."""
        return self._size

    @property
    def left(self) -> int:
        """Give how many bytes there are behind the batch that was given last."""
        return len(self._rest) + (0 if self._next is None else len(self._next))

    @property
    def last_size(self) -> int:
        """Give how many bytes the batch has that was given last."""
        return len(self._last)

    def has_next(self) -> bool:
        """Tell whether there is another whole batch."""
        return self._next is not None

    def next_batch(self) -> Any | None:  # noqa: ANN401 - aiokafka has no annotations
        """Give the next batch; None at the end. Raises CorruptRecordException where it is too short."""
        if self._next is None:
            return None
        self._last = self._next
        if len(self._last) < _LEAST_BATCH:
            raise CorruptRecordException(f"a batch of {len(self._last)} bytes")
        self._next = self._cut()
        magic = self._last[_MAGIC_AT]
        return DefaultRecordBatch(self._last) if magic >= _MAGIC else LegacyRecordBatch(self._last, magic)

    def is_intact(self, batch: Any) -> bool:  # noqa: ANN401 - aiokafka has no annotations
        """Tell whether the checksum of *batch*, the last that was given, is right."""
        if not _IS_FAST or self._last[_MAGIC_AT] < _MAGIC:
            return bool(batch.validate_crc())
        return bool(google_crc32c.value(bytes(self._last[_CHECKED_FROM:])) == batch.crc)

    def _cut(self) -> memoryview | None:
        """Cut the next batch off the rest; None where there is no whole one."""
        rest = self._rest
        if len(rest) < _OVERHEAD:
            return None
        size = _OVERHEAD + int(_SIZE.unpack_from(rest, _LENGTH_AT)[0])
        if size > len(rest):
            return None
        self._rest = rest[size:]
        return rest[:size]


def read_in_place() -> None:
    """Let aiokafka, in this process, read large answers in place."""
    conn.AIOKafkaConnection = Connection
    fetcher.MemoryRecords = Batches
