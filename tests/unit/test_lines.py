"""Lines of a file become the records that a producer would have sent."""

from __future__ import annotations

import msgspec
import pytest

from stream.core.lines import Part, parts
from stream.core.nouns import Topic
from tests.flow.timeline import MODEL, at, label, lifecycle, prediction, to_bytes

P = to_bytes(at(1), prediction("a"))
F = to_bytes(at(2), label("a", 1))


def test_an_event_goes_to_the_topic_of_its_type_with_its_model_and_time() -> None:
    assert list(parts(P)) == [Part(Topic.PREDICTIONS, MODEL, at(1), P)]
    assert list(parts(F)) == [Part(Topic.FEEDBACK, MODEL, at(2), F)]


def test_every_type_has_its_topic() -> None:
    command = {
        "type": "command", "id": "c", "model": MODEL, "incident_id": "i", "action": "a",
        "actor_id": "p", "actor_role": "r",
    }  # fmt: skip
    lines = [to_bytes(at(0), lifecycle("l")), to_bytes(at(0), command)]
    assert [part.topic for line in lines for part in parts(line)] == [Topic.LIFECYCLE, Topic.COMMANDS]


@pytest.mark.parametrize(
    "line", [b"oops", b"{}", b"17", b"[" * 5_000, b"[1,", b'{"type":"prediction"}', b"\xff\xfe", b'["\xff']
)
def test_what_cannot_be_read_goes_to_the_predictions_as_it_is(line: bytes) -> None:
    assert list(parts(line)) == [Part(Topic.PREDICTIONS, None, None, line)]


def test_an_event_of_an_unknown_type_goes_to_the_predictions() -> None:
    line = to_bytes(at(1), {"type": "wish", "model": MODEL})
    assert list(parts(line)) == [Part(Topic.PREDICTIONS, MODEL, at(1), line)]


def test_a_time_without_offset_is_none() -> None:
    line = b'{"type":"feedback","model":"m","time":"2026-01-01T00:00:00"}'
    assert list(parts(line)) == [Part(Topic.FEEDBACK, "m", None, line)]


def test_an_array_of_one_type_is_one_record_as_it_is() -> None:
    line = b" [" + F + b" , " + F + b"]"
    assert list(parts(line)) == [Part(Topic.FEEDBACK, MODEL, at(2), line)]


def test_an_array_takes_model_and_time_of_its_first_element_that_has_them() -> None:
    line = b"[{}," + P + b"]"
    assert list(parts(line)) == [Part(Topic.PREDICTIONS, MODEL, at(1), line)]


def test_an_array_without_anything_to_read_has_neither_model_nor_time() -> None:
    assert list(parts(b"[{}, {}]")) == [Part(Topic.PREDICTIONS, None, None, b"[{}, {}]")]


def test_an_empty_array_is_one_record() -> None:
    assert list(parts(b"[]")) == [Part(Topic.PREDICTIONS, None, None, b"[]")]


def test_an_array_that_mixes_types_is_cut_into_runs_of_one_type() -> None:
    made = list(parts(b"[" + b",".join([P, P, F, P]) + b"]"))
    assert [part.topic for part in made] == [Topic.PREDICTIONS, Topic.FEEDBACK, Topic.PREDICTIONS]
    assert [len(msgspec.json.decode(part.value)) for part in made] == [2, 1, 1]
    assert made[1] == Part(Topic.FEEDBACK, MODEL, at(2), b"[" + F + b"]")


def test_a_run_without_anything_to_read_has_neither_model_nor_time() -> None:
    made = list(parts(b"[" + F + b",{}]"))
    assert made[1] == Part(Topic.PREDICTIONS, None, None, b"[{}]")
