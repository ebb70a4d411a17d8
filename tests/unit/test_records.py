"""Records in columns are the records that they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from schemas.codec import Headers
from stream.core.merge import Merge
from stream.core.nouns import Record, Topic
from stream.core.records import Picked, Records, only


def a_record(offset: int, topic: Topic = Topic.PREDICTIONS, headers: Headers = ()) -> Record:
    value = b"v%d" % offset if offset % 3 else None
    return Record(topic, 4, offset, 1.5 + offset, value, b"k%d" % offset, headers)


RECORDS = [a_record(offset) for offset in range(7)]
LABELS = [a_record(offset, Topic.FEEDBACK) for offset in range(7)]


def merged(cut: int) -> Sequence[Record]:
    """Merge the records, which come in two runs, and the labels."""
    merge = Merge({}, max_idle=0.0)
    merge.offer(Topic.PREDICTIONS, 0, RECORDS[:cut], 1.0)
    merge.offer(Topic.PREDICTIONS, cut, RECORDS[cut:], 1.0)
    merge.offer(Topic.FEEDBACK, 0, LABELS, 1.0)
    return merge.take(dict.fromkeys(Topic, 2.0), 2.0)


def test_they_are_given_one_by_one_in_pieces_and_all() -> None:
    columns = Records.of(RECORDS)
    assert list(columns) == RECORDS
    assert columns[2] == RECORDS[2]
    assert columns[-1] == RECORDS[-1]
    assert list(columns[2:5]) == RECORDS[2:5]
    assert columns[2:5][1] == RECORDS[3]
    assert Records.of(columns) is columns


def test_what_the_consumer_parses_has_milliseconds() -> None:
    parsed = [
        SimpleNamespace(
            offset=r.offset, timestamp=int(r.timestamp * 1000), value=r.value, key=r.key, headers=r.headers
        )
        for r in RECORDS
    ]
    assert list(Records.fetched(Topic.PREDICTIONS, 4, parsed)) == RECORDS


@pytest.mark.parametrize("marked", [0, 3, 6])
def test_one_header_is_seen_wherever_it_stands(marked: int) -> None:
    headers: Headers = (("h", b"1"),)
    records = [a_record(offset, headers=headers if offset == marked else ()) for offset in range(7)]
    assert Records.of(records).has_headers
    assert not Records.of(RECORDS).has_headers
    assert list(Records.of(records)) == records


def test_what_is_merged_of_two_topics_and_cut_is_still_the_same() -> None:
    taken = merged(2)
    both = [record for pair in zip(RECORDS, LABELS, strict=True) for record in pair]
    assert list(taken) == both
    assert list(taken[3:9]) == both[3:9]
    assert taken[3:9][2] == both[5]


def test_what_is_picked_is_given_in_its_order() -> None:
    picked = Picked("abcdef", np.array([3, 0, 1, 2, 5]))
    assert (len(picked), picked[0], picked[-1]) == (5, "d", "f")
    assert list(picked) == list("dabcf")
    assert list(picked[1:4]) == list("abc")


@pytest.mark.parametrize("mask", ["00000", "01110", "01010", "11111", "10001", "00001"])
def test_those_where_a_mask_holds_are_given_wherever_they_stand(mask: str) -> None:
    which = np.array([one == "1" for one in mask])
    picked = Picked("abcdef", np.array([3, 0, 1, 2, 5]))
    expected = [value for value, is_it in zip("dabcf", which, strict=True) if is_it]
    assert list(only(picked, which)) == expected
    assert list(only(list(picked), which)) == expected


def test_of_what_is_merged_the_values_of_a_topic_stand_side_by_side() -> None:
    taken = merged(3)
    assert isinstance(taken, Records)
    for topic, records in ((Topic.PREDICTIONS, RECORDS), (Topic.FEEDBACK, LABELS)):
        assert list(only(taken.values, taken.topics == topic)) == [record.value for record in records]
    assert list(only(taken.values, taken.topics == Topic.COMMANDS)) == []
