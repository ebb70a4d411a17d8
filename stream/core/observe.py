"""Observe: what is known of a version of a model, and what of its events is read as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from schemas.baselines import PublishedBaseline
from schemas.events import FeedbackKind
from schemas.policy import Policy, Task
from stream.core.contents import CODE_OF, Said
from stream.core.forms import Feature, Features, Form, Forms, Shape, kind_of, series_of
from stream.core.nouns import SeriesKey, SeriesSpec, Tally
from stream.core.scalars import (
    FALSE,
    FLOAT,
    INT,
    TEXT,
    Numbers,
    Objects,
    Output,
    Scalars,
    numbers_of,
    objects_of,
)
from stream.core.segments import key_of
from stream.core.texts import all_short, short

BeginsWith = Callable[[SeriesKey], PublishedBaseline | None]


class Observer:
    """One version of a model as it is watched: its shape, and the slots of its series by their signals."""

    __slots__ = (
        "_bounds",
        "_form",
        "_learning",
        "alarming",
        "begins_with",
        "changed",
        "droppers",
        "dropping",
        "model",
        "series",
        "shape",
        "slots",
        "version",
    )

    def __init__(self, model: str, version: str, policy: Policy) -> None:
        self.model = model
        self.version = version
        self._bounds = policy.bounds
        self._learning = policy.detectors.warm_up
        self._form: Form | None = None
        self.shape = Shape()
        self.changed = False
        self.begins_with: BeginsWith = lambda _key: None
        """Gives the published baseline that a new series begins with."""
        self.dropping: dict[str, list[int]] = {}
        """The numbers of events that named what found no room, by store; whoever asks empties it."""
        self.droppers: set[str] = set()
        """The versions of the model of which that is to be asked for."""
        self.series: dict[str, int] = {}
        """The slot of each series that there is, by its column, also of those that the form has none for."""
        self.slots: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        """The slots of the form's columns; -1 where there is no such series yet."""
        self.alarming: set[str] = set()
        """The columns of series with an open incident."""

    def form(self, forms: Forms) -> Form:
        """Give the form of the version's predictions, by which its *slots* stand."""
        if self._form is None:
            self._form = forms.of(self.shape, self._bounds.classes)
            slots = [self.series.get(signal, -1) for signal in self._form.signals]
            self.slots = np.array(slots, dtype=np.intp)
        return self._form

    def take_shape(self, shape: Shape) -> None:
        """Take the shape of a checkpoint."""
        self.shape, self._form = shape, None

    def key(self, column: str) -> SeriesKey:
        """Name one of the version's series, by its column."""
        return SeriesKey(self.model, self.version, *series_of(column))

    def spec(self, column: int) -> SeriesSpec:
        """Say what the series of a column of the form is about."""
        assert self._form is not None  # noqa: S101 - a column is a form's
        key = self.key(self._form.signals[column])
        kind, only_rise = kind_of(key.signal)
        return SeriesSpec(key=key, kind=kind, only_rise=only_rise)

    def alarming_slots(self) -> Iterator[int]:
        """Give the slots of series with an open incident."""
        return (self.series[signal] for signal in self.alarming if signal in self.series)

    def give(self, signal: str, slot: int) -> None:
        """Take note of a series that was restored in *slot*."""
        self.series[signal] = slot
        self._form = None

    def add(self, column: int, slot: int) -> None:
        """Take note of a new series, in *slot*: that of a column of the form."""
        assert self._form is not None  # noqa: S101 - a column is a form's
        self.series[self._form.signals[column]] = slot
        self.slots[column] = slot

    def meet(self, described: Sequence[Features]) -> tuple[dict[str, int], list[int]]:
        """Get to know new features, of predictions in order.

        Gives the place in *described* from which on each of them is watched, and the places where there was
        no room for one, once for each that was named there.
        """
        known = self.shape.features
        starts: dict[str, int] = {}
        refused: list[int] = []
        for place, given in enumerate(described):
            if given.keys() <= known.keys():
                continue
            for name, value in given.items():
                if name in known or value is None:
                    continue
                if len(known) >= self._bounds.features:
                    refused.append(place)
                    continue
                known[name] = Feature(numeric=not isinstance(value, str))
                starts[name] = place
        self._reshape(starts)
        return starts, refused

    def meet_classes(self, names: Sequence[str]) -> dict[str, int]:
        """Get to know new classes of the output; give the place in *names* where each was met."""
        classes = self.shape.classes
        starts: dict[str, int] = {}
        known = set(classes)
        for place, name in enumerate(names):
            if len(classes) >= self._bounds.classes:
                break
            if name not in known:
                known.add(name)
                classes.append(name)
                starts[name] = place
        self._reshape(starts)
        return starts

    def meet_segments(self, names: Sequence[str]) -> list[int]:
        """Get to know new segments; give the places in *names* of those that find no room."""
        known = self.shape.segments
        met = set(known)
        if met.issuperset(names):
            return []
        of_key = Counter(map(key_of, known))
        starts: dict[str, int] = {}
        refused: list[int] = []
        for place, name in enumerate(names):
            if name in met:
                continue
            if of_key[key_of(name)] >= self._bounds.segments:
                refused.append(place)
                continue
            of_key[key_of(name)] += 1
            met.add(name)
            known.append(name)
            starts[name] = place
        self._reshape(starts)
        return refused

    def novelty(self, name: str, values: Sequence[str | None]) -> tuple[Sequence[float | None], int | None]:
        """Give 1 for categories of feature *name* that are new, 0 for known ones.

        None stands where there is no category, where it is learned, and where there are too many of them.
        Gives the place, too, at which they became too many.
        """
        feature = self.shape.features[name]
        left = self._learning - feature.seen
        if left <= 0 and not feature.too_many and feature.categories.issuperset(values):
            return [0.0] * len(values), None
        places = [place for place, value in enumerate(values) if value is not None]
        overflow = None
        if left > 0 and places:
            overflow = self._learn(feature, {place: cast("str", values[place]) for place in places[:left]})
            del places[:left]
        new: list[float | None] = [None] * len(values)
        if not feature.too_many:
            for place in places:
                new[place] = float(values[place] not in feature.categories)
        return new, overflow

    @property
    def categories_max(self) -> int:
        """How many categories a feature may have for new ones to be told."""
        return self._bounds.categories

    def drop(self, store: str, seqs: Sequence[int], tally: Tally, by: int) -> None:
        """Take note that events, numbered *seqs*, named what found no room in *store*: *by* names in all."""
        self.dropping.setdefault(store, []).extend(seqs)
        self.droppers.add(self.version)
        tally.count("evicted_total", store, by=by)

    def _learn(self, feature: Feature, values: Mapping[int, str]) -> int | None:
        """Learn the categories at each place; give the one at which they became too many."""
        self.changed = True
        feature.seen += len(values)
        if feature.too_many:
            return None
        if len(feature.categories.union(values.values())) <= self._bounds.categories:
            feature.categories.update(values.values())
            return None
        feature.too_many = True
        for place, value in values.items():
            feature.categories.add(value)
            if len(feature.categories) > self._bounds.categories:
                feature.categories.clear()
                return place
        raise AssertionError("more than the bound in all, and never more than it")

    def _reshape(self, starts: dict[str, int]) -> None:
        if starts:
            self.changed = True
            self._form = None


