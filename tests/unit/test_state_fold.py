"""The rows that a log of claims, rows and commits gives, whatever its writers went through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.shell.producers import Pair
from stream.shell.state import CLAIM, COMMIT, PROBE, Fold, StateError, Writer

ANYTHING: Final = 99
"""More records than a checkpoint of these tests has."""


class Entry(NamedTuple):
    """A record of the state topic, or the hole that compaction left: no key."""

    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Metadata(NamedTuple):
    """Where a record stands."""

    offset: int


class CrashedError(Exception):
    """The writer's process is no more."""


@dataclass
class Log:
    """One partition of the state topic; a producer too, which dies after *left* records."""

    entries: list[Entry] = field(default_factory=list)
    left: int = ANYTHING

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes,
        partition: int,
        headers: Sequence[tuple[str, bytes]],
    ) -> asyncio.Future[Metadata]:
        """Append a record; its future is done at once."""
        assert (topic, partition) == ("state", 0)
        if self.left == 0:
            raise CrashedError
        self.left -= 1
        self.entries.append(Entry(key, value, dict(headers)))
        done: asyncio.Future[Metadata] = asyncio.get_running_loop().create_future()
        done.set_result(Metadata(len(self.entries) - 1))
        return done

    def fold(self, end: int | None = None) -> Fold:
        """Read the log, or the part of it before offset *end*."""
        return folded(self.entries[:end])

    def writer(self, name: str) -> Writer:
        """Take the partition over as a worker does."""
        writer = Writer(Pair(self, self), "state", 0, name)
        asyncio.run(writer.note(PROBE, 0))
        writer.number = self.fold().tip
        writer.claim = writer.last = asyncio.run(writer.note(CLAIM, writer.number))
        fold = self.fold()
        writer.void = {key: fold.rows.get(key) for key in fold.void}
        return writer

    def write(self, writer: Writer, rows: Mapping[bytes, bytes | None], left: int = ANYTHING) -> bool:
        """Write a checkpoint of which at most *left* records get into the log; whether all of it did."""
        self.left = left
        try:
            asyncio.run(writer.write(rows))
        except CrashedError:
            return False
        finally:
            self.left = ANYTHING
        if writer.is_intruded:
            writer.last = asyncio.run(writer.note(PROBE, writer.number))
            fold = self.fold()
            assert fold.owner == writer.name
            writer.void = {key: fold.rows.get(key) for key in fold.void}
        return True

    def sent(self) -> list[Entry]:
        """Give the rows and commits that checkpoints left in the log."""
        return [entry for entry in self.entries if entry.key not in {None, CLAIM, PROBE}]

    def compact(self, end: int, *, with_tombstones: bool) -> None:
        """Do what Kafka's cleaner may do to the records before offset *end*."""
        newest = {entry.key: offset for offset, entry in enumerate(self.entries[:end])}
        for offset, entry in enumerate(self.entries[:end]):
            if newest[entry.key] != offset or (with_tombstones and entry.value is None):
                self.entries[offset] = Entry(None, None, {})


def folded(entries: Sequence[Entry]) -> Fold:
    """Read a log to its end."""
    fold = Fold()
    for offset, entry in enumerate(entries):
        if entry.key is not None:
            fold.take(entry.key, entry.value, entry.headers, offset)
    fold.finish()
    return fold


KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
ROWS = st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=4)
LEFT = st.integers(0, 6)


class Checkpoint(NamedTuple):
    """The owner writes a checkpoint."""

    rows: dict[bytes, bytes | None]


class Takeover(NamedTuple):
    """The owner dies in a checkpoint, after *left* records, and another worker takes the partition."""

    rows: dict[bytes, bytes | None]
    left: int


class Zombie(NamedTuple):
    """A worker that lost the partition wakes up and writes *left* records of a checkpoint."""

    rows: dict[bytes, bytes | None]
    left: int
    back: int


class SentTwice(NamedTuple):
    """A request that seemed lost, and was sent again, arrives once more: a row or a commit of long ago."""

    back: int


class Compaction(NamedTuple):
    """The cleaner comes, up to one of the places that are old enough, while others read."""

    place: int
    with_tombstones: bool


HISTORIES = st.lists(
    st.one_of(
        st.builds(Checkpoint, ROWS),
        st.builds(Takeover, ROWS, LEFT),
        st.builds(Zombie, ROWS, st.integers(0, 7), st.integers(0, 3)),
        st.builds(SentTwice, st.integers(0, 20)),
        st.builds(Compaction, st.integers(0, 50), st.booleans()),
    ),
    max_size=25,
)


@given(HISTORIES)
@settings(deadline=None, max_examples=400)
def test_the_rows_are_those_of_the_owners_checkpoints_whatever_crashed_woke_up_or_was_compacted(
    history: list[Checkpoint | Takeover | Zombie | SentTwice | Compaction],
) -> None:
    log, names, expected = Log(), iter(range(ANYTHING)), dict[bytes, bytes]()
    owner = log.writer(f"w{next(names)}")
    lost: list[Writer] = []
    for step in history:
        if isinstance(step, Checkpoint):
            assert log.write(owner, step.rows)
            expected = applied(expected, step.rows)
        elif isinstance(step, Takeover):
            if log.write(owner, step.rows, step.left):
                expected = applied(expected, step.rows)
            lost.append(owner)
            owner = log.writer(f"w{next(names)}")
        elif isinstance(step, Zombie) and lost:
            zombie = lost[-1 - step.back % len(lost)]
            log.left = step.left
            with contextlib.suppress(CrashedError):
                asyncio.run(zombie.write(step.rows))
            log.left = ANYTHING
        elif isinstance(step, SentTwice) and (sent := log.sent()):
            log.entries.append(sent[-1 - step.back % len(sent)])
        elif isinstance(step, Compaction) and (ends := settled(log)):
            before = list(log.entries)
            log.compact(ends[step.place % len(ends)], with_tombstones=step.with_tombstones)
            if not step.with_tombstones:  # Kafka keeps them for a day, for readers who have begun
                for reached in range(len(before)):
                    assert folded(before[:reached] + log.entries[reached:]).rows == expected
        assert log.fold().rows == expected


