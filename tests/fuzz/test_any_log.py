"""Whatever a producer writes: no step raises, every element is accounted for, the cut is invisible.

``make test`` tries the same few hundred logs every time; ``make fuzz`` goes on with others for minutes.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings

from stream.core.nouns import Record
from tests.fuzz.holding import check_log, fates_of, run_whole
from tests.fuzz.mutations import mutated_records
from tests.fuzz.strategies import drawn_logs, mutated_logs, sizes

SHORT = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck), max_examples=60
)


@settings(SHORT)
@given(records=mutated_logs, sizes=sizes)
def test_a_log_of_mutated_messages_holds_every_promise(records: list[Record], sizes: list[int]) -> None:
    check_log(records, sizes)


@settings(SHORT)
@given(records=drawn_logs, sizes=sizes)
def test_a_log_of_any_json_and_any_bytes_holds_every_promise(records: list[Record], sizes: list[int]) -> None:
    check_log(records, sizes)


def test_a_clock_that_leaps_by_a_notice_lets_go_of_what_waits_before_room_is_made() -> None:
    """Found by fuzzing: predictions that a lifecycle event lets expire need not make way for others."""
    check_log(mutated_records(256, 81), [1, 7])


def test_mutated_messages_meet_every_fate() -> None:
    """Without this the promises could hold for want of anything to happen."""
    output = run_whole(mutated_records(1, 4_000))
    assert min(fates_of(output).values()) > 30
    reasons = Counter(rejected.reason.value for rejected in output.rejected)
    assert set(reasons) >= {
        "empty", "future", "invalid_field", "late", "malformed", "missing_field", "not_finite",
        "time_out_of_range", "unknown_type", "wrong_topic",
    }  # fmt: skip
    assert output.count("outcomes_total") > 50
    assert output.count("evicted_total") > 100
