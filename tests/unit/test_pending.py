"""Predictions that wait in columns: what is written when, what is packed, what is of no use when restored."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from stream.core.chunks import CLOSED_FROM, PACKED_PLACES
from stream.core.entries import Newcomers
from stream.core.kept import CHUNK_PLACES
from stream.core.nouns import PredictionKept
from stream.core.pending import Pending
from stream.core.scalars import Scalars, numbers_of
from stream.core.waiting import Waiting

Rows = dict[str, bytes]


def hashes(numbers: Iterable[int]) -> NDArray[np.int64]:
    return np.array([hash(str(number)) for number in numbers], dtype=np.int64)


def add(pending: Pending, numbers: Iterable[int]) -> int | None:
    numbers = list(numbers)
    ids = [str(number) for number in numbers]
    count = len(ids)
    times = np.array(numbers, dtype=np.float64)
    outputs, scores = Scalars.of([True] * count), np.full(count, np.nan)
    return pending.add(Newcomers(ids, hashes(numbers), times, ["1"] * count, outputs, scores))


def take(pending: Pending, numbers: Iterable[int]) -> None:
    hashed = hashes(numbers)
    pending.take(pending.find(hashed), hashed)


def of(numbers: Iterable[int], bound: int = 1_000_000) -> Pending:
    pending = Pending(bound)
    add(pending, numbers)
    return pending


def keep(pending: Pending, rows: Rows) -> Rows:
    for key, row in pending.rows().items():
        if row is None:
            del rows[key]
        else:
            rows[key] = row
    return rows


def there(pending: Pending, numbers: Iterable[int]) -> list[int]:
    return [number for number in numbers if str(number) in pending]


def test_a_full_chunk_is_written_once() -> None:
    pending = of(range(CHUNK_PLACES + 10))
    assert list(pending.rows()) == ["0", "1"]
    assert pending.rows() == {}
    add(pending, range(10_000, 10_001))
    assert list(pending.rows()) == ["1"]


def test_a_chunk_is_closed_when_it_is_written_and_no_longer_small() -> None:
    pending = of(range(CLOSED_FROM))
    assert list(pending.rows()) == ["0"]
    add(pending, [1_000])
    assert list(pending.rows()) == ["1"]


def test_what_was_taken_of_a_closed_chunk_is_a_small_row() -> None:
    pending = of(range(CHUNK_PLACES))
    whole = pending.rows()["0"] or b""
    take(pending, range(5))
    rows = pending.rows()
    assert list(rows) == ["0/taken"]
    assert len(rows["0/taken"] or whole) == CHUNK_PLACES // 8 < len(whole) / 50


def test_both_rows_are_deleted_with_the_last_prediction() -> None:
    pending = of(range(CHUNK_PLACES))
    pending.rows()
    take(pending, range(10))
    pending.rows()
    take(pending, range(10, CHUNK_PLACES))
    assert pending.rows() == {"0": None, "0/taken": None}


def test_what_came_and_went_between_two_checkpoints_is_never_written() -> None:
    pending = of(range(CHUNK_PLACES + 5))
    take(pending, range(CHUNK_PLACES + 5))
    assert pending.rows() == {}
    assert not len(pending.oldest_times(1))


def test_a_chunk_of_which_little_is_left_is_written_anew_and_small() -> None:
    pending = of(range(2 * CHUNK_PLACES))
    rows = keep(pending, {})
    whole = len(rows["0"])
    take(pending, range(10))
    keep(pending, rows)
    take(pending, range(10, CHUNK_PLACES - 20))
    keep(pending, rows)
    assert sorted(rows) == ["0", "1"]
    assert len(rows["0"]) < whole / 50
    assert there(pending, range(CHUNK_PLACES)) == list(range(CHUNK_PLACES - 20, CHUNK_PLACES))


def test_the_few_that_are_left_of_many_chunks_share_some() -> None:
    pending, rows = Pending(1_000_000), Rows()
    left = range(0, 60 * CHUNK_PLACES, 512)
    for start in range(0, 60 * CHUNK_PLACES, CHUNK_PLACES):
        add(pending, range(start, start + CHUNK_PLACES))
        keep(pending, rows)
        take(pending, (number for number in range(start, start + CHUNK_PLACES) if number % 512))
        keep(pending, rows)
    assert len(pending) == len(left)
    assert len(rows) <= 8
    restored = Pending(1_000_000)
    assert restored.restore(rows) == []
    assert there(restored, left) == list(left)
    assert restored.take_oldest_before(512.0 * 100) == 100
    assert restored.oldest_times(1).tolist() == [512.0 * 100]


def test_packed_chunks_are_no_larger_than_they_may_be_and_stay_in_order() -> None:
    pending, rows = Pending(1_000_000), Rows()
    left = [number for number in range(10 * CHUNK_PLACES) if number % 5 == 0]
    add(pending, range(10 * CHUNK_PLACES))
    take(pending, (number for number in range(10 * CHUNK_PLACES) if number % 5))
    keep(pending, rows)
    sizes = [msgspec.msgpack.decode(row) for row in rows.values()]
    assert max(len(ids) for ids, *_ in sizes) <= PACKED_PLACES
    assert [event_id for ids, *_ in sizes for event_id in ids] == [str(number) for number in left]


def test_what_is_packed_from_several_chunks_keeps_its_version_and_its_output() -> None:
    pending, want = Pending(1_000_000), dict[int, PredictionKept]()
    for chunk, (versions, outputs) in enumerate([("ab", ["yes", "no"]), ("ba", ["maybe", "no"])]):
        numbers = range(chunk * CHUNK_PLACES, (chunk + 1) * CHUNK_PLACES)
        kept = [PredictionKept(float(n), versions[n % 2], outputs[n // 2 % 2], n / 2) for n in numbers]
        want |= dict(zip(numbers, kept, strict=True))
        times, of_each, out, scores = zip(*kept, strict=True)
        ids = [str(n) for n in numbers]
        columns = np.array(times), of_each, Scalars.of(out), numbers_of(scores)
        pending.add(Newcomers(ids, hashes(numbers), *columns))
    take(pending, (number for number in want if number % 41))
    rows = keep(pending, {})
    assert list(rows) == ["0"]
    restored = Pending(1_000_000)
    restored.restore(rows)
    left = [number for number in want if number % 41 == 0]
    for these in (pending, restored):
        assert [these.get(str(number)) for number in left] == [want[number] for number in left]


def test_what_stands_all_over_the_chunks_is_found_and_taken() -> None:
    pending = of(range(20 * CHUNK_PLACES))
    some = list(range(7, 20 * CHUNK_PLACES, 1_000))
    places = pending.find(hashes(some))
    assert pending.times_at(places).tolist() == some
    pending.take(places, hashes(some))
    assert len(pending) == 20 * CHUNK_PLACES - len(some)
    assert there(pending, some) == []
    assert (pending.find(hashes(some)) == -1).all()


def test_the_oldest_make_room() -> None:
    pending = Pending(100)
    assert add(pending, range(60)) == 0
    assert add(pending, range(60, 130)) == 30
    assert add(pending, [130]) == 1
    assert there(pending, range(131)) == list(range(31, 131))


def test_more_than_the_bound_at_once_leaves_the_last_ones() -> None:
    pending = Pending(10)
    assert add(pending, range(2 * CHUNK_PLACES)) == 2 * CHUNK_PLACES - 10
    assert there(pending, range(2 * CHUNK_PLACES)) == list(range(2 * CHUNK_PLACES - 10, 2 * CHUNK_PLACES))


def test_a_bound_that_was_lowered_evicts_all_that_is_too_many() -> None:
    rows = keep(of(range(20)), {})
    pending = Pending(5)
    pending.restore(rows)
    assert add(pending, [20]) == 16
    assert len(pending) == 5


def test_an_old_prediction_behind_a_younger_one_is_not_looked_for() -> None:
    pending = of([100, 1])
    assert pending.take_oldest_before(50.0) == 0
    assert pending.take_oldest_before(100.0) == 0
    assert pending.take_oldest_before(101.0) == 2


def test_what_is_added_after_a_restore_overwrites_no_row() -> None:
    pending = Pending(100)
    pending.restore(keep(of(range(10)), {}))
    add(pending, [50])
    assert list(pending.rows()) == ["1"]


def test_rows_of_the_former_layout_are_read() -> None:
    former = Waiting(1_000, PredictionKept)
    for number in range(300):
        former.add(str(number), PredictionKept(float(number), "v", "yes", 0.5))
    rows = {key: row for key, row in former.rows().items() if row is not None}
    pending = Pending(1_000)
    assert pending.restore(rows) == []
    assert pending.get("299") == PredictionKept(299.0, "v", "yes", 0.5)
    take(pending, [3])
    assert list(pending.rows()) == ["0/taken"]


@pytest.mark.parametrize(
    "damaged", [b"", b"\xc1", b"\x94", b"\x81\xa1x\x01", b"\x94\x91\xa1x\xc4\x00\x90\x90"]
)
def test_a_chunk_that_cannot_be_read_is_lost_alone_with_what_was_taken_of_it(damaged: bytes) -> None:
    pending = of(range(2 * CHUNK_PLACES))
    rows = keep(pending, {})
    take(pending, [1])
    keep(pending, rows)
    rows["0"] = damaged
    restored = Pending(1_000_000)
    assert sorted(restored.restore(rows)) == ["0", "0/taken"]
    assert len(restored) == CHUNK_PLACES
    add(restored, [0])
    assert list(restored.rows()) == ["2"]


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"\x00" * 513])
def test_a_chunk_is_lost_where_it_is_unknown_what_was_taken_of_it(damaged: bytes) -> None:
    pending = of(range(CHUNK_PLACES))
    rows = {**keep(pending, {}), "0/taken": damaged}
    restored = Pending(1_000_000)
    assert sorted(restored.restore(rows)) == ["0", "0/taken"]
    assert len(restored) == 0


@pytest.mark.parametrize("key", ["none", "-1", "01", "1/else", "/taken", "7/taken", "1/taken/taken", ""])
def test_a_key_that_no_row_has_is_told(key: str) -> None:
    rows = keep(of(range(5)), {})
    restored = Pending(10)
    assert restored.restore({**rows, key: rows["0"]}) == [key]
    assert len(restored) == 5


def test_columns_that_do_not_go_together_are_not_read() -> None:
    row = keep(of(range(3)), {})["0"]
    ids, entries, versions, texts = msgspec.msgpack.decode(row)
    broken = [
        [ids[:2], entries, versions, texts],
        [ids, entries[:-1], versions, texts],
        [ids, entries[:-27], versions, texts],
        [ids, entries, [], texts],
        [ids, entries[:-1] + b"\x06", versions, texts],
        [ids, entries[:-1] + b"\x07", versions, texts],
        [ids, entries[:-1] + b"\x08", versions, texts],
        [ids, entries[:-1] + b"\x4a", versions, texts],
        [ids, b"\xff" * 8 + entries[8:], versions, texts],
    ]
    for parts in broken:
        assert Pending(10).restore({"0": msgspec.msgpack.encode(parts)}) == ["0"]


def test_a_former_row_whose_number_does_not_fit_is_not_read() -> None:
    kept = PredictionKept(0.0, "v", 2**63, None)
    assert Pending(10).restore({"0": msgspec.msgpack.encode({"a": kept})}) == ["0"]


def test_an_id_that_is_in_two_chunks_waits_once_as_the_younger() -> None:
    rows = keep(of([1, 2]), {})
    rows["1"] = keep(of([2, 3]), {})["0"]
    restored = Pending(10)
    assert restored.restore(rows) == []
    assert len(restored) == 3
    assert restored.take_oldest_before(1e9) == 3
    assert keep(restored, rows) == {}


def test_an_id_that_is_twice_in_a_chunk_waits_once_as_the_younger() -> None:
    ids, *columns = msgspec.msgpack.decode(keep(of([1, 2, 3]), {})["0"])
    assert ids == ["1", "2", "3"]
    restored = Pending(10)
    assert restored.restore({"0": msgspec.msgpack.encode([["1", "2", "1"], *columns])}) == []
    assert len(restored) == 2
    assert restored.get("1") == PredictionKept(time=3.0, version="1", output=True, score=None)


def test_a_chunk_of_which_all_was_taken_is_deleted() -> None:
    rows = keep(of(range(8)), {})
    restored = Pending(10)
    assert restored.restore({**rows, "0/taken": b"\xff"}) == []
    assert len(restored) == 0
    assert restored.rows() == {"0": None, "0/taken": None}


def test_nothing_restored_is_empty() -> None:
    pending = Pending(10)
    assert pending.restore({}) == []
    assert not len(pending.oldest_times(1))
    assert pending.take_oldest_before(1e9) == 0
    assert pending.get("x") is None
    assert pending.take_id("x") is None


def test_predictions_that_come_one_by_one_fill_chunks_as_well() -> None:
    pending = of(range(CHUNK_PLACES - 3))
    add(pending, range(CHUNK_PLACES - 3, CHUNK_PLACES + 5))
    assert list(pending.rows()) == ["0", "1"]
    assert there(pending, range(CHUNK_PLACES + 5)) == list(range(CHUNK_PLACES + 5))


def test_adding_nothing_evicts_nothing() -> None:
    assert add(Pending(1), []) == 0
