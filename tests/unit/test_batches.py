"""Kafka batches as they are fetched: what is compressed unfolds to so much and no more."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from schemas.alerts import RejectReason
from stream.config import Settings
from stream.core.nouns import Record, Topic
from stream.shell import batches
from stream.shell.unfolding import Unfolding, UnfoldsTooFarError, unfold_at_most
from tests.flow.timeline import watch

GZIP, SNAPPY, LZ4, ZSTD = CODECS = (1, 2, 3, 4)
PLAIN = 0
LIMIT = 1_000_000
HERE = TP("driftline.predictions", 0)


@pytest.fixture(autouse=True)
def a_limit() -> Iterator[None]:
    unfold_at_most(LIMIT)
    yield
    unfold_at_most(Settings().batch_bytes)


def a_batch(codec: int, first: int, *values: bytes) -> bytes:
    """Write a batch as a broker would hand it over: its first record at offset *first*."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**30)
    for n, value in enumerate(values):
        builder.append(n, 1_000 + n, None, value, [])
    batch = bytearray(builder.build())
    batch[:8] = first.to_bytes(8, "big")
    return bytes(batch)


class Fetched:
    """What aiokafka keeps of an answer, read bit by bit."""

    def __init__(self, *parts: bytes, offset: int = 0) -> None:
        records = MemoryRecords(b"".join(parts))
        unread = PartitionRecords(
            TopicPartition(*HERE), records, [], offset, None, None, check_crcs=True, isolation_level=0
        )
        self.state = SimpleNamespace(paused=False, position=offset, consumed_to=self._consumed_to)
        assignment = SimpleNamespace(active=True, state_value=lambda _tp: self.state)
        self.result = FetchResult(HERE, assignment=assignment, partition_records=unread, backoff=0)
        self.ends: dict[TP, int] = {}

    def _consumed_to(self, offset: int) -> None:
        self.state.position = offset

    def next(self, at_least: int | None = None) -> list[Any]:
        return batches._whole_batches(self.result, at_least, self.ends, None)  # noqa: SLF001 - what drain() calls

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


def test_a_batch_is_read_on_from_an_offset_within_it() -> None:
    assert Fetched(a_batch(GZIP, 0, *[b"x"] * 5), offset=3).offsets() == [3, 4]
