"""Intake: what is taken of a record, what is sent on, what is refused and why."""

from __future__ import annotations

import msgspec
import pytest

from schemas.alerts import RejectReason
from schemas.codec import Headers
from stream.core.intake import FORWARDED_HEADER, KEY_MAX_BYTES, Intake
from stream.core.nouns import Record, Result, Topic
from tests.flow.timeline import Happening, at, label, lifecycle, prediction, to_bytes

MINE = 2


def partition_of(model: str) -> int:
    return 5 if model == "other" else MINE


def a_record(
    value: bytes | None,
    topic: Topic = Topic.PREDICTIONS,
    headers: Headers = (),
    key: bytes | None = b"credit-risk",
) -> Record:
    return Record(topic, MINE, 7, at(0), value, key, headers)


def read(record: Record) -> tuple[list[tuple[str, int | None]], Result]:
    """Give the ids that were taken, with their places in an array, and the rest."""
    result = Result()
    incoming = Intake(MINE, "driftline.", partition_of).read([record], result)
    taken = [(event.id, incoming.elements.get(place)) for place, event in enumerate(incoming.decoded.events)]
    return taken, result


def one(**fields: object) -> bytes:
    return to_bytes(at(0), {**prediction("a"), **fields})


def test_an_event_of_this_partition_is_taken() -> None:
    taken, result = read(a_record(one()))
    assert taken == [("a", None)]
    assert result == Result()


@pytest.mark.parametrize("space", [b"", b" \n\t"])
def test_the_elements_of_an_array_are_taken_with_their_places(space: bytes) -> None:
    taken, _ = read(a_record(space + b"[" + one() + b"," + one(id="b") + b"]"))
    assert taken == [("a", 0), ("b", 1)]


@pytest.mark.parametrize("space", [b"", b" "])
def test_an_array_of_one_is_an_array(space: bytes) -> None:
    taken, _ = read(a_record(space + b"[" + one() + b"]"))
    assert taken == [("a", 0)]


def test_a_rejected_message_says_where_it_stands_and_has_its_bytes_and_key() -> None:
    _, result = read(a_record(b"oops"))
    [rejected] = result.rejected
    assert (rejected.source.topic, rejected.source.partition, rejected.source.offset) == (
        "driftline.predictions", MINE, 7,
    )  # fmt: skip
    assert (rejected.raw, rejected.raw_size, rejected.key) == (b"oops", 4, b"credit-risk")
    assert rejected.source.index is None


def test_a_record_without_key_is_rejected_without_key() -> None:
    _, result = read(a_record(b"oops", key=None))
    assert result.rejected[0].key is None


@pytest.mark.parametrize(
    ("happening", "topic", "belongs"),
    [
        (prediction("a"), Topic.FEEDBACK, "a prediction belongs on driftline.predictions"),
        (label("a", 1), Topic.PREDICTIONS, "a feedback belongs on driftline.feedback"),
        (lifecycle("a"), Topic.COMMANDS, "a lifecycle belongs on driftline.lifecycle"),
    ],
)
def test_an_event_on_a_wrong_topic_is_rejected_with_the_right_one(
    happening: Happening, topic: Topic, belongs: str
) -> None:
    raw = to_bytes(at(0), happening)
    taken, result = read(a_record(raw, topic))
    assert taken == []
    assert (result.rejected[0].reason, result.rejected[0].detail) == (RejectReason.WRONG_TOPIC, belongs)
    assert result.rejected[0].raw == raw


def test_an_element_on_a_wrong_topic_is_rejected_alone_with_its_place() -> None:
    taken, result = read(a_record(b"[" + one() + b"," + to_bytes(at(0), label("a", 1)) + b"]"))
    assert taken == [("a", 0)]
    assert result.rejected[0].source.index == 1
    assert msgspec.json.decode(result.rejected[0].raw)["label"] == 1


def test_an_event_of_another_partition_is_forwarded_with_its_headers() -> None:
    raw, headers = one(model="other"), (("trace", b"x"),)
    taken, result = read(a_record(raw, headers=headers))
    assert taken == []
    [forward] = result.forwards
    assert forward[:-1] == (Topic.PREDICTIONS, "other", at(0), raw, headers)
    assert forward.instead.reason is RejectReason.TOO_LARGE
    assert (forward.instead.source.index, forward.instead.raw) == (None, raw)


def test_an_element_of_another_partition_is_forwarded_without_what_describes_the_record() -> None:
    raw = b"[" + one() + b"," + one(id="b", model="other") + b"]"
    _, result = read(a_record(raw, headers=(("trace", b"x"),)))
    [forward] = result.forwards
    assert msgspec.json.decode(forward.value)["id"] == "b"
    assert forward.headers == ()
    assert (forward.instead.source.index, forward.instead.raw) == (1, forward.value)


@pytest.mark.parametrize("headers", [((FORWARDED_HEADER, b"1"),), (("trace", b""), (FORWARDED_HEADER, b"1"))])
def test_what_was_forwarded_is_taken_wherever_it_is(headers: Headers) -> None:
    taken, result = read(a_record(one(model="other"), headers=headers))
    assert taken == [("a", None)]
    assert not result.forwards


def test_cloudevents_headers_win() -> None:
    taken, _ = read(a_record(one(), headers=(("ce_id", b"from-header"),)))
    assert taken == [("from-header", None)]


def test_of_a_key_of_any_length_a_rejected_message_keeps_the_beginning() -> None:
    _, result = read(a_record(b"oops", key=b"k" * 5_000_000))
    assert result.rejected[0].key == b"k" * KEY_MAX_BYTES