def applied(rows: Mapping[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    """Give the rows after a checkpoint."""
    return {key: row for key, row in {**rows, **changes}.items() if row is not None}


def settled(log: Log) -> list[int]:
    """Give the offsets before which no checkpoint is open and nothing void waits to be written over.

    Compaction keeps away from younger records for a day; a checkpoint is done, or mended, in seconds.
    """
    ends, owner, is_stray, tip = [0], b"", False, 0
    for end, entry in enumerate(log.entries, start=1):
        if entry.key == CLAIM:
            owner = entry.headers["w"]
        elif entry.key == COMMIT:
            is_late = int(entry.headers["n"]) <= tip
            is_stray = is_late or entry.headers["w"] != owner  # the owner's next commit writes over it
        fold = log.fold(end)
        tip = fold.tip
        if not is_stray and not fold.void:
            ends.append(end)
    return ends


def record(writer: str, number: int, layout: int = 1) -> dict[str, bytes]:
    """Give the headers of a record."""
    return {"f": b"%d" % layout, "w": writer.encode(), "n": b"%d" % number}


def test_an_owner_sees_that_somebody_else_has_written() -> None:
    log = Log()
    stale = log.writer("stale")
    owner = log.writer("owner")
    log.write(owner, {b"a": b"1"})
    was_intruded = owner.is_intruded
    asyncio.run(stale.write({b"a": b"2"}))
    log.write(owner, {b"b": b"1"})
    assert (was_intruded, owner.is_intruded) == (False, True)


def test_a_worker_that_lost_its_partition_sees_it_at_its_next_checkpoint() -> None:
    log = Log()
    stale = log.writer("stale")
    log.writer("owner")
    asyncio.run(stale.write({b"a": b"1"}))
    assert stale.is_intruded
    assert log.fold().owner == "owner"


def test_a_checkpoint_that_came_between_the_look_and_the_claim_counts() -> None:
    fold = Fold()
    for key, writer, number in ((b"a", "old", 1), (COMMIT, "old", 1), (CLAIM, "new", 0)):
        fold.take(key, b"", record(writer, number), 0)
    assert (fold.tip, fold.owner) == (1, "new")


def test_a_row_that_arrives_again_after_a_later_checkpoint_does_not_count() -> None:
    log = Log()
    writer = log.writer("w")
    log.write(writer, {b"a": b"1"})
    (row, _) = log.sent()
    log.write(writer, {b"a": b"2"})
    log.entries.append(row)
    log.writer("next")
    assert log.fold().rows == {b"a": b"2"}


def test_a_commit_that_arrives_again_within_a_later_checkpoint_does_not_break_it() -> None:
    log = Log()
    writer = log.writer("w")
    log.write(writer, {b"a": b"1"})
    (_, commit) = log.sent()
    log.write(writer, {b"a": b"2", b"b": b"2"})
    log.entries.insert(-2, commit)
    assert log.fold().rows == {b"a": b"2", b"b": b"2"}


def test_compaction_while_a_reader_is_on_its_way_loses_nothing() -> None:
    """The reader has come past the first claim; the second is gone when it comes there, its rows are not."""
    log = Log()
    log.write(log.writer("first"), {b"a": b"1", b"b": b"1"})
    reached = len(log.entries)
    log.write(log.writer("second"), {b"a": b"2"})
    log.write(log.writer("third"), {b"b": b"3"})
    before = list(log.entries)
    log.compact(len(log.entries), with_tombstones=False)
    read = folded(before[:reached] + log.entries[reached:])
    assert (read.rows, read.void, read.owner) == ({b"a": b"2", b"b": b"3"}, set(), "third")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"f": b"1"},
        {"f": b"one", "w": b"w", "n": b"1"},
        {"f": b"1", "w": b"\xff", "n": b"1"},
        {"f": b"1", "w": b"w", "n": b""},
    ],
)
def test_a_record_without_our_headers_is_unreadable(headers: dict[str, bytes]) -> None:
    fold = Fold()
    fold.take(b"a", b"?", headers, 0)
    assert fold.unreadable == 1


def test_a_newer_layout_is_refused() -> None:
    with pytest.raises(StateError, match="format 3"):
        Fold().take(b"a", b"?", record("w", 1, layout=3), 0)


@pytest.mark.parametrize("damage", [lambda row: row[:-1], lambda row: b"\0" + row[1:], lambda _: b""])
def test_a_damaged_row_is_left_out_and_counted(damage: Callable[[bytes], bytes]) -> None:
    log = Log()
    log.write(log.writer("w"), {b"a": b"row"})
    at = next(offset for offset, entry in enumerate(log.entries) if entry.key == b"a")
    entry = log.entries[at]
    log.entries[at] = entry._replace(value=damage(entry.value or b""))
    fold = log.fold()
    assert (fold.rows, fold.unreadable) == ({}, 1)
