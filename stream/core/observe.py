"""Observe: predictions and outcomes to readings, a column for each series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter, itemgetter, ne, sub
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.events import FeedbackKind, Prediction
from schemas.policy import Policy, Task
from stream.core.columns import Arrivals, Outcomes
from stream.core.nouns import (
    TRUTH,
    Column,
    Outcome,
    Readings,
    SeriesKey,
    SeriesSpec,
    Tally,
    says_what_was_true,
)

Features = dict[str, bool | int | float | str | None]

_SCORE, _OUTPUT, _FEATURES = attrgetter("score"), attrgetter("output"), attrgetter("features")
_KIND, _LABEL, _VALUE = attrgetter("kind"), attrgetter("label"), attrgetter("value")
_OPINIONS = {FeedbackKind.THUMBS, FeedbackKind.RATING}
_USAGE = {name: attrgetter(name) for name in ("latency_ms", "input_tokens", "output_tokens", "cost")}
_NUMBERS = {bool, int, float}
LARGEST = 1e100
"""Numbers of a larger size are read as this: their squares and sums must stay finite."""

CLASSES_MAX = 20
"""Classes of an output that get a rate of their own; what comes later shares one under ``other``."""


class Stand(NamedTuple):
    """Where readings stand: the events that completed them, and their times, in seconds since the epoch.

    The columns of a batch share it: most series have a reading of every event.
    """

    at: Arrivals
    times: NDArray[np.float64]

    def only(self, places: Sequence[int]) -> Stand:
        """Give the part at *places*."""
        if len(places) == len(self.at):
            return self
        which = np.array(places, dtype=np.intp)
        return Stand(self.at.only(which), self.times[which])

    def since(self, start: int) -> Stand:
        """Give the part from place *start* on."""
        return Stand(self.at[start:], self.times[start:]) if start else self


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
        self.dropping: list[int] = []
        """The numbers of events that named features for which there is no room; whoever asks empties it."""

    def read_predictions(self, predictions: Arrivals, tally: Tally) -> Iterator[Column]:
        """Give score, output, usage and features of *predictions*, which are of this version, in order."""
        events = cast("list[Prediction]", predictions.events())
        stand = Stand(predictions, predictions.times())
        if self._signals.score:
            yield from self._optional("score", Kind.DRIFT, stand, list(map(_SCORE, events)))
        if self._signals.output:
            yield from self._output(stand, list(map(_OUTPUT, events)))
        if self._signals.usage:
            places = [place for place, event in enumerate(events) if event.usage is not None]
            used = [events[place].usage for place in places]
            there = stand.only(places)
            for name, get in _USAGE.items():
                yield from self._optional(name, Kind.USAGE, there, list(map(get, used)))
        features = list(map(_FEATURES, events))
        if None in features:
            places = [place for place, given in enumerate(features) if given is not None]
            stand = stand.only(places)
        described = [given for given in features if given is not None]
        if described:
            yield from self._features(stand, described, tally)

    def read_outcomes(self, outcomes: Outcomes) -> Iterator[Column]:
        """Give the error, and what people said, of *outcomes*, which are of this version, in order."""
        stand = Stand(outcomes.at, outcomes.times)
        if self._signals.error:
            yield from self._optional(
                "error", Kind.PERFORMANCE, stand, self._errors(outcomes), only_rise=True
            )
        if self._signals.feedback and not _OPINIONS.isdisjoint(map(_KIND, outcomes.feedback)):
            said = outcomes.feedback
            thumbs = [
                None if one.value is None or one.kind is not FeedbackKind.THUMBS else 1.0 - bool(one.value)
                for one in said
            ]
            yield from self._optional("thumbs_down", Kind.FEEDBACK, stand, thumbs, only_rise=True)
            ratings = [
                None if one.value is None or one.kind is not FeedbackKind.RATING else float(one.value)
                for one in said
            ]
            yield from self._optional("rating", Kind.FEEDBACK, stand, ratings)

    def _errors(self, outcomes: Outcomes) -> Sequence[float | None]:
        """Give what :meth:`error` gives for each, all at once where they are of one kind."""
        labels, outputs = list(map(_LABEL, outcomes.feedback)), outcomes.outputs
        kinds = set(map(type, labels)) | set(map(type, outputs))
        if type(None) not in kinds and TRUTH.issuperset(map(_KIND, outcomes.feedback)):
            if self._task is Task.CLASSIFICATION or kinds in ({str}, {bool}):
                return list(map(float, map(ne, outputs, labels)))
            if kinds <= {int, float}:
                numbers = cast("list[list[float]]", [outputs, labels])
                return list(map(abs, map(sub, *(map(float, side) for side in numbers))))
        return list(map(self.error, outcomes))

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

    def _optional(
        self,
        signal: str,
        kind: Kind,
        stand: Stand,
        values: Sequence[float | None],
        *,
        only_rise: bool = False,
    ) -> Iterator[Column]:
        """Give the readings that there are of *values*, of which some may be None."""
        column = np.array(values, dtype=np.float64)  # None becomes NaN, which no event can hold
        absent = np.isnan(column)
        if absent.any():
            there = np.flatnonzero(~absent)
            column, stand = column[there], stand.only(there.tolist())
        yield from self._numbers(signal, kind, stand, column, only_rise=only_rise)

    def _numbers(
        self,
        signal: str,
        kind: Kind,
        stand: Stand,
        values: NDArray[np.float64],
        *,
        only_rise: bool = False,
    ) -> Iterator[Column]:
        if len(values):
            bounded = np.minimum(np.maximum(values, -LARGEST), LARGEST)
            readings = Readings(values=bounded, times=stand.times, at=stand.at)
            yield self._spec(signal, kind, only_rise=only_rise), readings

    def _output(self, stand: Stand, outputs: Sequence[bool | int | float | str | None]) -> Iterator[Column]:
        kinds = set(map(type, outputs))
        if str not in kinds:
            yield from self._optional("output", Kind.DRIFT, stand, outputs)  # type: ignore[arg-type]
            return
        numbers = [None if isinstance(output, str) else output for output in outputs]
        yield from self._optional("output", Kind.DRIFT, stand, numbers)
        places = [place for place, output in enumerate(outputs) if isinstance(output, str)]
        yield from self._classes(stand.only(places), [str(outputs[place]) for place in places])

    def _classes(self, stand: Stand, names: Sequence[str]) -> Iterator[Column]:
        """Give the rate of each class of an output, from where the class is known."""
        classes = self.shape.classes
        starts: dict[str, int] = dict.fromkeys(classes, 0)
        for place, name in enumerate(names):
            if name not in starts and len(classes) < CLASSES_MAX:
                classes.append(name)
                starts[name] = place
                self.changed = True
        for wanted, start in starts.items():
            rate = np.array([name == wanted for name in names[start:]], dtype=np.float64)
            yield from self._numbers(f"output:{wanted}", Kind.DRIFT, stand.since(start), rate)
        if len(classes) >= CLASSES_MAX:
            start = max(starts.values())
            rest = np.array([name not in starts for name in names[start:]], dtype=np.float64)
            yield from self._numbers("output:other", Kind.DRIFT, stand.since(start), rest)

    def _features(self, stand: Stand, described: Sequence[Features], tally: Tally) -> Iterator[Column]:
        starts = self._meet(stand, described, tally)
        for name, feature in self.shape.features.items():
            start = starts.get(name, 0)
            own, given = stand.since(start), described[start:] if start else described
            column = _complete(name, given, numeric=feature.numeric)
            if column is not None:
                fits, absent = own, np.zeros(len(given))
            else:
                values = [features.get(name) for features in given]
                places = [
                    place
                    for place, value in enumerate(values)
                    if value is not None and isinstance(value, str) is not feature.numeric
                ]
                fits, column = own.only(places), [values[place] for place in places]
                absent = np.ones(len(given))
                absent[places] = 0.0
            if self._signals.missing:
                yield from self._numbers(f"missing:{name}", Kind.DATA_QUALITY, own, absent, only_rise=True)
            if feature.numeric and self._signals.features:
                numbers = np.array(column, dtype=np.float64)
                yield from self._numbers(f"feature:{name}", Kind.DRIFT, fits, numbers)
            if not feature.numeric and self._signals.new_category:
                yield from self._categories(name, feature, fits, column)

    def _meet(self, stand: Stand, described: Sequence[Features], tally: Tally) -> dict[str, int]:
        """Get to know new features; give the place in *described* from which on each of them is watched."""
        known = self.shape.features
        starts: dict[str, int] = {}
        if known.keys() >= set().union(*described):
            return starts
        for place, given in enumerate(described):
            if given.keys() <= known.keys():
                continue
            for name, value in given.items():
                if name in known or value is None:
                    continue
                if len(known) >= self._bounds.features:
                    tally.count("evicted_total", "features")
                    self.dropping.append(stand.at.seq(place))
                    continue
                known[name] = Feature(numeric=not isinstance(value, str))
                starts[name] = place
                self.changed = True
        return starts

    def _categories(
        self, name: str, feature: Feature, stand: Stand, values: Sequence[object]
    ) -> Iterator[Column]:
        learning = max(0, min(len(values), self._learning - feature.seen))
        if learning:
            self.changed = True
            feature.seen += learning
            for value in values[:learning]:
                if not feature.too_many:
                    feature.categories.add(str(value))
                if len(feature.categories) > self._bounds.categories:
                    feature.too_many = True
                    feature.categories.clear()
        if feature.too_many:
            return
        known, watched = feature.categories, values[learning:]
        if known.issuperset(watched):
            new = np.zeros(len(watched))
        else:
            new = np.array([value not in known for value in watched], dtype=np.float64)
        yield from self._numbers(
            f"new_category:{name}", Kind.DATA_QUALITY, stand.since(learning), new, only_rise=True
        )

    def _spec(self, signal: str, kind: Kind, *, only_rise: bool) -> SeriesSpec:
        spec = self._specs.get(signal)
        if spec is None:
            key = SeriesKey(self._model, self._version, "", signal)
            spec = self._specs[signal] = SeriesSpec(key=key, kind=kind, only_rise=only_rise)
        return spec


def _complete(name: str, given: Sequence[Features], *, numeric: bool) -> Sequence[object] | None:
    """Give the column of a feature that is there, and of its kind, in all of *given*; else None."""
    try:
        column = list(map(itemgetter(name), given))
    except KeyError:
        return None
    kinds = set(map(type, column))
    return column if (kinds <= _NUMBERS if numeric else kinds == {str}) else None
