"""The codec: total over bytes, and what it writes is what it reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from random import Random

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import EARLIEST, LATEST, decode, decode_record, encode
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
from schemas.export import schemas
from tests.contract.corpus import good_messages, prediction

SOURCE = Source(topic="driftline.predictions", partition=0, offset=7)
SCHEMA = Draft202012Validator(schemas()["event"])

names = st.text(min_size=1, max_size=256)
words = st.text()
numbers = st.floats(allow_nan=False, allow_infinity=False)
wholes = st.integers(-(2**63), 2**63 - 1)
scalars = st.booleans() | wholes | numbers | words
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(
    (EARLIEST + timedelta(days=2)).replace(tzinfo=None),
    (LATEST - timedelta(days=2)).replace(tzinfo=None),
    timezones=st.just(UTC) | offsets,
)
measures = st.dictionaries(names, numbers, max_size=3)


def maybe(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


def built(struct: type[Event], **given_fields: st.SearchStrategy[object]) -> st.SearchStrategy[Event]:
    return st.builds(struct, id=names, model=names, time=times, **given_fields)


usages = st.builds(
    Usage,
    latency_ms=maybe(numbers),
    input_tokens=maybe(wholes),
    output_tokens=maybe(wholes),
    cost=maybe(numbers),
)
safeties = st.builds(
    Safety,
    refused=maybe(st.booleans()),
    blocked=maybe(st.booleans()),
    finish_reason=maybe(words),
    harms=maybe(measures),
    attacks=maybe(measures),
)
predictions = built(
    Prediction,
    version=maybe(names),
    output=maybe(scalars),
    score=maybe(numbers),
    probabilities=maybe(measures),
    features=maybe(st.dictionaries(names, maybe(scalars), max_size=4)),
    segments=maybe(st.dictionaries(names, words, max_size=2)),
    usage=maybe(usages),
    safety=maybe(safeties),
    subject=maybe(words),
    variant=maybe(words),
)
feedback = built(
    Feedback,
    prediction_id=names,
    kind=st.sampled_from(FeedbackKind),
    label=maybe(scalars),
    value=maybe(st.booleans() | numbers),
    comment=maybe(words),
)
lifecycle = built(
    Lifecycle,
    kind=st.sampled_from(LifecycleKind),
    version=maybe(names),
    digest_after=maybe(words),
    actor=names,
    segment=maybe(words),
    signal=maybe(words),
)
commands = built(
    Command,
    incident_id=names,
    action=names,
    actor_id=names,
    actor_role=names,
    evidence=maybe(st.lists(st.dictionaries(words, words, max_size=2), max_size=2)),
)
events = predictions | feedback | lifecycle | commands

good = st.sampled_from([message.raw for message in good_messages()])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(words, children, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(
    sorted({field.name for struct in (Prediction, Feedback) for field in msgspec.structs.fields(struct)})
)
bodies = st.dictionaries(field_names, json_values, max_size=6).map(
    lambda fields: {
        "type": "prediction",
        "id": "p",
        "model": "m",
        "time": "2026-03-02T10:00:00Z",
        "prediction_id": "p",
        "kind": "label",
        **fields,
    }
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_type", "ce_time", "CE_TYPE", "ce_source"]) | words,
        st.none() | st.binary(max_size=20) | st.sampled_from([b"a.feedback.v1", b"2026-03-02T10:00:00Z"]),
    ),
    max_size=3,
)


@given(events)
def test_what_is_encoded_is_decoded_to_the_same(event: Event) -> None:
    decoded = decode(encode(event), SOURCE)
    assert decoded == event
    assert encode(decoded) == encode(event)


@given(bodies)
def test_what_the_codec_takes_the_schema_takes(body: dict[str, object]) -> None:
    text = json.dumps(body)
    if not isinstance(decode(text.encode(), SOURCE), Rejected):
        SCHEMA.validate(json.loads(text))


@given(st.lists(events, max_size=5))
def test_an_array_gives_what_its_elements_give(batch: list[Event]) -> None:
    assert decode_record(encode(batch), SOURCE) == batch


@given(good)
def test_what_was_decoded_is_encoded_to_what_decodes_to_the_same(raw: bytes) -> None:
    decoded = decode_record(raw, SOURCE)
    assert [decode(encode(event), SOURCE) for event in decoded] == decoded


@given(st.dictionaries(names, maybe(scalars), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_features_does_not_change_the_bytes(
    features: dict[str, bool | int | float | str | None], random: Random
) -> None:
    shuffled = list(features.items())
    random.shuffle(shuffled)
    one, other = (
        Prediction(id="p", model="m", time=EARLIEST, features=dict(items))
        for items in (features.items(), shuffled)
    )
    assert encode(one) == encode(other)


@given(st.binary() | json_values.map(json.dumps).map(str.encode), headers)
@example(b'{"type":"prediction","id":"\\ud800"}', [])
def test_no_bytes_raise(raw: bytes, given_headers: list[tuple[str, bytes | None]]) -> None:
    check_total(raw, given_headers)


@given(good, st.data(), headers)
def test_no_damage_to_a_good_message_raises(
    raw: bytes, data: st.DataObject, given_headers: list[tuple[str, bytes | None]]
) -> None:
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 10)))
    check_total(raw[:start] + data.draw(st.binary(max_size=4)) + raw[end:], given_headers)


@given(bodies, st.sampled_from([b"%s", b"[%s]", b" [%s,%s] "]), headers)
def test_no_value_of_a_field_raises(
    body: dict[str, object], form: bytes, given_headers: list[tuple[str, bytes | None]]
) -> None:
    text = json.dumps(body).encode()
    check_total(form.replace(b"%s", text), given_headers)


@given(st.lists(bodies.map(json.dumps).map(str.encode), min_size=1, max_size=4))
def test_a_bad_element_changes_nothing_for_its_neighbours(elements: list[bytes]) -> None:
    alone = [decode(element, SOURCE) for element in elements]
    together = decode_record(b"[%s]" % b" , ".join(elements), SOURCE)
    assert [_without_place(each) for each in together] == [_without_place(each) for each in alone]


def test_a_time_keeps_its_instant_whatever_its_offset() -> None:
    raw = prediction("p").replace(b"10:00:00Z", b"15:30:00+05:30")
    event = decode(raw, SOURCE)
    assert not isinstance(event, Rejected)
    assert event.time == datetime(2026, 3, 2, 10, tzinfo=UTC)


def check_total(raw: bytes, given_headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever comes is an event or a rejection, the same each time, that can be written and read."""
    decoded = decode_record(raw, SOURCE, given_headers)
    assert decoded == decode_record(raw, SOURCE, given_headers)
    for each in decoded:
        if isinstance(each, Rejected):
            assert each.reason in set(RejectReason)
            assert msgspec.json.decode(encode(each), type=Rejected) == each
        else:
            assert decode(encode(each), SOURCE) == each


def _without_place(decoded: Event | Rejected) -> Event | Rejected:
    return msgspec.structs.replace(decoded, source=SOURCE) if isinstance(decoded, Rejected) else decoded