def errors(task: Task, outputs: Scalars, said: Said) -> Numbers:
    """Give what :func:`error` gives for each, all at once where they are of one kind; NaN for None.

    Outputs are as predictions that wait keep them: long texts are short.
    """
    labels, kinds = said.labels, {outputs.kind(), said.labels.kind()}
    if said.is_truth().all():
        differ: NDArray[np.bool_] | None = None
        if kinds == {TEXT}:
            texts = all_short(cast("Objects", labels.texts).tolist())
            differ = cast("Objects", outputs.texts) != objects_of(texts)
        elif kinds == {FALSE}:
            differ = outputs.kinds != labels.kinds
        elif kinds == {INT} and task is Task.CLASSIFICATION:
            differ = outputs.values != labels.values
        elif kinds == {FLOAT} and task is Task.CLASSIFICATION:
            differ = outputs.numbers() != labels.numbers()
        elif kinds <= {INT, FLOAT} and task is not Task.CLASSIFICATION:
            with np.errstate(over="ignore"):
                distances: Numbers = np.abs(outputs.numbers() - labels.numbers())
            return distances
        if differ is not None:
            return differ.astype(np.float64)
    truth = zip(outputs.list(), labels.list(), said.is_truth().tolist(), strict=True)
    return numbers_of([error(task, output, label) if told else None for output, label, told in truth])


def error(task: Task, output: Output, label: Output) -> float | None:
    """Give 0 or 1 for classes and the absolute error for numbers; None where either side is missing."""
    if output is None or label is None:
        return None
    if isinstance(output, str) or isinstance(label, str):
        return float(output != (short(label) if isinstance(label, str) else label))
    if task is Task.CLASSIFICATION or (isinstance(output, bool) and isinstance(label, bool)):
        return float(output != label)
    return abs(float(output) - float(label))


def opinions(kind: FeedbackKind, said: Said) -> Numbers:
    """Give the values of the feedback of one *kind*, NaN elsewhere; thumbs are 1 where they are down."""
    if said.values is None:
        return np.full(len(said), np.nan)
    values = np.where(said.kinds == CODE_OF[kind], said.values, np.nan)
    if kind is not FeedbackKind.THUMBS:
        return values
    return np.where(np.isnan(values), np.nan, values == 0.0)
