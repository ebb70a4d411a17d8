"""Single records and rows that are made to hurt: too large, too deep, dated ahead, in another's place."""

from __future__ import annotations

import msgspec
import pytest

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import DETAIL_MAX_CHARACTERS, RAW_MAX_BYTES, RECORD_MAX_BYTES, decode_record, encode
from stream.core.join import Orphans
from stream.core.waiting import Waiting
from tests.flow.timeline import DAY, HOUR, MODEL, at, prediction, to_bytes, watch, with_horizons

SOURCE = Source(topic="driftline.predictions", partition=0, offset=0)
DEPTH = 100_000


def of_size(size: int) -> bytes:
    """Give a good event of exactly *size* bytes, most of them in a field that nobody reads."""
    plain = to_bytes(at(0), prediction("large", extra=""))
    return plain.replace(b'"extra":""', b'"extra":"' + b"x" * (size - len(plain)) + b'"')


def test_a_record_of_the_largest_size_is_taken_and_a_larger_one_is_not() -> None:
    taken, refused = (decode_record(of_size(RECORD_MAX_BYTES + more), SOURCE)[0] for more in (0, 1))
    assert not isinstance(taken, Rejected)
    assert isinstance(refused, Rejected)
    assert refused.reason is RejectReason.TOO_LARGE


@pytest.mark.parametrize("size", [1_000_000, 10_000_000])
def test_an_id_of_megabytes_is_rejected_and_not_carried_on(size: int) -> None:
    (refused,) = decode_record(to_bytes(at(0), prediction("i" * size)), SOURCE)
    assert isinstance(refused, Rejected)
    assert len(refused.raw) == RAW_MAX_BYTES
    assert len(refused.detail) <= DETAIL_MAX_CHARACTERS
    assert refused.raw_size > size
    assert len(encode(refused)) < 2 * RAW_MAX_BYTES


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * DEPTH,
        b"[" * DEPTH + b"]" * DEPTH,
        b'{"a":' * DEPTH + b"1" + b"}" * DEPTH,
        to_bytes(at(0), prediction("deep", extra=0))[:-2] + b"[" * DEPTH + b"]" * DEPTH + b"}",
        b"[" + to_bytes(at(0), prediction("deep", extra=0))[:-2] + b"[" * DEPTH + b"]" * DEPTH + b"}]",
    ],
    ids=["open", "arrays", "objects", "in an unread field", "in an element"],
)
def test_what_is_nested_too_deeply_is_rejected(raw: bytes) -> None:
    assert [type(one) for one in decode_record(raw, SOURCE)] == [Rejected]


def test_an_event_as_far_ahead_as_may_be_makes_no_honest_event_late() -> None:
    t = watch(with_horizons(future_seconds=HOUR, lateness_seconds=DAY))
    t.now = at(0)
    t.push(at(HOUR), prediction("fast-clock"))
    t.push(at(HOUR + 1), prediction("too-fast"))
    for second in range(0, 100, 10):
        t.push(at(-second), prediction(f"honest-{second}"))  # its own clock goes backwards
    assert [one.reason for one in t.rejected] == [RejectReason.FUTURE]
    assert t.count("events_total") == 11


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), -1.0, 1e18])
def test_a_row_with_a_time_that_no_event_can_have_is_learned_again(clock: float) -> None:
    t = watch()
    t.push(at(0), prediction("a"))
    rows = {key: row for key, row in t.pipeline.rows().items() if row is not None}
    summary = msgspec.json.encode(("model", MODEL))
    fields = msgspec.msgpack.decode(rows[summary])
    fields[1] = clock
    again = watch()
    assert len(again.pipeline.restore({**rows, summary: msgspec.msgpack.encode(fields)})) == 1
    again.push(at(1), prediction("b"))
    assert again.count("events_total") == 1


@pytest.mark.parametrize(
    "row", [b'["series","\xff"]', b'[ "model", "ghost"]', b'["model", "ghost"]', b"\xff"]
)
def test_a_foreign_key_is_told_deleted_and_makes_no_model(row: bytes) -> None:
    t = watch()
    t.push(at(0), prediction("a"))
    rows = {key: value for key, value in t.pipeline.rows().items() if value is not None}
    again = watch()
    assert len(again.pipeline.restore({**rows, row: b"\xc1"})) == 1
    assert again.pipeline.models() == [MODEL]
    assert again.pipeline.rows()[row] is None


def test_rows_of_orphans_that_name_one_twice_or_lie_far_apart_do_not_hang() -> None:
    chunk = msgspec.msgpack.encode({"p": Orphans(at(0), [])})
    waiting = Waiting(10, Orphans)
    assert waiting.restore({"0": chunk, "999999999": chunk, "9" * 5_000: chunk}) == ["9" * 5_000]
    assert len(waiting.take_oldest_before(at(1))) == 1
    assert len(waiting) == 0
