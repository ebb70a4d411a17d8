"""The good corpus: what a producer may send, and what is understood."""

from __future__ import annotations

import json

import msgspec
import pytest

from schemas.alerts import Rejected, Source
from schemas.codec import decode, decode_record, encode
from schemas.events import (
    Command,
    Event,
    Feedback,
    FeedbackKind,
    Lifecycle,
    LifecycleKind,
    Prediction,
    Safety,
    Usage,
)
from tests.contract.corpus import FOLDER, GoodMessage, good_messages

SOURCE = Source(topic="driftline.predictions", partition=0, offset=7)
STRUCTS = (Prediction, Feedback, Lifecycle, Command, Usage, Safety)


@pytest.mark.parametrize("message", good_messages(), ids=lambda message: message.name)
def test_a_good_message_is_taken_as_it_was_meant(message: GoodMessage) -> None:
    events = decode_record(message.raw, SOURCE)
    assert [_canonical(json.loads(encode(event))) for event in events] == [
        _canonical(event) for event in message.expected
    ]


def test_every_file_has_its_expectation() -> None:
    files = {path.stem for path in (FOLDER / "good").glob("*.json")} - {"expected"}
    assert files == {message.name for message in good_messages()}


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_sent_by_some_good_message(struct: type[msgspec.Struct]) -> None:
    sent = {
        field.name
        for event in _events()
        for part in (event, getattr(event, "usage", None), getattr(event, "safety", None))
        if type(part) is struct
        for field in msgspec.structs.fields(struct)
        if getattr(part, field.name) is not None
    }
    assert sent == {field.name for field in msgspec.structs.fields(struct)}


def test_every_kind_is_sent_by_some_good_message() -> None:
    kinds = {event.kind for event in _events() if isinstance(event, Feedback | Lifecycle)}
    assert kinds == {*FeedbackKind, *LifecycleKind}


def test_a_whole_number_stays_one_and_a_class_that_is_a_float_stays_a_float() -> None:
    outputs = {event.id: event.output for event in _events() if isinstance(event, Prediction)}
    assert outputs["integer-beyond-float53"] == 9_007_199_254_740_993
    assert isinstance(outputs["output-float"], float)
    assert outputs["output-boolean"] is True


def test_an_array_of_one_gives_what_its_event_gives_alone() -> None:
    message = next(message for message in good_messages() if message.name == "array_of_one")
    alone = message.raw.strip().removeprefix(b"[").removesuffix(b"]")
    assert decode_record(message.raw, SOURCE) == [decode(alone, SOURCE)]


def _canonical(event: object) -> str:
    """Tell 1 from 1.0 and from true, which Python takes for equal."""
    return json.dumps(event, sort_keys=True)


def _events() -> list[Event]:
    decoded = [event for message in good_messages() for event in decode_record(message.raw, SOURCE)]
    return [event for event in decoded if not isinstance(event, Rejected)]
