"""The ids taken lately: what is remembered, what is forgotten, what is written."""

from __future__ import annotations

import msgspec

from stream.core.seen import CHUNK_IDS, SeenIds


def remembering(count: int, bound: int = 100_000) -> SeenIds:
    seen = SeenIds(bound)
    for number in range(count):
        seen.add(f"id-{number}")
    return seen


def kept_of(seen: SeenIds, rows: dict[str, bytes]) -> dict[str, bytes]:
    """Apply what changed to the rows that are kept."""
    for number, row in seen.rows().items():
        if row is None:
            rows.pop(number, None)
        else:
            rows[number] = row
    return rows


def test_an_id_is_known_once_it_was_added() -> None:
    seen = remembering(1)
    assert "id-0" in seen
    assert "id-1" not in seen


def test_at_least_the_bound_is_remembered() -> None:
    bound = 3 * CHUNK_IDS
    seen = remembering(10 * CHUNK_IDS, bound)
    assert all(f"id-{number}" in seen for number in range(10 * CHUNK_IDS - bound, 10 * CHUNK_IDS))


def test_at_most_two_chunks_more_than_the_bound_are_remembered() -> None:
    bound = 3 * CHUNK_IDS + 7
    seen = SeenIds(bound)
    for number in range(10 * CHUNK_IDS):
        seen.add(str(number))
        assert len(seen) <= bound + 2 * CHUNK_IDS
    assert "0" not in seen


def test_only_chunks_that_changed_are_written() -> None:
    seen = remembering(CHUNK_IDS + 5)
    assert list(seen.rows()) == ["0", "1"]
    assert seen.rows() == {}
    seen.add("one more")
    assert list(seen.rows()) == ["1"]


def test_a_chunk_that_is_forgotten_is_deleted() -> None:
    seen = remembering(CHUNK_IDS, bound=CHUNK_IDS)
    seen.rows()
    for number in range(CHUNK_IDS):
        seen.add(f"more-{number}")
    assert seen.rows()["0"] is None


def test_a_restored_one_remembers_and_goes_on_alike() -> None:
    seen, rows = SeenIds(2 * CHUNK_IDS), dict[str, bytes]()
    restored = SeenIds(2 * CHUNK_IDS)
    for number in range(9 * CHUNK_IDS):
        seen.add(str(number))
        if number % 1_500 == 0:
            rows = kept_of(seen, rows)
            restored = SeenIds(2 * CHUNK_IDS)
            assert restored.restore(rows) == []
            assert len(restored) == len(seen)
            assert str(number) in restored
    assert len(rows) <= 5


def test_a_full_last_chunk_is_closed_when_restored() -> None:
    seen = remembering(CHUNK_IDS)
    restored = SeenIds(100_000)
    restored.restore(kept_of(seen, {}))
    restored.add("next")
    assert msgspec.msgpack.decode(restored.rows()["1"] or b"") == ["next"]


def test_a_chunk_that_cannot_be_read_is_lost_alone() -> None:
    rows = kept_of(remembering(2 * CHUNK_IDS + 1), {})
    rows["0"] = b"\xc1 damaged"
    rows["no number"] = rows["1"]
    restored = SeenIds(100_000)
    assert sorted(restored.restore(rows)) == ["0", "no number"]
    assert "id-0" not in restored
    assert f"id-{CHUNK_IDS}" in restored
    assert f"id-{2 * CHUNK_IDS}" in restored


def test_after_a_chunk_was_lost_no_row_is_written_over_another() -> None:
    rows = kept_of(remembering(3 * CHUNK_IDS + 1), {})
    del rows["1"]
    restored = SeenIds(100_000)
    restored.restore(rows)
    restored.add("next")
    assert list(restored.rows()) == ["3"]


def test_nothing_restored_is_an_empty_one() -> None:
    seen = SeenIds(10)
    assert seen.restore({}) == []
    assert len(seen) == 0
