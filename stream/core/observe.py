"""Observe: predictions and outcomes to readings, a column for each series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.events import FeedbackKind, Prediction
from schemas.policy import Policy, Task
from stream.core.nouns import (
    Admitted,
    Column,
    Outcome,
    Readings,
    SeriesKey,
    SeriesSpec,
    Tally,
    says_what_was_true,
)

_USAGE = ("latency_ms", "input_tokens", "output_tokens", "cost")
LARGEST = 1e100
"""Numbers of a larger size are read as this: their squares and sums must stay finite."""

CLASSES_MAX = 20
"""Classes of an output that get a rate of their own; what comes later shares one under ``other``."""


class Feature(msgspec.Struct, kw_only=True):
    """What is known of one feature: a number or a category, and the categories seen while learning.

    ``seen`` counts readings while the categories are learned; an empty set that is closed watches none.
    """

    numeric: bool
    seen: int = 0
    categories: set[str] = msgspec.field(default_factory=set)
    too_many: bool = False


class Shape(msgspec.Struct, kw_only=True):
    """What is known of one version's predictions: its features and the classes of its output."""

    features: dict[str, Feature] = msgspec.field(default_factory=dict)
    classes: list[str] = msgspec.field(default_factory=list)


class Observer:
    """Reads the signals of one version of a model; a signal exists only where its field does."""

    def __init__(self, model: str, version: str, policy: Policy) -> None:
        self._model = model
        self._version = version
        self._signals = policy.signals
        self._task = policy.task
        self._bounds = policy.bounds
        self._learning = policy.detectors.warm_up
        self._specs: dict[str, SeriesSpec] = {}
        self.shape = Shape()
        self.changed = False

    def read_predictions(self, predictions: Sequence[Admitted], tally: Tally) -> Iterator[Column]:
        """Give score, output, usage and features of *predictions*, which are of this version, in order."""
        events = [(at, at.event) for at in predictions if isinstance(at.event, Prediction)]
        if self._signals.score:
            readings = [(at, event.score) for at, event in events if event.score is not None]
            yield from self._numbers("score", Kind.DRIFT, readings)
        if self._signals.output:
            yield from self._output([(at, event) for at, event in events if event.output is not None])
        if self._signals.usage:
            for name in _USAGE:
                used = [
                    (at, value)
                    for at, event in events
                    if event.usage is not None and (value := getattr(event.usage, name)) is not None
                ]
                yield from self._numbers(name, Kind.USAGE, used)
        described = [(at, event.features) for at, event in events if event.features is not None]
        if described:
            yield from self._features(described, tally)

    def read_outcomes(self, outcomes: Sequence[Outcome]) -> Iterator[Column]:
        """Give the error, and what people said, of *outcomes*, which are of this version, in order."""
        if self._signals.error:
            yield from self._outcomes(
                "error",
                Kind.PERFORMANCE,
                [(o, error) for o in outcomes if (error := self.error(o)) is not None],
            )
        if self._signals.feedback:
            thumbs = [
                (o, 1.0 - bool(o.feedback.value))
                for o in outcomes
                if o.feedback.kind is FeedbackKind.THUMBS and o.feedback.value is not None
            ]
            yield from self._outcomes("thumbs_down", Kind.FEEDBACK, thumbs)
            ratings = [
                (o, float(o.feedback.value))
                for o in outcomes
                if o.feedback.kind is FeedbackKind.RATING and o.feedback.value is not None
            ]
            yield from self._outcomes("rating", Kind.FEEDBACK, ratings, only_rise=False)

    def error(self, outcome: Outcome) -> float | None:
        """Give 0 or 1 for classes and the absolute error for numbers; None where either side is missing."""
        output, label = outcome.prediction.output, outcome.feedback.label
        if output is None or label is None or not says_what_was_true(outcome.feedback):
            return None
        quantities = not isinstance(output, str) and not isinstance(label, str)
        both_boolean = isinstance(output, bool) and isinstance(label, bool)
        if self._task is Task.CLASSIFICATION or not quantities or both_boolean:
            return float(output != label)
        return abs(float(output) - float(label))

    def _outcomes(
        self, signal: str, kind: Kind, readings: Sequence[tuple[Outcome, float]], *, only_rise: bool = True
    ) -> Iterator[Column]:
        if readings:
            yield (
                self._spec(signal, kind, only_rise=only_rise),
                Readings(
                    values=_bounded([value for _, value in readings]),
                    times=np.array([outcome.time for outcome, _ in readings], dtype=np.float64),
                    at=[outcome.at for outcome, _ in readings],
                ),
            )

    def _numbers(
        self, signal: str, kind: Kind, readings: Sequence[tuple[Admitted, float]], *, only_rise: bool = False
    ) -> Iterator[Column]:
        if readings:
            yield (
                self._spec(signal, kind, only_rise=only_rise),
                Readings(
                    values=_bounded([value for _, value in readings]),
                    times=np.array([at.time for at, _ in readings], dtype=np.float64),
                    at=[at for at, _ in readings],
                ),
            )

    def _output(self, readings: Sequence[tuple[Admitted, Prediction]]) -> Iterator[Column]:
        numbers = [
            (at, float(e.output))
            for at, e in readings
            if e.output is not None and not isinstance(e.output, str)
        ]
        yield from self._numbers("output", Kind.DRIFT, numbers)
        names = [(at, e.output) for at, e in readings if isinstance(e.output, str)]
        if not names:
            return
        classes = self.shape.classes
        starts: dict[str, int] = dict.fromkeys(classes, 0)
        for place, (_, name) in enumerate(names):
            if name not in starts and len(classes) < CLASSES_MAX:
                classes.append(name)
                starts[name] = place
                self.changed = True
        for wanted, start in starts.items():
            rate = [(at, float(name == wanted)) for at, name in names[start:]]
            yield from self._numbers(f"output:{wanted}", Kind.DRIFT, rate)
        if len(classes) >= CLASSES_MAX:
            rest = [(at, float(name not in starts)) for at, name in names[max(starts.values()) :]]
            yield from self._numbers("output:other", Kind.DRIFT, rest)

    def _features(
        self, described: Sequence[tuple[Admitted, dict[str, bool | int | float | str | None]]], tally: Tally
    ) -> Iterator[Column]:
        starts = self._meet(described, tally)
        for name, feature in self.shape.features.items():
            column = [(at, given.get(name)) for at, given in described[starts.get(name, 0) :]]
            fits = [
                (at, value)
                for at, value in column
                if value is not None and isinstance(value, str) is not feature.numeric
            ]
            if self._signals.missing:
                there = {at.seq for at, _ in fits} if len(fits) < len(column) else None
                missing = [(at, 0.0 if there is None or at.seq in there else 1.0) for at, _ in column]
                yield from self._numbers(f"missing:{name}", Kind.DATA_QUALITY, missing, only_rise=True)
            if feature.numeric and self._signals.features:
                finite = [(at, float(value)) for at, value in fits if not isinstance(value, str)]
                yield from self._numbers(f"feature:{name}", Kind.DRIFT, finite)
            if not feature.numeric and self._signals.new_category:
                categories = [(at, value) for at, value in fits if isinstance(value, str)]
                yield from self._categories(name, feature, categories)

    def _meet(
        self, described: Sequence[tuple[Admitted, dict[str, bool | int | float | str | None]]], tally: Tally
    ) -> dict[str, int]:
        """Get to know new features; give the place in *described* from which on each of them is watched."""
        known = self.shape.features
        starts: dict[str, int] = {}
        for place, (_, given) in enumerate(described):
            if given.keys() <= known.keys():
                continue
            for name, value in given.items():
                if name in known or value is None:
                    continue
                if len(known) >= self._bounds.features:
                    tally.count("evicted_total", "features")
                    continue
                known[name] = Feature(numeric=not isinstance(value, str))
                starts[name] = place
                self.changed = True
        return starts

    def _categories(
        self, name: str, feature: Feature, readings: Sequence[tuple[Admitted, str]]
    ) -> Iterator[Column]:
        learning = max(0, min(len(readings), self._learning - feature.seen))
        if learning:
            self.changed = True
            feature.seen += learning
            for _, value in readings[:learning]:
                if not feature.too_many:
                    feature.categories.add(value)
                if len(feature.categories) > self._bounds.categories:
                    feature.too_many = True
                    feature.categories.clear()
        if feature.too_many:
            return
        known = feature.categories
        new = [(at, float(value not in known)) for at, value in readings[learning:]]
        yield from self._numbers(f"new_category:{name}", Kind.DATA_QUALITY, new, only_rise=True)

    def _spec(self, signal: str, kind: Kind, *, only_rise: bool) -> SeriesSpec:
        spec = self._specs.get(signal)
        if spec is None:
            key = SeriesKey(self._model, self._version, "", signal)
            spec = self._specs[signal] = SeriesSpec(key=key, kind=kind, only_rise=only_rise)
        return spec


def _bounded(values: Sequence[float]) -> NDArray[np.float64]:
    return np.clip(np.array(values, dtype=np.float64), -LARGEST, LARGEST)
