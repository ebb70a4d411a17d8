"""Observe: which signals are read off predictions and outcomes, and with which values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
import pytest

from schemas.alerts import Kind
from schemas.events import Event, Feedback, Scalar
from schemas.policy import Bounds, Detectors, Policy, Signals, Task
from stream.core.columns import Batch, Outcomes
from stream.core.nouns import Admitted, Outcome, PredictionKept, Record, SeriesSpec, Tally, Topic
from stream.core.observe import LARGEST, Observer
from tests.flow.timeline import Happening, at, feedback, label, prediction, to_bytes

_numbers = count()
LEARNING = 30


def an_observer(
    *, task: Task = Task.AUTO, signals: Signals | None = None, bounds: Bounds | None = None
) -> Observer:
    policy = Policy(
        task=task,
        signals=signals or Signals(),
        detectors=Detectors(warm_up=LEARNING),
        bounds=bounds or Bounds(),
    )
    return Observer("m", "1", policy)


def admitted(happening: Happening) -> Admitted:
    seq = next(_numbers)
    event: Event = msgspec.json.decode(to_bytes(at(seq), happening), type=Event)
    return Admitted(seq, at(seq), event, Record(Topic.PREDICTIONS, 0, seq, at(seq), b""))


def columns(
    observer: Observer, *happenings: Happening, tally: Tally | None = None
) -> dict[str, tuple[SeriesSpec, list[float]]]:
    batch = Batch.of([admitted(h) for h in happenings])
    read = observer.read_predictions(batch.all(), tally or Tally())
    return {spec.key.signal: (spec, readings.values.tolist()) for spec, readings in read}


def values(observer: Observer, *happenings: Happening) -> dict[str, list[float]]:
    return {signal: read for signal, (_, read) in columns(observer, *happenings).items()}


def given(**features: object) -> Happening:
    return prediction("p", None, features=features)


def outcome(output: Scalar | None, said: Happening) -> Outcome:
    at_ = admitted(said)
    assert isinstance(at_.event, Feedback)
    return Outcome(at_, at_.time, PredictionKept(at_.time, "1", output, None), at_.event, at_.time)


def together(outcomes: Sequence[Outcome]) -> Outcomes:
    batch = Batch.of([outcome.at for outcome in outcomes])
    return Outcomes.of(batch, list(enumerate(outcomes)))


def read(observer: Observer, *outcomes: Outcome) -> dict[str, list[float]]:
    return {
        spec.key.signal: readings.values.tolist()
        for spec, readings in observer.read_outcomes(together(outcomes))
    }


# Outcomes


@pytest.mark.parametrize(
    ("output", "truth", "error"),
    [
        (1, 1, 0.0),
        (1, 0, 1.0),
        (10, 7.5, 2.5),
        (-2, 3, 5.0),
        (True, True, 0.0),
        (True, False, 1.0),
        (True, 1, 0.0),
        ("cat", "cat", 0.0),
        ("cat", "dog", 1.0),
        ("1", 1, 1.0),
    ],
)
def test_the_error_of_numbers_is_their_distance_and_that_of_classes_0_or_1(
    output: Scalar, truth: Scalar, error: float
) -> None:
    assert read(an_observer(), outcome(output, label("a", truth))) == {"error": [error]}


@pytest.mark.parametrize(
    ("task", "error"), [(Task.CLASSIFICATION, 1.0), (Task.REGRESSION, 2.0), (Task.AUTO, 2.0)]
)
def test_the_task_says_whether_numbers_are_classes(task: Task, error: float) -> None:
    assert read(an_observer(task=task), outcome(3, label("a", 1))) == {"error": [error]}


def test_there_is_no_error_without_output() -> None:
    assert read(an_observer(), outcome(None, label("a", 1))) == {}


@pytest.mark.parametrize("kind", ["complaint", "appeal", "thumbs"])
def test_a_label_in_feedback_of_another_kind_is_none(kind: str) -> None:
    assert read(an_observer(), outcome(1, feedback("a", kind, label=0))) == {}


def test_an_override_says_what_was_true() -> None:
    assert read(an_observer(), outcome(1, feedback("a", "override", label=0))) == {"error": [1.0]}


def test_an_error_that_is_too_large_to_square_is_read_as_the_largest() -> None:
    assert read(an_observer(), outcome(1.7e308, label("a", -1.7e308))) == {"error": [LARGEST]}


def test_thumbs_down_and_ratings_are_signals() -> None:
    said = [
        outcome(1, feedback("a", "thumbs", value=True)),
        outcome(1, feedback("a", "thumbs", value=False)),
        outcome(1, feedback("a", "rating", value=4)),
        outcome(1, feedback("a", "rating")),
        outcome(1, feedback("a", "thumbs")),
    ]
    assert read(an_observer(), *said) == {"thumbs_down": [0.0, 1.0], "rating": [4.0]}


def test_only_a_rise_of_errors_and_thumbs_down_is_bad() -> None:
    said = [outcome(1, label("a", 1)), outcome(1, feedback("a", "thumbs", value=True))]
    said.append(outcome(1, feedback("a", "rating", value=1)))
    specs = {spec.key.signal: spec for spec, _ in an_observer().read_outcomes(together(said))}
    assert {name: spec.only_rise for name, spec in specs.items()} == {
        "error": True, "thumbs_down": True, "rating": False,
    }  # fmt: skip
    assert (specs["error"].kind, specs["rating"].kind) == (Kind.PERFORMANCE, Kind.FEEDBACK)


def test_outcomes_that_nobody_asked_for_are_not_read() -> None:
    observer = an_observer(signals=Signals(error=False, feedback=False))
    said = [outcome(1, label("a", 1)), outcome(1, feedback("a", "thumbs", value=True))]
    assert read(observer, *said) == {}


# Predictions


def test_a_signal_exists_only_where_its_field_does() -> None:
    assert values(an_observer(), prediction("p", None)) == {}


def test_the_score_is_read_where_it_is_given() -> None:
    predictions = [prediction("p", None, score=0.5), prediction("p", None), prediction("p", None, score=0.7)]
    assert values(an_observer(), *predictions) == {"score": [0.5, 0.7]}


def test_an_output_that_is_a_number_is_read_as_it_is() -> None:
    assert values(an_observer(), *(prediction("p", out) for out in (1, 2.5, True))) == {
        "output": [1.0, 2.5, 1.0]
    }


def test_an_output_that_is_text_is_read_as_the_rate_of_each_class_since_it_was_met() -> None:
    assert values(an_observer(), *(prediction("p", out) for out in ("a", "b", "a"))) == {
        "output:a": [1.0, 0.0, 1.0],
        "output:b": [1.0, 0.0],
    }


def test_a_class_that_is_known_is_read_when_it_does_not_come() -> None:
    observer = an_observer()
    values(observer, prediction("p", "a"), prediction("p", "b"))
    assert values(observer, prediction("p", "b")) == {"output:a": [0.0], "output:b": [1.0]}


def test_classes_beyond_the_bound_share_a_rate_and_are_counted() -> None:
    observer, tally = an_observer(bounds=Bounds(classes=3)), Tally()
    first = columns(observer, *(prediction("p", f"c{n}") for n in range(5)), tally=tally)
    assert len(first) == 4
    assert first["output:other"][1] == [0.0, 1.0, 1.0]
    assert tally.counts["evicted_total", ("classes",)] == 2
    assert values(observer, prediction("p", "c0"), prediction("p", "new"))["output:other"] == [0.0, 1.0]


def test_usage_is_read_name_by_name() -> None:
    predictions = [
        prediction("p", None, usage={"latency_ms": 12.5, "input_tokens": 3}),
        prediction("p", None, usage={"latency_ms": 13}),
        prediction("p", None),
    ]
    assert values(an_observer(), *predictions) == {"latency_ms": [12.5, 13.0], "input_tokens": [3.0]}


def test_a_numeric_feature_is_read_with_whether_it_is_missing() -> None:
    assert values(an_observer(), given(age=3), given(age=None), given(other=1)) == {
        "feature:age": [3.0],
        "missing:age": [0.0, 1.0, 1.0],
        "feature:other": [1.0],
        "missing:other": [0.0],
    }


def test_a_prediction_without_features_says_nothing_of_them() -> None:
    assert values(an_observer(), given(age=3), prediction("p", None)) == {
        "feature:age": [3.0],
        "missing:age": [0.0],
    }


def test_a_feature_is_met_with_its_first_value() -> None:
    assert values(an_observer(), given(age=None), given(age=None)) == {}


@pytest.mark.parametrize(("first", "then"), [(3, "three"), ("three", 3), ("three", True)])
def test_a_feature_whose_type_changes_is_missing(first: object, then: object) -> None:
    assert values(an_observer(), given(x=first), given(x=then))["missing:x"] == [0.0, 1.0]


def test_a_boolean_feature_is_a_number() -> None:
    assert values(an_observer(), given(x=True), given(x=0))["feature:x"] == [1.0, 0.0]


def test_only_a_rise_of_missing_values_is_bad() -> None:
    read_ = columns(an_observer(), given(x=1))
    assert read_["missing:x"][0].only_rise
    assert read_["missing:x"][0].kind is Kind.DATA_QUALITY
    assert not read_["feature:x"][0].only_rise
    assert read_["feature:x"][0].kind is Kind.DRIFT


def test_a_category_that_was_not_seen_while_learning_is_new() -> None:
    observer = an_observer()
    learned = values(observer, *(given(x="red") for _ in range(LEARNING)))
    assert "new_category:x" not in learned
    assert values(observer, given(x="red"), given(x="blue"))["new_category:x"] == [0.0, 1.0]


def test_learning_ends_in_the_middle_of_a_batch() -> None:
    read_ = values(an_observer(), *(given(x="red") for _ in range(LEARNING)), given(x="blue"))
    assert read_["new_category:x"] == [1.0]


def test_a_feature_of_too_many_categories_has_no_new_ones() -> None:
    observer, tally = an_observer(bounds=Bounds(categories=5)), Tally()
    columns(observer, *(given(x=f"name-{n}") for n in range(LEARNING)), tally=tally)
    assert tally.counts["evicted_total", ("categories",)] == 6
    assert "new_category:x" not in values(observer, given(x="another"))
    assert observer.shape.features["x"].categories == set()


def test_features_beyond_the_bound_are_counted_and_not_watched() -> None:
    tally = Tally()
    read_ = columns(an_observer(bounds=Bounds(features=1)), given(x=1, y=2), tally=tally)
    assert read_.keys() == {"feature:x", "missing:x"}
    assert tally.counts["evicted_total", ("features",)] == 1


def test_families_that_nobody_asked_for_are_not_read() -> None:
    off = Signals(score=False, output=False, features=False, missing=False, new_category=False, usage=False)
    observer = an_observer(signals=off)
    full = prediction("p", "yes", score=0.5, usage={"cost": 1}, features={"x": 1, "y": "red"})
    assert values(observer, *[full] * (LEARNING + 1)) == {}


def test_a_feature_number_of_any_size_is_bounded() -> None:
    assert values(an_observer(), given(x=-1.7e308))["feature:x"] == [-LARGEST]


@pytest.mark.parametrize("cut", [1, 7, 31])
def test_the_readings_do_not_depend_on_the_cut(cut: int) -> None:
    happenings = [
        prediction(
            "p", f"c{n % 25}" if n % 3 else n, features={f"f{n % 4}": n, "x": f"v{n % 9}" if n % 5 else n}
        )
        for n in range(120)
    ]
    whole = values(an_observer(), *happenings)
    observer, pieces = an_observer(), dict[str, list[float]]()
    for start in range(0, len(happenings), cut):
        for signal, part in values(observer, *happenings[start : start + cut]).items():
            pieces.setdefault(signal, []).extend(part)
    assert pieces == whole


def test_what_was_learned_is_marked_as_changed_once() -> None:
    observer = an_observer()
    values(observer, given(x=1))
    assert observer.changed
    observer.changed = False
    values(observer, given(x=2))
    assert not observer.changed
