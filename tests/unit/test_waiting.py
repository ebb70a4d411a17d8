"""What waits by id: found again, evicted oldest first, written chunk by chunk."""

from __future__ import annotations

from typing import NamedTuple

from stream.core.waiting import CHUNK_ENTRIES, Waiting


class Entry(NamedTuple):
    """Something that waits."""

    time: float
    text: str = ""


def waiting(count: int = 0, bound: int = 1_000_000) -> Waiting[Entry]:
    those = Waiting(bound, Entry)
    for number in range(count):
        those.add(str(number), Entry(float(number)))
    return those


def keep(those: Waiting[Entry], rows: dict[str, bytes]) -> dict[str, bytes]:
    for number, row in those.rows().items():
        if row is None:
            rows.pop(number, None)
        else:
            rows[number] = row
    return rows


def test_what_waits_is_found_by_its_id_and_stays() -> None:
    those = waiting(3)
    assert those.get("1") == those.get("1") == Entry(1.0)
    assert "1" in those
    assert len(those) == 3


def test_what_is_taken_waits_no_longer() -> None:
    those = waiting(3)
    assert those.take("1") == Entry(1.0)
    assert those.take("1") is None
    assert those.get("1") is None
    assert len(those) == 2


def test_an_entry_replaces_the_one_of_the_same_id_and_counts_as_new() -> None:
    those = waiting(3, bound=3)
    assert those.add("0", Entry(9.0, "again")) == 0
    assert those.get("0") == Entry(9.0, "again")
    assert those.add("3", Entry(3.0)) == 1
    assert "1" not in those
    assert "0" in those


def test_the_oldest_make_room_at_the_bound() -> None:
    those = waiting(3 * CHUNK_ENTRIES, bound=10)
    assert len(those) == 10
    assert str(3 * CHUNK_ENTRIES - 10) in those


def test_a_bound_that_was_lowered_evicts_all_that_is_too_many() -> None:
    rows = keep(waiting(20), {})
    those = waiting(bound=5)
    those.restore(rows)
    assert those.add("new", Entry(1.0)) == 16
    assert len(those) == 5


def test_the_oldest_are_taken_as_long_as_they_are_before_a_time() -> None:
    those = waiting(600)
    assert [entry.time for entry in those.take_oldest_before(300.0)] == [float(n) for n in range(300)]
    assert len(those) == 300
    assert those.take_oldest_before(300.0) == []


def test_an_old_entry_behind_a_younger_one_is_not_looked_for() -> None:
    those = waiting()
    those.add("young", Entry(100.0))
    those.add("old", Entry(1.0))
    assert those.take_oldest_before(50.0) == []


def test_the_oldest_is_found_behind_chunks_that_are_gone() -> None:
    those = waiting(4 * CHUNK_ENTRIES)
    for number in range(3 * CHUNK_ENTRIES):
        those.take(str(number))
    assert those.take_oldest_before(3.0 * CHUNK_ENTRIES + 1) == [Entry(3.0 * CHUNK_ENTRIES)]


def test_all_may_go_and_new_ones_come() -> None:
    those = waiting(CHUNK_ENTRIES)
    assert len(those.take_oldest_before(1e9)) == CHUNK_ENTRIES
    those.add("next", Entry(0.0))
    assert those.take_oldest_before(1.0) == [Entry(0.0)]
    assert those.take_oldest_before(1.0) == []


def test_only_chunks_that_changed_are_written() -> None:
    those = waiting(CHUNK_ENTRIES + 1)
    assert list(those.rows()) == ["0", "1"]
    assert those.rows() == {}
    those.take("5")
    assert list(those.rows()) == ["0"]


def test_a_chunk_that_is_empty_is_deleted() -> None:
    those = waiting(CHUNK_ENTRIES + 1)
    those.rows()
    for number in range(CHUNK_ENTRIES):
        those.take(str(number))
    assert those.rows() == {"0": None}


def test_what_is_restored_is_all_that_waited_in_its_order() -> None:
    those = waiting(1_000)
    for number in range(0, 1_000, 3):
        those.take(str(number))
    restored = waiting()
    assert restored.restore(keep(those, {})) == []
    assert len(restored) == len(those)
    assert restored.take_oldest_before(1e9) == those.take_oldest_before(1e9)


def test_what_is_added_after_a_restore_overwrites_no_row() -> None:
    those = waiting(10)
    rows = keep(those, {})
    restored = waiting()
    restored.restore(rows)
    restored.add("next", Entry(1.0))
    assert list(restored.rows()) == ["1"]


def test_a_chunk_that_cannot_be_read_is_lost_alone() -> None:
    rows = keep(waiting(2 * CHUNK_ENTRIES), {})
    rows["0"] = b"\xc1"
    rows["none"] = rows["1"]
    restored = waiting()
    assert sorted(restored.restore(rows)) == ["0", "none"]
    assert len(restored) == CHUNK_ENTRIES


def test_nothing_restored_is_empty() -> None:
    those = waiting()
    assert those.restore({}) == []
    assert those.take_oldest_before(1e9) == []
