"""What is known of the ids that were taken is what a list of the last chunks says."""

from __future__ import annotations

from typing import Final

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.core.seen import CHUNK_IDS, SeenIds

BATCHES: Final = st.sampled_from([1, 3, 40, 700, CHUNK_IDS, 5_000])


def hashes(ids: list[str]) -> NDArray[np.int64]:
    return np.array([hash(event_id) for event_id in ids], dtype=np.int64)


def remembered(count: int, bound: int) -> int:
    """Give the first of *count* ids that is still known: full chunks are forgotten beyond the bound."""
    closed = count // CHUNK_IDS
    kept = max(1, -(-bound // CHUNK_IDS))
    return max(0, closed - kept) * CHUNK_IDS


@settings(deadline=None)
@given(
    bound=st.sampled_from([1, CHUNK_IDS - 1, CHUNK_IDS, CHUNK_IDS + 1, 3 * CHUNK_IDS, 100_000]),
    steps=st.lists(st.tuples(st.booleans(), st.booleans(), BATCHES), max_size=12),
)
def test_ids_are_known_as_they_would_be_one_by_one(bound: int, steps: list[tuple[bool, bool, int]]) -> None:
    seen, rows, count = SeenIds(bound), dict[str, bytes](), 0
    for one_by_one, is_restart, more in steps:
        ids = [f"id-{number}" for number in range(count, count + more)]
        if one_by_one:
            for event_id in ids:
                seen.add(event_id)
        else:
            assert seen.add_new(ids, hashes(ids))
            assert not seen.add_new([*ids[-1:], "never"], hashes([*ids[-1:], "never"]))
        count += more
        if is_restart:
            for number, row in seen.rows().items():
                if row is None:
                    rows.pop(number, None)
                else:
                    rows[number] = row
            seen = SeenIds(bound)
            assert seen.restore(rows) == []
        first = remembered(count, bound)
        assert len(seen) == count - first
        every = [f"id-{number}" for number in range(count)]
        assert [event_id in seen for event_id in every] == [number >= first for number in range(count)]
