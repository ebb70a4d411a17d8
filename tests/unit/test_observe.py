"""Observe: which signals are read off predictions and outcomes, and with which values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
import pytest

from schemas.alerts import Kind
from schemas.events import Event, Feedback, Scalar
from schemas.policy import Bounds, Detectors, Policy, Signals, Task
from stream.core.columns import Batch
from stream.core.forms import Forms
from stream.core.nouns import Admitted, Outcome, PredictionKept, Record, SeriesSpec, Tally, Topic
from stream.core.observe import Observer
from stream.core.outcomes import Outcomes
from stream.core.reading import Reader, Source
from stream.core.sheets import LARGEST, Sheet
from tests.flow.timeline import Happening, at, feedback, label, prediction, to_bytes

_numbers = count()
LEARNING = 30


@dataclass
class Version:
    """A version of a model, with the reader of its signals."""

    observer: Observer
    reader: Reader

    def read(
        self, batch: Batch, outcomes: Sequence[Outcomes] = (), tally: Tally | None = None
    ) -> dict[str, tuple[SeriesSpec, list[float]]]:
        """Give what is read, by signal."""
        source = Source({"1": self.observer}, batch.all(), outcomes)
        return by_signal(self.reader.read([source], tally or Tally()))


def by_signal(sheet: Sheet | None) -> dict[str, tuple[SeriesSpec, list[float]]]:
    read: dict[str, tuple[SeriesSpec, list[float]]] = {}
    if sheet is not None:
        for cell, value in zip(sheet.cell.tolist(), sheet.values.tolist(), strict=True):
            observer, column = sheet.series(cell)
            spec = observer.spec(column)
            read.setdefault(spec.key.signal, (spec, []))[1].append(value)
    return read


def a_version(
    *, task: Task = Task.AUTO, signals: Signals | None = None, bounds: Bounds | None = None
) -> Version:
    policy = Policy(
        task=task,
        signals=signals or Signals(),
        detectors=Detectors(warm_up=LEARNING),
        bounds=bounds or Bounds(),
    )
    return Version(Observer("m", "1", policy), Reader(policy.signals, policy.task, Forms()))


def admitted(happening: Happening) -> Admitted:
    seq = next(_numbers)
    event: Event = msgspec.json.decode(to_bytes(at(seq), happening), type=Event)
    return Admitted(seq, at(seq), event, Record(Topic.PREDICTIONS, 0, seq, at(seq), b""))


def columns(
    version: Version, *happenings: Happening, tally: Tally | None = None
) -> dict[str, tuple[SeriesSpec, list[float]]]:
    """Read *happenings*, predictions of the version."""
    batch = Batch.of([admitted({"version": "1", **happening}) for happening in happenings])
    return version.read(batch, tally=tally)


def values(version: Version, *happenings: Happening, tally: Tally | None = None) -> dict[str, list[float]]:
    return {signal: read for signal, (_, read) in columns(version, *happenings, tally=tally).items()}


def given(**features: object) -> Happening:
    return prediction("p", None, features=features)


def outcome(output: Scalar | None, said: Happening) -> Outcome:
    at_ = admitted(said)
    assert isinstance(at_.event, Feedback)
    return Outcome(at_, at_.time, PredictionKept(at_.time, "1", output, None), at_.event, at_.time)


def specs_and_values(version: Version, *outcomes: Outcome) -> dict[str, tuple[SeriesSpec, list[float]]]:
    batch = Batch.of([outcome.at for outcome in outcomes])
    batch.topics[:] = Topic.FEEDBACK
    return version.read(batch, [Outcomes.of(batch, list(enumerate(outcomes)))])


def read(version: Version, *outcomes: Outcome) -> dict[str, list[float]]:
    return {signal: found for signal, (_, found) in specs_and_values(version, *outcomes).items()}


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
    assert read(a_version(), outcome(output, label("a", truth))) == {"error": [error]}


@pytest.mark.parametrize(
    ("task", "error"), [(Task.CLASSIFICATION, 1.0), (Task.REGRESSION, 2.0), (Task.AUTO, 2.0)]
)
def test_the_task_says_whether_numbers_are_classes(task: Task, error: float) -> None:
    assert read(a_version(task=task), outcome(3, label("a", 1))) == {"error": [error]}


def test_there_is_no_error_without_output() -> None:
    assert read(a_version(), outcome(None, label("a", 1))) == {}


@pytest.mark.parametrize("kind", ["complaint", "appeal", "thumbs"])
def test_a_label_in_feedback_of_another_kind_is_none(kind: str) -> None:
    assert read(a_version(), outcome(1, feedback("a", kind, label=0))) == {}


def test_an_override_says_what_was_true() -> None:
    assert read(a_version(), outcome(1, feedback("a", "override", label=0))) == {"error": [1.0]}


def test_an_error_that_is_too_large_to_square_is_read_as_the_largest() -> None:
    assert read(a_version(), outcome(1.7e308, label("a", -1.7e308))) == {"error": [LARGEST]}


def test_thumbs_down_and_ratings_are_signals() -> None:
    said = [
        outcome(1, feedback("a", "thumbs", value=True)),
        outcome(1, feedback("a", "thumbs", value=False)),
        outcome(1, feedback("a", "rating", value=4)),
        outcome(1, feedback("a", "rating")),
        outcome(1, feedback("a", "thumbs")),
    ]
    assert read(a_version(), *said) == {"thumbs_down": [0.0, 1.0], "rating": [4.0]}


def test_only_a_rise_of_errors_and_thumbs_down_is_bad() -> None:
    said = [outcome(1, label("a", 1)), outcome(1, feedback("a", "thumbs", value=True))]
    said.append(outcome(1, feedback("a", "rating", value=1)))
    specs = {signal: spec for signal, (spec, _) in specs_and_values(a_version(), *said).items()}
    assert {name: spec.only_rise for name, spec in specs.items()} == {
        "error": True, "thumbs_down": True, "rating": False,
    }  # fmt: skip
    assert (specs["error"].kind, specs["rating"].kind) == (Kind.PERFORMANCE, Kind.FEEDBACK)


def test_outcomes_that_nobody_asked_for_are_not_read() -> None:
    version = a_version(signals=Signals(error=False, feedback=False))
    said = [outcome(1, label("a", 1)), outcome(1, feedback("a", "thumbs", value=True))]
    assert read(version, *said) == {}


# Predictions


def test_a_signal_exists_only_where_its_field_does() -> None:
    assert values(a_version(), prediction("p", None)) == {}


def test_the_score_is_read_where_it_is_given() -> None:
    predictions = [prediction("p", None, score=0.5), prediction("p", None), prediction("p", None, score=0.7)]
    assert values(a_version(), *predictions) == {"score": [0.5, 0.7]}


def test_an_output_that_is_a_number_is_read_as_it_is() -> None:
    assert values(a_version(), *(prediction("p", out) for out in (1, 2.5, True))) == {
        "output": [1.0, 2.5, 1.0]
    }


def test_an_output_that_is_text_is_read_as_the_rate_of_each_class_since_it_was_met() -> None:
    assert values(a_version(), *(prediction("p", out) for out in ("a", "b", "a"))) == {
        "output:a": [1.0, 0.0, 1.0],
        "output:b": [1.0, 0.0],
    }


def test_a_class_that_is_known_is_read_when_it_does_not_come() -> None:
    version = a_version()
    values(version, prediction("p", "a"), prediction("p", "b"))
    assert values(version, prediction("p", "b")) == {"output:a": [0.0], "output:b": [1.0]}


def test_classes_beyond_the_bound_share_a_rate_and_are_counted() -> None:
    version, tally = a_version(bounds=Bounds(classes=3)), Tally()
    first = values(version, *(prediction("p", f"c{n}") for n in range(5)), tally=tally)
    assert len(first) == 4
    assert tally.counts["evicted_total", ("classes",)] == 2
    assert len(version.observer.dropping["classes"]) == 2
    assert first["output:other"] == [0.0, 1.0, 1.0]
    assert values(version, prediction("p", "c0"), prediction("p", "new"))["output:other"] == [0.0, 1.0]


def test_a_class_called_other_has_one_rate_together_with_the_classes_beyond_the_bound() -> None:
    version = a_version(bounds=Bounds(classes=3))
    classes = ("other", *(f"c{n}" for n in range(2)))
    values(version, *(prediction("p", name) for name in classes))
    outputs = ("c0", "other", "beyond", "c1")
    assert values(version, *(prediction("p", out) for out in outputs))["output:other"] == [0.0, 1.0, 1.0, 0.0]


def test_usage_is_read_name_by_name() -> None:
    predictions = [
        prediction("p", None, usage={"latency_ms": 12.5, "input_tokens": 3}),
        prediction("p", None, usage={"latency_ms": 13}),
        prediction("p", None),
    ]
    assert values(a_version(), *predictions) == {"latency_ms": [12.5, 13.0], "input_tokens": [3.0]}


def test_a_numeric_feature_is_read_with_whether_it_is_missing() -> None:
    assert values(a_version(), given(age=3), given(age=None), given(other=1)) == {
        "feature:age": [3.0],
        "missing:age": [0.0, 1.0, 1.0],
        "feature:other": [1.0],
        "missing:other": [0.0],
    }


def test_a_prediction_without_features_says_nothing_of_them() -> None:
    assert values(a_version(), given(age=3), prediction("p", None)) == {
        "feature:age": [3.0],
        "missing:age": [0.0],
    }


def test_a_feature_is_met_with_its_first_value() -> None:
    assert values(a_version(), given(age=None), given(age=None)) == {}


@pytest.mark.parametrize(("first", "then"), [(3, "three"), ("three", 3), ("three", True)])
def test_a_feature_whose_type_changes_is_missing(first: object, then: object) -> None:
    assert values(a_version(), given(x=first), given(x=then))["missing:x"] == [0.0, 1.0]


def test_a_boolean_feature_is_a_number() -> None:
    assert values(a_version(), given(x=True), given(x=0))["feature:x"] == [1.0, 0.0]


def test_only_a_rise_of_missing_values_is_bad() -> None:
    read_ = columns(a_version(), given(x=1))
    assert read_["missing:x"][0].only_rise
    assert read_["missing:x"][0].kind is Kind.DATA_QUALITY
    assert not read_["feature:x"][0].only_rise
    assert read_["feature:x"][0].kind is Kind.DRIFT


def test_a_category_that_was_not_seen_while_learning_is_new() -> None:
    version = a_version()
    learned = values(version, *(given(x="red") for _ in range(LEARNING)))
    assert "new_category:x" not in learned
    assert values(version, given(x="red"), given(x="blue"))["new_category:x"] == [0.0, 1.0]


def test_learning_ends_in_the_middle_of_a_batch() -> None:
    read_ = values(a_version(), *(given(x="red") for _ in range(LEARNING)), given(x="blue"))
    assert read_["new_category:x"] == [1.0]


def test_a_feature_of_too_many_categories_has_no_new_ones() -> None:
    version, tally = a_version(bounds=Bounds(categories=5)), Tally()
    values(version, *(given(x=f"name-{n}") for n in range(LEARNING)), tally=tally)
    assert tally.counts["evicted_total", ("categories",)] == 6
    assert len(version.observer.dropping["categories"]) == 1
    assert "new_category:x" not in values(version, given(x="another"))
    assert version.observer.shape.features["x"].categories == set()


def test_features_beyond_the_bound_are_counted_and_not_watched() -> None:
    tally = Tally()
    read_ = columns(a_version(bounds=Bounds(features=1)), given(x=1, y=2), tally=tally)
    assert read_.keys() == {"feature:x", "missing:x"}
    assert tally.counts["evicted_total", ("features",)] == 1


def test_families_that_nobody_asked_for_are_not_read() -> None:
    off = Signals(score=False, output=False, features=False, missing=False, new_category=False, usage=False)
    version = a_version(signals=off)
    full = prediction("p", "yes", score=0.5, usage={"cost": 1}, features={"x": 1, "y": "red"})
    assert values(version, *[full] * (LEARNING + 1)) == {}


def test_a_feature_number_of_any_size_is_bounded() -> None:
    assert values(a_version(), given(x=-1.7e308))["feature:x"] == [-LARGEST]


@pytest.mark.parametrize("cut", [1, 7, 31])
def test_the_readings_do_not_depend_on_the_cut(cut: int) -> None:
    happenings = [
        prediction(
            "p", f"c{n % 25}" if n % 3 else n, features={f"f{n % 4}": n, "x": f"v{n % 9}" if n % 5 else n}
        )
        for n in range(120)
    ]
    whole = values(a_version(), *happenings)
    version, pieces = a_version(), dict[str, list[float]]()
    for start in range(0, len(happenings), cut):
        for signal, part in values(version, *happenings[start : start + cut]).items():
            pieces.setdefault(signal, []).extend(part)
    assert pieces == whole


def test_what_was_learned_is_marked_as_changed_once() -> None:
    version = a_version()
    values(version, given(x=1))
    assert version.observer.changed
    version.observer.changed = False
    values(version, given(x=2))
    assert not version.observer.changed
