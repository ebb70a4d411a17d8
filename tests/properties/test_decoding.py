"""What looks alike is decoded by its look; what comes out is what comes of each event decoded alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from schemas.codec import decode_plainly
from stream.core.contents import Predicted, Said, Table
from stream.core.decoded import Decoded
from stream.core.decoding import Decoding
from stream.core.intake import Intake
from stream.core.nouns import TOPIC_OF, Record, Result, Topic
from stream.core.scalars import Numbers
from tests.properties.test_pipeline import LONG

Raw = Callable[[dict[str, Any]], bytes]

FEATURES: Sequence[Any] = (
    None, True, 0, -3, 2**53 + 1, 2**62 + 1, 2**63 - 1, -(2**63), 2**63, 10**30, 1e-320, 1.5, 1e300,
    "red", "", "é",
)  # fmt: skip
"""What a feature may be, or may not."""

TIMES = (
    "2026-02-28T23:59:59.999Z", "2026-02-30T10:00:00.000Z", "2024-02-29T00:00:00.001Z",
    "2026-03-01T24:00:00.000Z", "2026-03-01T23:60:00.000Z", "2026-03-01T23:59:60.000Z",
    "2026-03-01t10:00:00.000z", "2026-03-01 10:00:00.000Z", "2026-03-01T10:00:00.12+01:00",
    "2026-03-01T10:00:00Z", "2026-03-01T10:00:00.123456Z", "2026-03-01T10:00:00+00:00",
    "2026-03-01T10:00:00.500+00:00", "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z",
    "2026-03-01T10:00:0x.000Z", "²026-03-01T10:00:00.000Z", "2026-3-01T10:00:00.0000Z", 5, None,
)  # fmt: skip

FIELDS: dict[str, Sequence[Any]] = {
    "id": ("", "x", "x" * 257, 1),
    "model": ("other", "é", ""),
    "version": (None, "2", ""),
    "time": TIMES,
    "output": (None, True, 2**63, -1, 0.5, "yes", [1]),
    "label": (None, False, 2**63 - 1, 1.0, "no"),
    "score": (None, 1, "high"),
    "features": (
        None, {}, {"a": 1, "b": 2}, {"b": 1, "a": 2, "c": "x", "d": 1}, {"c": 1, "a": "x", "b": 2}, [],
    ),
    "segments": (None, {}, {"region": "south"}, {"region": 1}),
    "usage": (None, {}, {"latency_ms": 1}, {"input_tokens": 2**63 - 1, "cost": 0.5}, {"latency_ms": "x"}),
    "safety": ({}, {"refused": 1}),
    "probabilities": ({"a": 0.5}, {"a": "b"}),
    "prediction_id": (None, "", "p-2"),
    "kind": ("thumbs", "override", "rating", "unknown", 1),
    "value": (None, True, False, 3, 0.5, "x"),
    "comment": ("why", 1),
    "type": ("prediction", "feedback", "lifecycle", "unknown"),
    "nobody reads": (1, {"deep": [1, {}]}),
}  # fmt: skip
changes = st.one_of(
    st.tuples(st.just("feature"), st.sampled_from("abcd"), st.sampled_from(FEATURES)),
    *(st.tuples(st.just("field"), st.just(name), st.sampled_from(values)) for name, values in FIELDS.items()),
    st.tuples(st.just("without"), st.sampled_from(list(FIELDS)), st.none()),
    st.tuples(st.just("twice"), st.sampled_from(list(FIELDS)), st.none()),
    st.tuples(st.just("feature twice"), st.sampled_from("abc"), st.sampled_from(FEATURES)),
)
Change = tuple[str, str, Any]


def an_event(number: int, rng: random.Random, *, is_said: bool) -> dict[str, Any]:
    """Make one of the events that look alike."""
    time = f"2026-03-0{rng.randint(1, 3)}T10:{rng.randint(0, 59):02d}:00.{rng.randint(0, 999):03d}Z"
    own = {"id": f"e-{number}", "model": "m", "time": time}
    if is_said:
        return {
            "type": "feedback",
            **own,
            "prediction_id": f"p-{number}",
            "kind": "label",
            "label": number % 2,
        }
    features = {"a": rng.random(), "c": rng.choice(("x", "y")), "b": rng.randint(-5, 5)}
    told = {"version": "1", "output": number % 3, "score": rng.random(), "features": features}
    return {"type": "prediction", **own, **told, "usage": {"latency_ms": rng.random()}}


def changed(made: dict[str, Any], change: Change) -> bytes:
    """Write an event with one thing changed."""
    what, name, value = change
    written = dict(made)
    if what == "field":
        written[name] = value
    elif what == "without":
        written.pop(name, None)
    elif what == "feature":
        written["features"] = {**written.get("features", {}), name: value}
    raw = msgspec.json.encode(written)
    if what == "twice" and name in written:
        again = msgspec.json.encode({name: written[name]})
        raw = raw[:-1] + b"," + again[1:]
    elif what == "feature twice":
        raw = raw.replace(b'"features":{', b'"features":{' + msgspec.json.encode({name: value})[1:-1] + b",")
    return raw


def contents(decoded: Decoded) -> list[object]:
    """Give all that is known of some events, of numbers their bits."""
    told, said = decoded.predicted, decoded.said
    models = [one.model for one in decoded.events]
    assert list(decoded.models) == models
    columns = models, decoded.hashes.tolist(), decoded.times.tolist(), decoded.topics.tolist()
    segments = [] if told.segments is None else told.segments.tolist()
    return [
        *columns,
        decoded.rows.tolist(),
        list(decoded.ids),
        list(decoded.events),
        told.versions.tolist(),
        typed(told.outputs.list()),
        listed(told.scores),
        listed(told.usage),
        numbers_in(told),
        segments if any(one is not None for one in segments) else [],
        said.about.tolist(),
        said.kinds.tolist(),
        typed(said.labels.list()),
        listed(said.values),
    ]


def typed(column: Sequence[object]) -> list[object]:
    return [(type(one), one) for one in column]


def listed(column: Numbers | None) -> str:
    """Give numbers, of a column in which there are any."""
    return "" if column is None or np.isnan(column).all() else str(column.tolist())


def numbers_in(told: Predicted) -> list[object]:
    """Give the features: a number is the float that it is read as."""
    return [
        None
        if one is None
        else {
            name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
            for name, value in one.items()
        }
        for one in told.described()
    ]


logs = st.lists(st.tuples(st.booleans(), st.none() | st.none() | st.none() | changes), max_size=40)


@settings(LONG, max_examples=1500)
@given(log=logs, seed=st.integers(0, 9), at_hand=st.sampled_from((1, 3, 8)), is_known=st.booleans())
def test_events_that_look_alike_are_what_each_is_alone(
    log: list[tuple[bool, Change | None]], seed: int, at_hand: int, *, is_known: bool
) -> None:
    rng, decoding = random.Random(seed), Decoding(at_hand)
    values = []
    for number, (is_said, change) in enumerate(log):
        made = an_event(number, rng, is_said=is_said)
        values.append(msgspec.json.encode(made) if change is None else changed(made, change))
    came = [Topic.FEEDBACK if is_said else Topic.PREDICTIONS for is_said, _ in log]
    topics = np.array(came, dtype=np.int8) if is_known else None
    for batch in (slice(0, len(values) // 2), slice(len(values) // 2, None)):
        events = decode_plainly(values[batch])
        got = decoding.read(values[batch], None if topics is None else topics[batch])
        if events is None or (is_known and [TOPIC_OF[type(one)] for one in events] != came[batch]):
            assert got is None
            continue
        assert got is not None
        event("a table" if isinstance(got.predicted.features, Table) else "no table")
        assert contents(got) == contents(Decoded.of(events))
        start, stop = sorted((rng.randint(0, len(events)), rng.randint(0, len(events))))
        assert contents(got.part(start, stop)) == contents(Decoded.of(events[start:stop]))


polls = st.lists(st.tuples(st.booleans(), st.lists(st.none() | st.none() | changes, max_size=6)), max_size=8)


@settings(LONG, max_examples=600)
@given(polled=st.lists(polls, max_size=3), seed=st.integers(0, 9))
def test_records_and_arrays_are_taken_as_each_alone(
    polled: list[list[tuple[bool, list[Change | None]]]], seed: int
) -> None:
    rng, intake = random.Random(seed), Intake(0, "driftline.", lambda model: int(model == "other"))
    for poll in polled:
        records: list[Record] = []
        for is_said, events in poll:
            made = [an_event(rng.randrange(99), rng, is_said=is_said) for _ in events]
            pairs = zip(made, events, strict=True)
            written = [msgspec.json.encode(one) if how is None else changed(one, how) for one, how in pairs]
            value = written[0] if len(written) == 1 else b"[" + b",".join(written) + b"]"
            topic = Topic.FEEDBACK if is_said else Topic.PREDICTIONS
            records.append(Record(topic, 0, len(records), 0.0, value))
        result, alone = Result(), Result()
        got, want = intake.read(records, result), intake._read_one_by_one(records, alone)  # noqa: SLF001 - the slow way
        event("arrays" if got.elements else "no arrays")
        assert contents(got.decoded) == contents(want.decoded)
        assert [one.offset for one in got.records] == [one.offset for one in want.records]
        assert (got.topics.tolist(), got.elements) == (want.topics.tolist(), want.elements)
        assert (result.rejected, result.forwards) == (alone.rejected, alone.forwards)


def test_what_looks_alike_is_decoded_by_its_look() -> None:
    rng, decoding = random.Random(1), Decoding(4)
    values = [msgspec.json.encode(an_event(number, rng, is_said=number % 2 == 1)) for number in range(24)]
    assert decoding.read(values) is not None  # a first slice tells how they look
    got = decoding.read(values)
    assert got is not None
    assert isinstance(got.predicted.features, Table)
    assert got.predicted.features[:2] == (("a", "b"), ("c",))


def test_columns_of_nothing_are_empty() -> None:
    got = Decoding().read([])
    assert got is not None
    assert (len(got), len(got.predicted), len(got.said)) == (0, 0, 0)
    assert len(Said.joined([])) == 0
