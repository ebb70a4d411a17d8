"""Long texts: they are told apart as they were, and take little."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Feedback
from schemas.policy import Policy, Task
from stream.core.contents import Said
from stream.core.join import Join, Orphans
from stream.core.observe import error, errors
from stream.core.scalars import Scalars
from stream.core.texts import TEXT_MAX_LENGTH, all_short, short, to_keep
from tests.flow.timeline import Alarms, at, feedback, label, prediction, to_bytes, watch

LONG = "a long answer " * 100_000
OTHER = LONG[:-1] + "!"


@given(st.text(max_size=TEXT_MAX_LENGTH))
def test_a_text_that_is_not_long_stays_as_it_is(text: str) -> None:
    assert short(text) == text
    assert all_short([text]) == [text]


@pytest.mark.parametrize("text", [LONG, OTHER, "\N{SNOWMAN}" * 257])
def test_a_long_one_is_its_beginning_and_a_digest(text: str) -> None:
    assert len(short(text)) <= TEXT_MAX_LENGTH
    assert text.startswith(short(text)[:200])
    assert short(short(text)) == short(text)
    assert all_short(["x", text]) == ["x", short(text)]


def test_long_texts_that_differ_differ() -> None:
    assert short(LONG) != short(OTHER)


def said(text: str, kind: str = "label") -> Feedback:
    return msgspec.json.decode(to_bytes(at(0), {**label("a", text), "kind": kind}), type=Feedback)


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("kind", ["label", "override"])
def test_an_answer_that_was_kept_short_is_right_by_its_whole_label(task: Task, kind: str) -> None:
    assert error(task, short(LONG), LONG) == 0
    assert error(task, short(LONG), OTHER) == 1
    both, all_three = [said(LONG, kind), said(OTHER, kind)], [said(LONG), said(OTHER, kind), said(LONG)]
    assert errors(task, Scalars.of([short(LONG)] * 2), Said.of(both)).tolist() == [0, 1]
    mixed = Scalars.of([short(LONG), short(LONG), 1])
    assert errors(Task.CLASSIFICATION, mixed, Said.of(all_three)).tolist() == [0, 1, 1]


@pytest.mark.parametrize("first", ["prediction", "label"])
def test_megabytes_of_answers_are_joined_and_leave_kilobytes_of_state(first: str) -> None:
    t = watch(Policy(), Alarms())
    for number in range(3):
        answers = [prediction(f"p{number}", LONG), label(f"p{number}", LONG if number else OTHER)]
        t.push(at(number), *(answers if first == "prediction" else answers[::-1]))
        t.push(at(number), prediction(f"waits{number}", LONG + str(number)))
        t.push(at(number), feedback(f"never{number}", "complaint", comment=OTHER))
    assert t.count("outcomes_total") == 3
    wrong = [alert.evidence.observed for alert in t.alerts if alert.signal == "error"]
    assert wrong == [1.0]
    rows = t.pipeline.rows()
    assert sum(len(row or b"") for row in rows.values()) < 20_000
    again = watch(Policy(), Alarms())
    assert again.pipeline.restore({key: row for key, row in rows.items() if row is not None}) == []
    again.push(at(10), label("waits1", LONG + "1"))
    assert again.count("outcomes_total") == 1
    assert not [alert for alert in again.alerts if alert.signal == "error"]


def test_categories_and_classes_are_kept_short() -> None:
    t = watch(Policy(), Alarms())
    for number in range(3):
        t.push(at(number), prediction(f"p{number}", OTHER, features={"town": LONG + str(number), "n": None}))
    (shape,) = (row for key, row in t.pipeline.rows().items() if key.startswith(b'["shape"'))
    assert len(shape or b"") < 2_000
    told = str(msgspec.msgpack.decode(shape or b""))
    assert all(short(text) in told for text in (OTHER, *(LONG + str(number) for number in range(3))))


def test_feedback_that_waits_keeps_what_it_says_short() -> None:
    kept = to_keep(msgspec.structs.replace(said(LONG), comment=OTHER))
    assert (kept.label, kept.comment) == (short(LONG), short(OTHER))
    assert to_keep(said("yes")) == said("yes")
    join = Join("m", Policy())
    assert join.orphans.add("a", Orphans(0.0, [kept])) == 0
    assert max(len(row or b"") for row in join.orphans.rows().values()) < 1_000
