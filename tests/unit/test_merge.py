"""The merge gives the records of all topics in the order of their timestamps, however they arrive."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stream.core.errors import NotContiguousError
from stream.core.merge import BEHIND, BEHIND_PATIENCE, ROOM_BYTES, ROOM_RECORDS, TURN_RECORDS, Merge
from stream.core.nouns import Record, Topic

L, P, F, C = Topic.LIFECYCLE, Topic.PREDICTIONS, Topic.FEEDBACK, Topic.COMMANDS
MAX_IDLE = 1.0
LATER = dict.fromkeys(Topic, 1e9)
"""Every topic is known to have had nothing more long after anything arrived."""

NOTHING_KNOWN: dict[Topic, float] = {}


def run(topic: Topic, start: int, *timestamps: float) -> list[Record]:
    return [Record(topic, 0, start + place, time, b"") for place, time in enumerate(timestamps)]


def a_merge(*runs: list[Record], arrived: float = 10.0) -> Merge:
    merge = Merge({}, MAX_IDLE)
    for records in runs:
        merge.offer(records[0].topic, records[0].offset, records, arrived)
    return merge


def order(records: Sequence[Record]) -> list[tuple[Topic, int]]:
    return [(record.topic, record.offset) for record in records]


def test_records_come_in_the_order_of_their_timestamps() -> None:
    merge = a_merge(run(P, 0, 1.0, 3.0, 5.0), run(F, 0, 2.0, 4.0))
    assert order(merge.take(LATER, 10.0)) == [(P, 0), (F, 0), (P, 1), (F, 1), (P, 2)]
    assert len(merge) == 0


def test_of_one_timestamp_lifecycle_comes_before_predictions_before_feedback_before_commands() -> None:
    merge = a_merge(*(run(topic, 0, 1.0, 1.0) for topic in (C, F, P, L)))
    assert order(merge.take(LATER, 10.0)) == [(topic, n) for topic in (L, P, F, C) for n in (0, 1)]


def test_within_a_topic_the_order_is_that_of_the_log_even_where_timestamps_go_back() -> None:
    merge = a_merge(run(P, 0, 5.0, 1.0, 6.0), run(F, 0, 2.0, 5.5))
    assert order(merge.take(LATER, 10.0)) == [(F, 0), (P, 0), (P, 1), (F, 1), (P, 2)]


def test_a_record_waits_while_another_topic_may_have_an_earlier_one() -> None:
    merge = a_merge(run(P, 0, 1.0))
    assert merge.take(NOTHING_KNOWN, 10.0) == []
    assert merge.take({**LATER, F: 10.0}, 10.0) == []
    assert order(merge.take({**LATER, F: 10.1}, 10.1)) == [(P, 0)]


def test_a_record_whose_predecessors_all_topics_have_shown_does_not_wait() -> None:
    merge = a_merge(*(run(topic, 0, 1.0 + topic) for topic in Topic))
    assert order(merge.take(NOTHING_KNOWN, 10.0)) == [(L, 0)]


def test_a_record_waits_for_max_idle_at_most() -> None:
    merge = a_merge(run(P, 0, 1.0))
    assert merge.take(NOTHING_KNOWN, 10.0) == []
    assert merge.take(NOTHING_KNOWN, 10.0 + MAX_IDLE / 2) == []
    assert order(merge.take(NOTHING_KNOWN, 10.0 + MAX_IDLE)) == [(P, 0)]


def test_waiting_begins_anew_with_every_run_that_comes() -> None:
    merge = a_merge(run(P, 0, 1.0))
    assert merge.take(NOTHING_KNOWN, 10.0) == []
    merge.offer(F, 0, run(F, 0, 2.0), 10.9)
    assert merge.take(NOTHING_KNOWN, 11.0) == []
    assert order(merge.take(NOTHING_KNOWN, 12.0)) == [(P, 0), (F, 0)]


def test_a_topic_that_is_known_to_have_more_is_waited_for_with_patience() -> None:
    merge = a_merge(run(P, 0, 1.0))
    behind = {**LATER, F: BEHIND}
    assert merge.take(behind, 10.0) == []
    assert merge.take(behind, 10.0 + BEHIND_PATIENCE - 1) == []
    assert order(merge.take(behind, 10.0 + BEHIND_PATIENCE)) == [(P, 0)]


def test_a_topic_that_was_waited_for_in_vain_is_waited_for_again_the_next_time() -> None:
    merge = a_merge(run(P, 0, 1.0))
    merge.take(NOTHING_KNOWN, 10.0)
    merge.take(NOTHING_KNOWN, 11.0)
    merge.offer(P, 1, run(P, 1, 2.0), 11.5)
    assert merge.take(NOTHING_KNOWN, 11.6) == []


def test_a_run_that_arrived_after_a_topic_was_empty_waits_though_an_earlier_run_need_not() -> None:
    merge = a_merge(run(P, 0, 1.0), arrived=10.0)
    merge.offer(P, 1, run(P, 1, 2.0), 20.0)
    assert order(merge.take(dict.fromkeys(Topic, 15.0), 20.0)) == [(P, 0)]
    assert order(merge.take(dict.fromkeys(Topic, 20.5), 20.5)) == [(P, 1)]


def test_a_topic_that_comes_back_interrupts_a_run_of_another() -> None:
    merge = a_merge(run(P, 0, 1.0, 2.0, 3.0))
    merge.offer(F, 0, run(F, 0, 2.5), 10.0)
    assert order(merge.take(LATER, 10.0)) == [(P, 0), (P, 1), (F, 0), (P, 2)]


def test_a_run_that_is_not_contiguous_is_refused_and_nothing_of_it_is_taken() -> None:
    merge = a_merge(run(P, 0, 1.0))
    with pytest.raises(NotContiguousError, match="predictions: the next offset is 1, the batch starts at 5"):
        merge.offer(P, 5, run(P, 5, 2.0), 10.0)
    assert merge.expected(P) == 1
    assert len(merge) == 1


def test_a_merge_begins_at_the_positions_that_it_is_given() -> None:
    merge = Merge({P: 7}, MAX_IDLE)
    assert (merge.expected(P), merge.expected(F)) == (7, 0)
    merge.offer(P, 7, run(P, 7, 1.0), 10.0)
    assert merge.expected(P) == 8


def test_a_run_may_have_holes_that_the_log_has() -> None:
    merge = Merge({}, MAX_IDLE)
    merge.offer(P, 0, [*run(P, 2, 1.0), *run(P, 9, 2.0)], 10.0)
    assert merge.expected(P) == 10
    assert order(merge.take(LATER, 10.0)) == [(P, 2), (P, 9)]


def test_a_topic_is_full_when_enough_of_it_waits() -> None:
    merge = a_merge(run(P, 0, *map(float, range(ROOM_RECORDS - 1))))
    assert not merge.is_full(P)
    merge.offer(P, ROOM_RECORDS - 1, run(P, ROOM_RECORDS - 1, 1.0), 10.0)
    assert merge.is_full(P)
    assert not merge.is_full(F)


def test_of_many_records_so_many_come_at_once_and_the_others_next() -> None:
    merge = a_merge(run(P, 0, *map(float, range(TURN_RECORDS + 5))), run(F, 0, 2.5))
    seen = dict.fromkeys(Topic, 11.0)
    first, rest = merge.take(seen, 11.0), merge.take(seen, 11.0)
    assert (len(first), len(rest)) == (TURN_RECORDS, 6)
    assert order(first)[2:4] == [(P, 2), (F, 0)]
    assert [offset for _, offset in order(rest)] == list(range(TURN_RECORDS - 1, TURN_RECORDS + 5))


def test_nothing_offered_gives_nothing() -> None:
    assert Merge({}, MAX_IDLE).take(NOTHING_KNOWN, 10.0) == []


def test_few_large_records_fill_a_topic_as_many_small_ones_do_until_they_had_their_turn() -> None:
    large = b"x" * (ROOM_BYTES // 4)
    merge = a_merge([Record(P, 0, offset, 1.0, large) for offset in range(4)])
    assert (merge.is_full(P), merge.is_full(F)) == (True, False)
    merge.take(LATER, 10.0)
    assert not merge.is_full(P)


def test_a_run_may_end_behind_its_last_record() -> None:
    merge = Merge({}, MAX_IDLE)
    merge.offer(P, 0, run(P, 0, 1.0), 10.0, stop=3)
    assert merge.expected(P) == 3


def test_a_gap_is_passed_where_it_follows_and_nowhere_else() -> None:
    merge = a_merge(run(P, 0, 1.0))
    with pytest.raises(NotContiguousError):
        merge.skip(P, 2, 9)
    merge.skip(P, 1, 9)
    assert (merge.expected(P), merge.is_drained(P), merge.is_drained(F)) == (9, False, True)


@pytest.mark.parametrize("where", ["value", "key", "headers"])
def test_wherever_a_record_is_large_no_more_should_come(where: str) -> None:
    large = b"x" * (ROOM_BYTES // 4)
    parts = {"value": b"", where: (("h", large),) if where == "headers" else large}
    merge = a_merge([Record(P, 0, n, 1.0 + n, **parts) for n in range(3)])  # type: ignore[arg-type]
    assert not merge.is_full(P)
    merge.offer(P, 3, [Record(P, 0, 3, 4.0, **parts)], 10.0)  # type: ignore[arg-type]
    assert merge.is_full(P)
    merge.take(LATER, 10.0)
    assert not merge.is_full(P)


def test_what_is_left_of_a_run_counts_by_its_share() -> None:
    merge = a_merge([Record(P, 0, n, 1.0 + n, b"x" * (ROOM_BYTES // 4)) for n in range(4)])
    merge.offer(F, 0, run(F, 0, 2.5), 10.0)
    assert merge.is_full(P)
    assert order(merge.take(NOTHING_KNOWN | {L: 20.0, C: 20.0, F: 5.0}, 10.0)) == [(P, 0), (P, 1), (F, 0)]
    assert not merge.is_full(P)
