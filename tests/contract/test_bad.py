"""The bad corpus: what is not taken, and the reason that is given."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import (
    ARRAY_MAX_ELEMENTS,
    DETAIL_MAX_CHARACTERS,
    RAW_MAX_BYTES,
    RECORD_MAX_BYTES,
    decode,
    decode_record,
    encode,
)
from schemas.events import Command, Feedback, Lifecycle, Prediction, Safety, Usage
from stream.core.intake import Intake
from stream.core.nouns import Record, Result, Topic
from tests.contract.corpus import FOLDER, BadMessage, bad_messages, prediction

SOURCE = Source(topic="driftline.predictions", partition=3, offset=7)
BAD = bad_messages()
BY_CODEC = [message for message in BAD if message.decided_by == "codec"]
BY_INTAKE = [message for message in BAD if message.decided_by == "intake"]
BY_ADMISSION = [message for message in BAD if message.decided_by == "admission"]


def name_of(message: object) -> str:
    return message.name if isinstance(message, BadMessage) else str(message)


@pytest.mark.parametrize("message", BY_CODEC, ids=name_of)
def test_a_bad_message_is_rejected_for_its_reason(message: BadMessage) -> None:
    decoded = decode_record(message.raw, SOURCE, message.headers)
    reasons = Counter(each.reason for each in decoded if isinstance(each, Rejected))
    assert reasons == {message.reason: message.rejections}
    assert len(decoded) - message.rejections == message.good_elements


@pytest.mark.parametrize("message", BY_CODEC, ids=name_of)
def test_a_rejection_can_be_published_and_read(message: BadMessage) -> None:
    for each in decode_record(message.raw, SOURCE, message.headers):
        if isinstance(each, Rejected):
            assert msgspec.json.decode(encode(each), type=Rejected) == each
            assert 0 < len(each.detail) <= DETAIL_MAX_CHARACTERS


@pytest.mark.parametrize("message", BY_INTAKE, ids=name_of)
def test_an_event_on_a_topic_of_others_is_rejected_by_intake(message: BadMessage) -> None:
    record = Record(Topic[message.topic.upper()], 3, 7, 0.0, message.raw)
    result = Result()
    taken = Intake(3, "driftline.", lambda _model: 3).read([record], result).decoded.events
    assert [rejected.reason for rejected in result.rejected] == [message.reason]
    assert len(taken) == message.good_elements


@pytest.mark.parametrize("message", BY_ADMISSION, ids=name_of)
def test_what_only_a_clock_can_reject_can_be_read(message: BadMessage) -> None:
    decoded = decode_record(message.raw, SOURCE)
    assert not any(isinstance(each, Rejected) for each in decoded)
    assert len(decoded) == message.good_elements + message.rejections


def test_every_file_has_its_expectation() -> None:
    files = {path.name for path in (FOLDER / "bad").glob("*.json")} - {"expected.json"}
    assert files == json.loads((FOLDER / "bad" / "expected.json").read_bytes()).keys()


def test_every_reason_has_a_bad_message() -> None:
    assert {message.reason for message in BAD} == set(RejectReason)


def test_names_are_unique_and_good_elements_have_ids_of_their_own() -> None:
    assert len({message.name for message in BAD}) == len(BAD)
    ids = [
        event.id
        for message in BAD
        if message.good_elements and message.decided_by == "codec"
        for event in decode_record(message.raw, SOURCE)
        if not isinstance(event, Rejected)
    ]
    assert len(set(ids)) == len(ids) == sum(message.good_elements for message in BY_CODEC)


@pytest.mark.parametrize("struct", [Prediction, Feedback, Lifecycle, Command], ids=lambda s: s.__name__)
def test_every_required_field_is_missed(struct: type[msgspec.Struct]) -> None:
    prefix = f"{struct.__name__.lower()}_lacks_"
    missed = {message.name.removeprefix(prefix) for message in BAD if message.name.startswith(prefix)}
    assert missed == {"type"} | {field.name for field in msgspec.structs.fields(struct) if field.required}


@pytest.mark.parametrize(
    ("struct", "path"),
    [
        (Prediction, "$"),
        (Feedback, "$"),
        (Lifecycle, "$"),
        (Command, "$"),
        (Usage, "$.usage"),
        (Safety, "$.safety"),
    ],
    ids=str,
)
def test_every_field_refuses_some_wrong_value(struct: type[msgspec.Struct], path: str) -> None:
    details = [
        each.detail
        for message in BY_CODEC
        if message.reason is RejectReason.INVALID_FIELD
        for each in decode_record(message.raw, SOURCE, message.headers)
        if isinstance(each, Rejected)
    ]
    for field in msgspec.structs.fields(struct):
        assert any(f"`{path}.{field.name}" in detail for detail in details), field.name


def test_what_is_kept_of_a_large_record_is_cut_and_its_size_is_told() -> None:
    raw = b"x" * (RECORD_MAX_BYTES + 1)
    [rejected] = decode_record(raw, SOURCE)
    assert isinstance(rejected, Rejected)
    assert (len(rejected.raw), rejected.raw_size) == (RAW_MAX_BYTES, len(raw))


def test_a_record_of_exactly_the_largest_size_is_read() -> None:
    padding = RECORD_MAX_BYTES - len(prediction("p", b'"unread":""'))
    assert isinstance(decode(prediction("p", b'"unread":"%s"' % (b"x" * padding)), SOURCE), Prediction)


def test_an_array_of_exactly_the_most_elements_is_read() -> None:
    raw = b"[%s]" % b",".join([prediction("p")] * ARRAY_MAX_ELEMENTS)
    assert len(decode_record(raw, SOURCE)) == ARRAY_MAX_ELEMENTS


def test_a_rejected_element_is_kept_alone_and_names_its_place() -> None:
    bad = prediction("bad", b'"score":NaN,"subject":"caf\xe9"')
    first, second, third = decode_record(b"[ %s,%s , 5]" % (prediction("p"), bad), SOURCE)
    assert isinstance(first, Prediction)
    assert isinstance(second, Rejected)
    assert (second.raw, second.source.index, second.source.offset) == (bad, 1, 7)
    assert isinstance(third, Rejected)
    assert (third.raw, third.source.index) == (b"5", 2)


def test_a_long_value_is_not_quoted_in_full() -> None:
    rejected = decode(b'{"type":"%s"}' % (b"x" * 100_000), SOURCE)
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.UNKNOWN_TYPE
    assert len(rejected.detail) == DETAIL_MAX_CHARACTERS
