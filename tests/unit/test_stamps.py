"""Stamps: times that are written alike are what each of them is, read alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import EARLIEST, LATEST
from stream.core.stamps import seconds_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

times = st.integers(int(EARLIEST.timestamp() * 1e6), int(LATEST.timestamp() * 1e6) - 1).map(
    lambda micros: EPOCH + timedelta(microseconds=micros)
)


@given(
    moments=st.lists(times, min_size=1, max_size=20),
    decimals=st.integers(0, 6),
    offset=st.sampled_from(("Z", "+00:00")),
)
def test_stamps_are_read_to_the_last_bit(moments: list[datetime], decimals: int, offset: str) -> None:
    stamps = []
    for moment in moments:
        whole, _, fraction = moment.isoformat(timespec="microseconds")[:26].partition(".")
        stamps.append(f"{whole}.{fraction[:decimals]}{offset}" if decimals else f"{whole}{offset}")
    read = seconds_of("".join(stamps).encode(), len(stamps[0]))
    assert read is not None
    assert read.tolist() == [datetime.fromisoformat(stamp).timestamp() for stamp in stamps]


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-02-30T10:00:00Z", "2026-13-01T10:00:00Z", "0000-01-01T10:00:00Z", "2026-03-01T24:00:00Z",
        "2026-03-01T10:60:00Z", "2026-03-01T10:00:60Z", "2026-03-01T10:00:0xZ", "2026-03-01T10:00:00z",
        "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z",
        "2026-03-01t10:00:00Z", "2026-03-01 10:00:00Z", "2026/03/01T10:00:00Z", "2026-03-01T1:000:00Z",
    ],
)  # fmt: skip
def test_what_is_no_such_time_is_not_read(stamp: str) -> None:
    good = "2026-03-01T10:00:00Z"
    assert seconds_of(f"{good}{stamp}{good}".encode(), len(good)) is None
    assert seconds_of(f"{stamp}{good}".encode(), len(good)) is None


def test_offsets_beyond_utc_are_not_read() -> None:
    assert seconds_of(b"2026-03-01T10:00:00+01:00", 25) is None
    assert seconds_of(b"2026-03-01T10:00:00+00:002026-03-01T10:00:00+00:01", 25) is None
