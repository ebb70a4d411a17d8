"""Kafka batches as they are fetched: what is compressed unfolds to so much and no more."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alerts import RejectReason
from stream.config import Settings
from stream.core.nouns import Record, Topic
from stream.shell import batches
from stream.shell.frames import Batches
from stream.shell.unfolding import Unfolding, UnfoldsTooFarError, unfold_at_most
from tests.flow.timeline import watch
from tests.unit.wire import CODECS, GZIP, LZ4, PLAIN, ZSTD, a_batch

LIMIT = 1_000_000
HEAD_BYTES = 61
"""What stands before the records of a batch; a broker writes some of it anew."""

HERE = TP("driftline.predictions", 0)


@pytest.fixture(autouse=True)
def a_limit() -> Iterator[None]:
    unfold_at_most(LIMIT)
    yield
    unfold_at_most(Settings().batch_bytes)


class Fetched:
    """What aiokafka keeps of an answer, read bit by bit."""

    def __init__(self, *parts: bytes, offset: int = 0) -> None:
        records = Batches(b"".join(parts))
        unread = PartitionRecords(
            TopicPartition(*HERE), records, [], offset, None, None, check_crcs=True, isolation_level=0
        )
        self.state = SimpleNamespace(
            paused=False, position=offset, consumed_to=self._consumed_to, timestamp=5_000
        )
        assignment = SimpleNamespace(active=True, state_value=lambda _tp: self.state)
        self.result = FetchResult(HERE, assignment=assignment, partition_records=unread, backoff=0)
        self.reached: dict[TP, batches.Reached] = {}

    def _consumed_to(self, offset: int) -> None:
        self.state.position = offset

    def next(self, at_least: int | None = None) -> list[Any]:
        return batches._whole_batches(self.result, at_least, self.reached, None)  # noqa: SLF001 - what drain() calls

    @property
    def ends(self) -> dict[TP, int]:
        return {tp: reached.stop for tp, reached in self.reached.items()}

    def offsets(self, at_least: int | None = None) -> list[int]:
        return [record.offset for record in self.next(at_least)]


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_compressed_is_read(codec: int) -> None:
    values = [bytes([n]) * 1_000 for n in range(50)]
    assert [record.value for record in Fetched(a_batch(codec, 0, *values)).next()] == values


def test_an_answer_that_is_read_to_its_end_moves_the_position_behind_it_and_is_dropped() -> None:
    fetched = Fetched(a_batch(PLAIN, 0, b"a", b"b"), a_batch(PLAIN, 2, b"c"))
    assert fetched.offsets() == [0, 1, 2]
    assert fetched.state.position == 3
    assert not fetched.result.has_more()


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_unfolds_too_far_is_one_record_that_says_so(codec: int) -> None:
    bomb = a_batch(codec, 2, *[bytes(100_000)] * 20)
    fetched = Fetched(a_batch(PLAIN, 0, b"a", b"b"), bomb, a_batch(codec, 22, b"z"))
    first, second, stands, last = fetched.next()
    assert (first.value, second.value, last.value) == (b"a", b"b", b"z")
    assert (stands.offset, stands.value) == (2, None)
    assert fetched.ends == {HERE: 23}


def test_such_a_record_is_rejected_as_too_large() -> None:
    (stands,) = Fetched(a_batch(GZIP, 0, bytes(2 * LIMIT))).next()
    record = Record(Topic.PREDICTIONS, 0, stands.offset, 0.0, stands.value, stands.key, stands.headers)
    t = watch()
    t.step(record)
    (rejected,) = t.rejected
    assert rejected.reason is RejectReason.TOO_LARGE
    assert str(LIMIT) in rejected.detail
    assert t.pipeline.positions[Topic.PREDICTIONS] == 1


def damaged(batch: bytes, was: bytes, is_: bytes) -> bytes:
    """Alter a batch as a producer could: its checksum is right."""
    raw = bytearray(batch.replace(was, is_))
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


UNREADABLE = {
    "a header's name that is no UTF-8": (PLAIN, b"name", b"\xff\xfe\xfd\xfc"),
    "a header that is cut off": (PLAIN, b"\x08name", b"\x7ename"),
    "no gzip": (GZIP, b"\x1f\x8b", b"\x1f\x8c"),
    "no zstd": (ZSTD, b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfe"),
}


@pytest.mark.parametrize("how", UNREADABLE)
def test_records_that_cannot_be_read_are_rejected_and_those_around_them_are_taken(how: str) -> None:
    codec, was, is_ = UNREADABLE[how]
    bad = damaged(a_batch(codec, 2, b"c", b"d", b"e", names={1: "name"}), was, is_)
    fetched = Fetched(a_batch(PLAIN, 0, b"a", b"b"), bad, a_batch(PLAIN, 5, b"z"))
    *read, stands, last = fetched.next()
    assert [record.value for record in read] == ([b"a", b"b", b"c"] if codec == PLAIN else [b"a", b"b"])
    assert (stands.offset, stands.value, last.value) == (len(read), None, b"z")
    assert fetched.ends == {HERE: 6}
    t = watch()
    t.step(Record(Topic.PREDICTIONS, 0, stands.offset, 0.0, None, None, stands.headers))
    (rejected,) = t.rejected
    assert rejected.reason is RejectReason.MALFORMED
    assert "to offset 4, are not read" in rejected.detail


def test_a_batch_that_was_damaged_on_its_way_is_an_error() -> None:
    with pytest.raises(CorruptRecordException):
        Fetched(a_batch(PLAIN, 0, b"abc").replace(b"abc", b"abd")).next()


changes = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=9), st.integers(0, 9)), max_size=4)
"""Where in a batch, what stands there then, and how many bytes that replaces."""


def check_hurt(codec: int, hurt: list[tuple[int, bytes, int]]) -> None:
    """Check that a batch a producer altered is read or stands for itself, and that others are read."""
    batch = a_batch(codec, 1, b"c", b"d" * 50, names={0: "name"})
    for place, put, length in hurt:
        start = HEAD_BYTES + place % (len(batch) - HEAD_BYTES + 1)
        batch = batch[:start] + put + batch[start + length :]
    fetched = Fetched(a_batch(PLAIN, 0, b"a"), damaged(batch, b"", b""), a_batch(PLAIN, 3, b"z"))
    offsets = fetched.offsets()
    assert (offsets[0], offsets[-1]) == (0, 3)
    assert fetched.ends == {HERE: 4}


@settings(deadline=None, max_examples=300)
@given(codec=st.sampled_from((PLAIN, *CODECS)), hurt=changes)
def test_whatever_a_producer_makes_of_a_batch_is_read_or_stands_for_itself(
    codec: int, hurt: list[tuple[int, bytes, int]]
) -> None:
    check_hurt(codec, hurt)


@pytest.mark.parametrize("codec", CODECS)
def test_up_to_the_bound_all_comes_out_and_beyond_it_nothing(codec: int) -> None:
    body = bytes(range(256)) * 100
    record = a_batch(codec, 0, body)[61:]
    unfold = getattr(Unfolding(len(body) + 100), {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}[codec])
    whole = unfold(record)
    name = unfold.__name__
    assert body in whole
    assert getattr(Unfolding(len(whole)), name)(record) == whole
    with pytest.raises(UnfoldsTooFarError, match=str(len(whole) - 1)):
        getattr(Unfolding(len(whole) - 1), name)(record)


def test_a_batch_of_very_many_records_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 10)
    fetched = Fetched(a_batch(ZSTD, 0, *[b"x"] * 25), a_batch(ZSTD, 25, b"y"))
    assert fetched.offsets(at_least=1) == list(range(10))
    assert fetched.ends == {HERE: 10}
    assert fetched.offsets(at_least=1) == list(range(10, 20))
    assert fetched.offsets(at_least=1) == list(range(20, 25))
    assert fetched.ends == {HERE: 25}
    assert fetched.offsets(at_least=1) == [25]


def test_much_that_was_compressed_waits_for_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "UNFOLDED_AT_ONCE", 1_500)
    fetched = Fetched(*(a_batch(LZ4, n, bytes(1_000)) for n in range(4)))
    assert fetched.offsets(at_least=5_000) == [0, 1]
    assert fetched.offsets(at_least=5_000) == [2, 3]


@pytest.mark.parametrize("where", ["key", "header"])
def test_what_is_large_outside_of_values_counts_too(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(batches, "UNFOLDED_AT_ONCE", 1_500)
    key, headers = (bytes(1_000), []) if where == "key" else (None, [("h", bytes(1_000))])
    parts: list[bytes] = []
    for n in range(4):
        builder = DefaultRecordBatchBuilder(2, LZ4, 0, -1, -1, -1, 2**30)
        builder.append(0, 1_000, key, b"", headers)
        parts.append(n.to_bytes(8, "big") + bytes(builder.build())[8:])
    fetched = Fetched(*parts)
    assert fetched.offsets(at_least=5_000) == [0, 1]
    assert fetched.offsets(at_least=5_000) == [2, 3]


def test_a_batch_is_read_on_from_an_offset_within_it() -> None:
    assert Fetched(a_batch(GZIP, 0, *[b"x"] * 5), offset=3).offsets() == [3, 4]


def test_it_says_about_how_many_bytes_were_read() -> None:
    plain, packed = a_batch(PLAIN, 0, b"a", b"b"), a_batch(GZIP, 2, b"x" * 5_000, bytes(5_000))
    fetched = Fetched(plain, packed)
    fetched.next(1)
    assert len(packed) > len(plain)
    assert fetched.reached == {HERE: batches.Reached(2, len(plain), 5.0)}
    fetched.next(1)
    assert fetched.reached == {HERE: batches.Reached(4, len(packed) + 10_000, 5.0)}


def test_a_batch_that_is_read_in_parts_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "AT_ONCE", 2)
    whole = a_batch(PLAIN, 0, *[b"a"] * 5)
    fetched = Fetched(whole, a_batch(PLAIN, 5, *[b"z" * 1_000] * 5))
    sizes = []
    for at_least in (2, 2, 1):
        fetched.next(at_least)
        sizes.append(fetched.reached[HERE].size)
    assert sizes == [len(whole), 0, 0]


def test_what_is_left_is_read_too_where_it_is_no_more_than_what_was() -> None:
    fetched = Fetched(*(a_batch(PLAIN, first, b"a") for first in range(5)))
    assert fetched.offsets(2) == [0, 1]
    assert fetched.offsets(2) == [2, 3, 4]
    assert not fetched.result.has_more()


def test_what_was_fetched_is_let_go_when_it_is_read() -> None:
    fetched = Fetched(a_batch(PLAIN, 0, b"a"))
    kept = weakref.ref(fetched.result._partition_records)  # noqa: SLF001 - that it is gone is asked
    fetched.next()
    assert kept() is None
