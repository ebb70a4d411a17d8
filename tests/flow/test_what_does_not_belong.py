"""What does not belong is sent on or refused with its reason; the rest of the log goes on."""

from __future__ import annotations

import msgspec
import pytest

from schemas.alerts import RejectReason
from schemas.policy import Signals
from stream.core.intake import FORWARDED_HEADER
from stream.core.nouns import Topic
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    DAY,
    EAGER,
    HOUR,
    MODEL,
    ONLY_ERRORS,
    Timeline,
    a_pipeline,
    at,
    feedback,
    label,
    prediction,
    watch,
    with_horizons,
)

A_PREDICTION = b'{"type":"prediction","id":"a","model":"m","time":"2026-01-01T00:00:00Z"}'


def elsewhere(model: str) -> int:
    return 0 if model == MODEL else 3


def test_an_event_of_another_partition_is_forwarded_as_it_came() -> None:
    t = watch(partition_of=elsewhere)
    t.push(at(0), prediction("a", model="other"), headers=(("trace", b"1"),))
    [forward] = t.forwards
    assert (forward.topic, forward.model, forward.timestamp) == (Topic.PREDICTIONS, "other", at(0))
    assert forward.value == t.log.records[0].value
    assert forward.headers == (("trace", b"1"),)
    assert t.count("forwarded_total", "predictions") == 1
    assert t.count("events_total") == 0


def test_an_event_that_was_forwarded_is_not_sent_on_again() -> None:
    t = watch(partition_of=elsewhere)
    t.push(at(0), prediction("a", model="other"), headers=((FORWARDED_HEADER, b"1"),))
    assert not t.forwards
    assert t.count("events_total", "other", "prediction") == 1


def test_the_misrouted_elements_of_an_array_are_forwarded_alone() -> None:
    t = watch(partition_of=elsewhere)
    t.push_array(at(0), prediction("a"), prediction("b", model="other"))
    assert t.count("events_total", MODEL, "prediction") == 1
    [forward] = t.forwards
    assert msgspec.json.decode(forward.value)["id"] == "b"


def test_bad_elements_of_an_array_do_not_hurt_the_good_ones() -> None:
    t = watch()
    t.push_array(
        at(0),
        prediction("a", 0),
        b'{"type":"prediction"}',
        b'{"type":"wish"}',
        label("x", 1),
        prediction("b"),
    )
    assert t.count("events_total", MODEL, "prediction") == 2
    assert [(r.reason, r.source.index) for r in t.rejected] == [
        (RejectReason.MISSING_FIELD, 1),
        (RejectReason.UNKNOWN_TYPE, 2),
        (RejectReason.WRONG_TOPIC, 3),
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, RejectReason.EMPTY),
        (b"", RejectReason.EMPTY),
        (b"not json", RejectReason.MALFORMED),
        (b"[" * 100_000, RejectReason.MALFORMED),
        (A_PREDICTION.replace(b"}", b',"score":NaN}'), RejectReason.NOT_FINITE),
        (A_PREDICTION.replace(b"prediction", b"wish"), RejectReason.UNKNOWN_TYPE),
        (A_PREDICTION.replace(b"2026", b"1026"), RejectReason.TIME_OUT_OF_RANGE),
    ],
)
def test_bad_bytes_are_rejected_with_their_reason_and_the_log_goes_on(
    value: bytes | None, reason: RejectReason
) -> None:
    t = watch()
    t.push_bytes(at(0), value)
    t.push(at(1), prediction("a"))
    assert [r.reason for r in t.rejected] == [reason]
    assert t.count("rejected_total", reason.value) == 1
    assert t.count("events_total") == 1


def test_an_empty_array_is_nothing() -> None:
    t = watch()
    t.push_array(at(0))
    t.push(at(1), prediction("a"))
    assert t.pipeline.positions[Topic.PREDICTIONS] == 2
    assert not t.rejected


def test_an_event_too_far_ahead_of_the_clock_is_rejected() -> None:
    t = Timeline(a_pipeline(ONLY_ERRORS), now=at(0))
    t.push(at(HOUR), prediction("just-about"))
    t.push(at(HOUR + 1), prediction("too-far"))
    assert [r.reason for r in t.rejected] == [RejectReason.FUTURE]


def test_predictions_read_ahead_of_their_labels_do_not_make_the_labels_late() -> None:
    t = watch(with_horizons(lateness_seconds=HOUR, label_seconds=10 * DAY))
    t.push(at(0), prediction("a", 0))
    t.push(at(DAY), prediction("b"))
    t.push(at(60), label("a", 1))
    assert not t.rejected
    assert t.count("outcomes_total") == 1


def test_numbers_of_any_size_are_watched() -> None:
    t = watch(EAGER, Registry())
    for second in range(150):
        huge = 1.7e308 if second % 2 else -1.7e308
        name = f"p{second}"
        t.push(at(second), prediction(name, huge, score=huge, features={"x": huge}), label(name, -huge))
    assert t.count("outcomes_total") == 150


def test_what_people_say_is_watched_beside_the_label() -> None:
    everything = msgspec.structs.replace(ONLY_ERRORS, signals=Signals(output=False))
    t = watch(everything)
    t.push(at(0), prediction("a"), feedback("a", "thumbs", value=False), label("a", 1))
    assert [alert.signal for alert in t.alerts] == ["thumbs_down"]
