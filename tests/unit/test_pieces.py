"""Rows that are too large for a record are written in pieces, and found as they were."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.shell import pieces as module
from stream.shell.pieces import MARK, PIECE_BYTES, Pieces, further, is_further

KEY = b'["shape","m","1"]'
LARGE = bytes(range(256)) * 10_000


def stored(rows: Mapping[bytes, bytes | None], before: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Give what a topic holds after a checkpoint."""
    after = {**before, **rows}
    return {key: row for key, row in after.items() if row is not None}


def test_a_small_row_is_stored_as_it_is() -> None:
    rows = {KEY: b"x" * PIECE_BYTES, b"other": None}
    assert Pieces().split(rows) == rows
    assert Pieces().join({KEY: b"x"}) == {KEY: b"x"}


def test_no_piece_is_larger_than_a_broker_takes_by_default() -> None:
    pieces = Pieces().split({KEY: LARGE})
    assert sorted(pieces) == [KEY, further(KEY, 1), further(KEY, 2)]
    assert max(len(piece or b"") for piece in pieces.values()) < 1_000_000
    assert Pieces().join(stored(pieces, {})) == {KEY: LARGE}


@pytest.mark.parametrize("then", [b"small", None, LARGE[:1_000_000]])
def test_pieces_that_a_row_no_longer_has_are_deleted_by_who_wrote_them_and_by_who_took_over(
    then: bytes | None,
) -> None:
    wrote, took_over = Pieces(), Pieces()
    topic = stored(wrote.split({KEY: LARGE}), {})
    took_over.join(topic)
    for pieces in (wrote, took_over):
        after = stored(pieces.split({KEY: then}), topic)
        assert Pieces().join(after) == ({} if then is None else {KEY: then})
        assert len(after) == (0 if then is None else 1 + (len(then) > PIECE_BYTES))


@pytest.mark.parametrize("damage", ["first", "further", "gone", "altered", "another"])
def test_a_row_whose_pieces_do_not_go_together_cannot_be_read_and_is_deleted_whole(damage: str) -> None:
    topic = stored(Pieces().split({KEY: LARGE}), {})
    match damage:
        case "first":
            del topic[KEY]
        case "further":
            del topic[further(KEY, 1)]
        case "gone":
            topic[KEY] = b""
        case "altered":
            topic[further(KEY, 2)] = topic[further(KEY, 2)][:-1] + b"?"
        case _:
            topic[further(KEY, 7)] = b"?"
    pieces = Pieces()
    rows = pieces.join(topic)
    assert rows == {KEY: bytes([MARK])}
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(rows[KEY])
    assert stored(pieces.split({KEY: None}), topic) == {}


def test_a_key_is_that_of_a_further_piece_only_with_its_number() -> None:
    assert is_further(further(KEY, 1))
    assert [is_further(key) for key in (KEY, KEY + b"#", KEY + b"#0", b"#1", KEY + b"#1x")] == [False] * 5


@given(
    st.lists(
        st.dictionaries(st.sampled_from([KEY, b'["x"]', b'["y"]']), st.none() | st.binary(max_size=40)),
        max_size=6,
    ),
    st.integers(0, 6),
)
def test_whatever_is_written_over_what_the_rows_are_as_last_written(
    checkpoints: list[dict[bytes, bytes | None]], restart_at: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE_BYTES", 8)
        pieces, topic, expected = Pieces(), dict[bytes, bytes](), dict[bytes, bytes]()
        for number, rows in enumerate(checkpoints):
            if number == restart_at:
                pieces = Pieces()
                assert pieces.join(topic) == expected
            topic, expected = stored(pieces.split(rows), topic), stored(rows, expected)
        assert Pieces().join(topic) == expected
        assert sum(map(is_further, topic)) == sum((len(row) - 1) // 8 for row in expected.values() if row)
