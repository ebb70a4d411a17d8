"""State in Kafka: the rows of every partition in a compacted topic, restored exactly as last committed.

A log of claims, rows and commits (one partition of the topic for each input partition):

- a worker that takes a partition writes a *claim*; whatever another writer puts behind it is void, so a
  worker that stalled and lost the partition cannot overwrite the new owner's rows;
- a checkpoint is its changed *rows* and then, when all of them are acknowledged, a *commit*; rows without
  their commit are void. A crash between the two leaves the state at the checkpoint before.

Checkpoints of a partition are numbered; every record carries writer, number and claim in its headers. A claim
says which checkpoint it builds on, and is named by its offset: compaction may take claims and commits away
from before a reader who is on its way, and who then knows from the rows whose the partition was. Void rows
are written over by the owner's next checkpoint, so that compaction never keeps a void row in place of a valid
one: a new owner finds them when it reads the log, an owner knows from the offsets of its own records that
somebody else has written between them.

Where the broker has transactions a checkpoint is one, and so is a claim: a worker that lost the partition is
refused what it writes, half a checkpoint is never read. The layout is the same, whoever reads it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata

from stream.shell.connection import Connection
from stream.shell.fencing import READ_COMMITTED, FencedProducer, Sends
from stream.shell.outputs import refusals_of
from stream.shell.pieces import is_further
from stream.shell.producers import Pair, Producer, Producers
from stream.shell.topics import LARGE_RECORD_BYTES

CLAIM: Final = b"!claim"
COMMIT: Final = b"!commit"
PROBE: Final = b"!probe"
FORMAT: Final = 1
"""The version of this layout."""

PIECES_FORMAT: Final = 2
"""The version that the further pieces of large rows have; a newer one in the topic is refused."""

STATE_IS_LEFT: Final = "; the last checkpoint stands, a restarted worker goes on from it"

_FETCH_WAIT_MS: Final = 50
_READ_SECONDS: Final = 60.0
"""How long the state may take to give its next record."""


class StateError(Exception):
    """The state cannot be used: the text says why and what to do."""


@dataclass(slots=True)
class Fold:
    """Reads one partition of the state topic, record by record: what is committed, what is void.

    *tip* is the number of the last valid checkpoint, *owner* the writer that claimed the partition last, and
    *claim* the offset of that claim.
    """

    rows: dict[bytes, bytes] = field(default_factory=dict)
    void: set[bytes] = field(default_factory=set)
    tip: int = 0
    owner: str | None = None
    claim: int = -1
    unreadable: int = 0
    _staged: list[tuple[str, int, bytes, bytes | None]] = field(default_factory=list)

    def take(self, key: bytes, value: bytes | None, headers: Mapping[str, bytes], offset: int) -> None:
        """Take the next record of the partition, which stands at *offset*."""
        try:
            version, writer, number, claim = _parse(headers)
        except (KeyError, ValueError, UnicodeDecodeError):
            self.unreadable += 1
            return
        if version > PIECES_FORMAT:
            raise StateError(
                f"the state is of format {version}, this version reads up to {PIECES_FORMAT}: run the newer "
                "version again, or start over with another group, prefix or an empty state topic"
            )
        if key == PROBE:
            return
        if key == CLAIM:
            self._apply(lambda _, staged_number: staged_number <= number)
            self.tip = max(self.tip, number)
            self.owner, self.claim = writer, offset
            return
        if claim > self.claim:  # compaction took the claim away while this reader was behind an older one
            self._apply(lambda _, staged_number: staged_number < number)
            self.owner, self.claim = writer, claim
        if (self.owner is not None and writer != self.owner) or number <= self.tip:
            # Of a worker that lost the partition; or a request sent again, that came after later ones.
            if key != COMMIT:
                self.void.add(key)
        elif key == COMMIT:
            self._apply(
                lambda staged_writer, staged_number: (
                    staged_number < number or (staged_writer == writer and staged_number == number)
                )
            )
            self.tip = number
        else:
            self._staged.append((writer, number, key, value))

    def finish(self) -> dict[bytes, bytes | None]:
        """Take note that the log ends here: rows without their commit are void.

        Gives what has to be written over the void rows, None to delete one.
        """
        self._apply(lambda _writer, _number: False)
        return {key: self.rows.get(key) for key in self.void}

    def _apply(self, is_valid: Callable[[str, int], bool]) -> None:
        for writer, number, key, value in self._staged:
            if not is_valid(writer, number):
                self.void.add(key)
                continue
            self.void.discard(key)
            body = None if value is None else _unsealed(value)
            if value is not None and body is None:
                self.unreadable += 1
            if body is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = body
        self._staged.clear()


@dataclass(slots=True)
class Restored:
    """The state of a partition: its rows, how many records of it were damaged, and what its writer needs."""

    rows: dict[bytes, bytes]
    unreadable: int
    writer: Writer


@dataclass(slots=True)
class Writer:
    """Writes the checkpoints of one partition that this worker has claimed.

    The broker forgets a transactional id that is not used for days, and nothing may be published for weeks:
    now and then the producer of the outputs writes a checkpoint, in place of that of the state. *claim* is
    the offset of its claim and *last* that of its last record, or of the transaction's marker behind it;
    *is_intruded* says that records of others stand before that.
    """

    producers: Pair
    topic: str
    partition: int
    name: str
    number: int = 0
    claim: int = -1
    last: int = -1
    void: dict[bytes, bytes | None] = field(default_factory=dict)
    is_intruded: bool = False

    async def write(self, rows: Mapping[bytes, bytes | None]) -> int:
        """Write a checkpoint; give its size in bytes. When this returns it will survive a crash.

        Raises PublishError where the broker does not take it.
        """
        with refusals_of(self.topic, STATE_IS_LEFT):
            return await self._write(rows)

    async def _write(self, rows: Mapping[bytes, bytes | None]) -> int:
        number = self.number + 1
        changed = {**self.void, **rows}
        size = 0
        sent = []
        is_idle = isinstance(self.producers.outputs, FencedProducer) and self.producers.outputs.is_idle()
        async with _together(self.producers.outputs if is_idle else self.producers.state) as producer:
            for key, row in changed.items():
                value = None if row is None else _sealed(row)
                size += len(key) + len(value or b"")
                sent.append(await self._send(producer, key, value, number))
            await asyncio.gather(*sent)
            committed = await (await self._send(producer, COMMIT, b"", number))
        self.is_intruded = committed.offset - self.last != len(changed) + 1
        self._ends_at(committed.offset)
        self.number = number
        self.void = {}
        return size

    async def note(self, key: bytes, number: int) -> int:
        """Write a claim or a probe; give its offset. Raises PublishError likewise."""
        with refusals_of(self.topic, STATE_IS_LEFT):
            async with _together(self.producers.state) as producer:
                metadata = await (await self._send(producer, key, b"", number))
        self._ends_at(metadata.offset)
        return int(metadata.offset)

    def _ends_at(self, offset: int) -> None:
        self.last = offset + isinstance(self.producers.state, FencedProducer)  # a marker ends a transaction

    async def _send(
        self, producer: Sends, key: bytes, value: bytes | None, number: int
    ) -> asyncio.Future[RecordMetadata]:
        headers = [
            ("f", b"%d" % (PIECES_FORMAT if is_further(key) else FORMAT)),
            ("w", self.name.encode()),
            ("n", b"%d" % number),
            ("c", b"%d" % self.claim),
        ]
        sent: asyncio.Future[RecordMetadata] = await producer.send(
            self.topic, value, key=key, partition=self.partition, headers=headers
        )
        return sent


class StateStore:
    """Restores and claims partitions of the state topic."""

    def __init__(self, connection: Connection, topic: str, producers: Producers | None = None) -> None:
        """Write with *producers*; without any there are no transactions."""
        self._connection = connection
        self._topic = topic
        self._producers = producers or Producers(connection)

    async def start(self) -> None:
        """Connect. Raises TransactionError where the broker lacks transactions that are wanted."""
        await self._producers.start()

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        await self._producers.stop()

    async def restore(self, partitions: Iterable[int], writer: str) -> dict[int, Restored]:
        """Claim *partitions* for *writer* and give their state; writers given before write no more.

        Nothing that another writer puts behind the claim counts. Raises StateError where the state is of a
        newer format.
        """
        wanted = sorted(partitions)
        producers = await self._producers.take(wanted)
        if not wanted:
            return {}
        async with self._reading(wanted) as consumer:
            return await self._restore(
                consumer,
                {number: Writer(producers[number], self._topic, number, writer) for number in wanted},
            )

    async def mend(self, writer: Writer) -> bool:
        """Let the next checkpoint of *writer* write over what others wrote; False where it owns no more."""
        async with self._reading([writer.partition]) as consumer:
            fold = Fold()
            end = await writer.note(PROBE, writer.number)
            await _read_to(consumer, {writer.partition: fold}, {writer.partition: end})
        writer.void = fold.finish()
        return fold.owner == writer.name

    @asynccontextmanager
    async def _reading(self, partitions: list[int]) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            **self._connection.for_aiokafka(),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=READ_COMMITTED,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=LARGE_RECORD_BYTES,
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self._topic, partition) for partition in partitions])
            await consumer.seek_to_beginning()
            yield consumer
        finally:
            await consumer.stop()

    async def _restore(
        self, consumer: AIOKafkaConsumer, writers: Mapping[int, Writer]
    ) -> dict[int, Restored]:
        folds = {partition: Fold() for partition in writers}
        await _read_to(consumer, folds, await _note(writers, PROBE, dict.fromkeys(writers, 0)))
        unclaimed = dict(writers)
        while unclaimed:
            bases = {p: folds[p].tip for p in unclaimed}
            ends = await _note(unclaimed, CLAIM, bases)
            await _read_to(consumer, folds, ends)
            for partition, end in ends.items():
                writers[partition].claim = end
            unclaimed = {
                p: writer
                for p, writer in unclaimed.items()
                if folds[p].tip != bases[p] or folds[p].owner != writer.name
            }
        restored: dict[int, Restored] = {}
        for partition, fold in folds.items():
            writers[partition].void = fold.finish()
            writers[partition].number = fold.tip
            restored[partition] = Restored(fold.rows, fold.unreadable, writers[partition])
        return restored


@asynccontextmanager
async def _together(producer: Producer) -> AsyncIterator[Sends]:
    if isinstance(producer, FencedProducer):
        async with producer.transaction() as together:
            yield together
    else:
        yield producer


async def _note(writers: Mapping[int, Writer], key: bytes, numbers: Mapping[int, int]) -> dict[int, int]:
    """Let every writer write a claim or a probe; give their offsets."""
    offsets = await asyncio.gather(*(writer.note(key, numbers[p]) for p, writer in writers.items()))
    return dict(zip(writers, offsets, strict=True))


async def _read_to(consumer: AIOKafkaConsumer, folds: Mapping[int, Fold], ends: Mapping[int, int]) -> None:
    """Read until the record at each of *ends* was taken; a broker's own idea of the end is not trusted."""
    missing = dict(ends)
    while missing:
        async with asyncio.timeout(_READ_SECONDS):
            fetched: dict[TopicPartition, list[ConsumerRecord]] = {}
            while not fetched:
                fetched = await consumer.getmany(timeout_ms=1000, max_records=5000)
        for tp, records in fetched.items():
            fold = folds[tp.partition]
            for record in records:
                _take(fold, record)
                if record.offset >= missing.get(tp.partition, record.offset + 1):
                    del missing[tp.partition]


def _take(fold: Fold, record: ConsumerRecord) -> None:
    fold.take(record.key or b"", record.value, dict(record.headers), record.offset)


def _parse(headers: Mapping[str, bytes]) -> tuple[int, str, int, int]:
    return int(headers["f"]), headers["w"].decode(), int(headers["n"]), int(headers.get("c", b"-1"))


def _sealed(row: bytes) -> bytes:
    """Put a checksum before a row, so that a damaged one is known for what it is."""
    return zlib.crc32(row).to_bytes(4) + row


def _unsealed(value: bytes) -> bytes | None:
    row = value[4:]
    return row if zlib.crc32(row).to_bytes(4) == value[:4] else None
