"""Reading: predictions and outcomes of many models and versions to one sheet of readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, pairwise
from math import isnan
from typing import NamedTuple

import numpy as np

from schemas.events import FeedbackKind
from schemas.policy import Signals, Task
from stream.core.columns import Arrivals, Batch
from stream.core.contents import Predicted, Said, Table
from stream.core.forms import COLUMN, OTHER, USAGE, Features, FeatureValue, Form, Forms
from stream.core.nouns import Tally, Topic
from stream.core.observe import Observer, errors, opinions
from stream.core.orders import order_of
from stream.core.outcomes import Outcomes, Share, joined
from stream.core.scalars import TEXT, Numbers, Scalars
from stream.core.segmented import Segmented, read_segments
from stream.core.sheets import Block, Places, Sheet, Stands, blank, runs_of_lanes, sheet_of
from stream.core.texts import all_short
from stream.core.values import absent_of, categories_of, numbers_of
from stream.core.versions import Own

_OPINIONS = {FeedbackKind.THUMBS: "thumbs_down", FeedbackKind.RATING: "rating"}


class Source(NamedTuple):
    """What one model gives to a sheet: its versions, its events and the outcomes that they completed."""

    versions: Mapping[str, Observer]
    events: Arrivals
    outcomes: Sequence[Outcomes | Share]


class _Numbers(dict[str, int]):
    """The numbers of a model's *versions* in a sheet, -1 where one is not watched; *lanes* are all."""

    def __init__(self, versions: Mapping[str, Observer], lanes: list[Observer]) -> None:
        self._versions = versions
        self._lanes = lanes

    def __missing__(self, version: str) -> int:
        number = -1
        if (observer := self._versions.get(version)) is not None:
            number = len(self._lanes)
            self._lanes.append(observer)
        self[version] = number
        return number

    def begin(self, versions: Sequence[str]) -> None:
        """Give numbers to different *versions*, all of them watched, before any other of the model."""
        self.update(zip(versions, count(len(self._lanes))))
        self._lanes.extend(map(self._versions.__getitem__, versions))


class _Lanes:
    """The versions that a sheet is of, numbered as they come; no two of *sources* are of one model."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.observers: list[Observer] = []
        self._numbers = [_Numbers(source.versions, self.observers) for source in sources]

    def of(self, named: Sequence[tuple[int, Sequence[str]]]) -> Places:
        """Give the number of each version that sources *named* in their order, -1 where it is not watched."""
        each = (map(self._numbers[source].__getitem__, versions) for source, versions in named)
        total = sum(len(versions) for _, versions in named)
        return np.fromiter(chain.from_iterable(each), dtype=np.intp, count=total)

    def begin(self, told: Sequence[tuple[int, Own]]) -> Places:
        """Give numbers to the versions that sources *told* of, before any other; those that have none are -1.

        They are of shape (n,), of all versions in their batch.
        """
        which = np.concatenate([np.arange(own.start, own.stop) for _, own in told])
        numbers = np.full(len(told[0][1].all.names), -1)
        numbers[which] = np.arange(len(which))
        for source, own in told:
            self._numbers[source].begin(own.names())
        return numbers


@dataclass(slots=True)
class _Part:
    """Predictions of the versions of one form: those with features, and those whose output is a class.

    Each with its places among all predictions. Features are in a *table* where all of them have those of the
    form; else they are *described* one by one, in *columns* where all of them have all.
    """

    form: Form
    table: Table | None
    described: Sequence[Features]
    described_at: Places
    columns: list[list[FeatureValue]] | None
    classes: Sequence[str]
    classes_at: Places


@dataclass(slots=True)
class _Predictions:
    """Predictions in the order of their forms, then of their versions, then of the log: what they say."""

    stands: Stands
    said: Predicted
    parts: list[_Part]


class _Completed(NamedTuple):
    """Outcomes in the order of their versions, then of the log."""

    stands: Stands
    outputs: Scalars
    said: Said
    segments: Sequence[tuple[str, ...]] | None


@dataclass(slots=True)
class _Met:
    """By lane, what was met now: features and classes, each with the place from which on it is watched."""

    features: dict[int, dict[str, int]] = field(default_factory=dict)
    classes: dict[int, dict[str, int]] = field(default_factory=dict)


class _Full(NamedTuple):
    """Takes note of names that found no room, by where the predictions that named them stand."""

    stands: Stands
    source: Source
    lanes: Sequence[Observer]
    tally: Tally

    def note(self, store: str, lane: int, places: Places) -> None:
        """Note that predictions at *places*, of one lane, named what found no room in *store*."""
        seqs = self.source.events.batch.seqs[self.stands.place[places]].tolist()
        by = self.lanes[lane].categories_max + 1 if store == "categories" else len(seqs)
        self.lanes[lane].drop(store, seqs, self.tally, by=by)


class Reader:
    """Reads the signals of models that have them in common; a signal exists only where its field does."""

    def __init__(self, signals: Signals, task: Task, forms: Forms) -> None:
        self._signals = signals
        self._task = task
        self._forms = forms

    def read(self, sources: Sequence[Source], tally: Tally) -> Sheet | None:
        """Read what *sources* give, which is of one batch; None where there is nothing to read.

        Versions get to know features and classes that are new; what finds no room counts as evicted.
        """
        lanes = _Lanes(sources)
        stands, came = _predictions(sources, lanes)
        blocks: list[Block] = []
        if came:
            told, met = self._arranged(stands, came, lanes.observers), _Met()
            if self._meet(told, met, lanes.observers, sources[0], tally):
                told = self._arranged(stands, came, lanes.observers)
            stands, full = told.stands, _Full(told.stands, sources[0], lanes.observers, tally)
            blocks += self._read_predictions(told)
            for part in told.parts:
                blocks += self._read_features(part, told, met, full)
                blocks += _read_classes(part, told, met, full)
        arranged = len(lanes.observers)
        completed = _completed(sources, lanes)
        if len(completed.said):
            places = np.arange(len(stands.lane), len(stands.lane) + len(completed.said))
            full = _Full(completed.stands, sources[0], lanes.observers, tally)
            blocks += self._read_outcomes(completed, places, full)
            stands = completed.stands.behind(stands)
        if not blocks:
            return None
        for observer in lanes.observers[arranged:]:
            observer.form(self._forms)
        sheet = sheet_of(lanes.observers, stands, blocks)
        return sheet if len(sheet.values) else None

    def _arranged(self, stands: Stands, came: Sequence[Arrivals], lanes: Sequence[Observer]) -> _Predictions:
        forms = [lane.form(self._forms) for lane in lanes]
        numbers = {form: number for number, form in enumerate(dict.fromkeys(forms))}
        of_lane = np.fromiter(map(numbers.__getitem__, forms), dtype=np.intp, count=len(forms))
        turns = np.empty(len(forms), dtype=np.intp)
        turns[order_of(of_lane, len(numbers))] = np.arange(len(forms))
        keys = turns[stands.lane]
        is_in_order = not (keys[1:] < keys[:-1]).any()
        if not is_in_order:
            stands = stands.only(order_of(keys, len(forms)))
        ends = np.bincount(of_lane[stands.lane], minlength=len(numbers)).cumsum().tolist()
        is_one = is_in_order and len(came) == 1
        said = came[0].predicted() if is_one else _said_at(stands.place, came[0].batch)
        parts = [
            self._part(form, said, start, stop)
            for form, (start, stop) in zip(numbers, pairwise([0, *ends]), strict=True)
        ]
        return _Predictions(stands, said, parts)

    def _part(self, form: Form, said: Predicted, start: int, stop: int) -> _Part:
        """Give the part of a form, the predictions from *start* to before *stop*."""
        own = said if (start, stop) == (0, len(said)) else said.take(slice(start, stop))
        table, described, described_at = own.table_of(form), list[Features](), np.arange(start, stop)
        columns = None
        if table is None:
            given = own.described()
            described_at = described_at[[one is not None for one in given]]
            described = [one for one in given if one is not None]
            columns = form.columns_of(described) if described else None
        classes: Sequence[str] = ()
        classes_at = np.empty(0, dtype=np.intp)
        if self._signals.output and own.outputs.texts is not None:
            classes_at = np.flatnonzero(own.outputs.kinds == TEXT)
            classes = all_short(own.outputs.texts[classes_at].tolist())
            classes_at += start
        return _Part(form, table, described, described_at, columns, classes, classes_at)

    def _meet(
        self, told: _Predictions, met: _Met, lanes: Sequence[Observer], source: Source, tally: Tally
    ) -> bool:
        """Let versions get to know what is new to them; tell whether their forms change."""
        seqs = source.events.batch.seqs
        for part in told.parts:
            form = part.form
            is_known = part.table is not None or part.columns is not None
            if not is_known and not form.rows.keys() >= set().union(*part.described):
                for lane, start, stop in runs_of_lanes(told.stands.lane[part.described_at]):
                    starts, refused = lanes[lane].meet(part.described[start:stop])
                    if starts:
                        met.features[lane] = starts
                    if refused:
                        places = told.stands.place[part.described_at[start:stop][refused]]
                        lanes[lane].drop("features", seqs[places].tolist(), tally, by=len(refused))
            if not form.is_full and not form.codes.keys() >= set(part.classes):
                for lane, start, stop in runs_of_lanes(told.stands.lane[part.classes_at]):
                    if starts := lanes[lane].meet_classes(part.classes[start:stop]):
                        met.classes[lane] = starts
        return bool(met.features or met.classes)

    def _read_predictions(self, told: _Predictions) -> Iterator[Block]:
        """Give score, output and usage."""
        said = told.said
        rows: dict[str, Numbers] = {}
        if self._signals.score:
            rows["score"] = said.scores
        if self._signals.output:
            rows["output"] = said.outputs.numbers()
        if self._signals.usage and said.usage is not None:
            rows |= zip(USAGE, said.usage, strict=True)
        yield from _block(rows, np.arange(len(said)))

    def _read_features(self, part: _Part, told: _Predictions, met: _Met, full: _Full) -> Iterator[Block]:
        """Give the values of features, whether they are missing, whether categories are new."""
        form, given, places, table = part.form, part.described, part.described_at, part.table
        signals, number = self._signals, len(part.described_at)
        if not number or not form.names:
            return
        numbers, is_complete = np.empty((0, number)), True
        with_categories = signals.missing or signals.new_category
        columns: Sequence[Sequence[FeatureValue]] = ()
        if table is not None:
            numbers, is_complete = table.numbers, not np.isnan(table.numbers).any()
            columns = table.categories.tolist() if with_categories else ()
        else:
            columns = part.columns or [[features.get(name) for features in given] for name in form.names]
            if signals.features or signals.missing:
                numbers, is_complete = numbers_of(columns[: len(form.numeric)], number)
            columns = columns[len(form.numeric) :]
        categories = list(map(categories_of, columns)) if with_categories else []
        if signals.features and form.numeric:
            yield Block(range(form.feature_at, form.missing_at), places, numbers)
        if signals.missing:
            absent = absent_of(None if is_complete else numbers, len(form.numeric), categories, number)
            blank(absent, form.rows, met.features, told.stands.lane[places])
            yield Block(range(form.missing_at, form.new_at), places, absent)
        if signals.new_category and categories:
            new = list(_novelty(form, categories, places, full))
            yield Block(range(form.new_at, form.class_at), places, np.array(new, dtype=np.float64))

    def _read_outcomes(self, completed: _Completed, places: Places, full: _Full) -> Iterator[Block]:
        """Give the errors, those in segments too, and what people said."""
        rows: dict[str, Numbers] = {}
        if self._signals.error:
            own = rows["error"] = errors(self._task, completed.outputs, completed.said)
            if completed.segments is not None:
                stands = Segmented(runs_of_lanes(full.stands.lane), full.lanes, completed.segments, places)
                yield from read_segments(stands, own, self._forms, full.note)
        if self._signals.feedback and completed.said.values is not None:
            for kind, signal in _OPINIONS.items():
                rows[signal] = opinions(kind, completed.said)
        yield from _block(rows, places)


def _predictions(sources: Sequence[Source], lanes: _Lanes) -> tuple[Stands, list[Arrivals]]:
    """Give the predictions of each of *sources* that has any, and where they stand, in this order."""
    of_each = [(number, source.events.of(Topic.PREDICTIONS)) for number, source in enumerate(sources)]
    of_each = [(number, own) for number, own in of_each if len(own)]
    came = [own for _, own in of_each]
    known = [(number, own.own) for number, own in of_each if own.own is not None]
    if came and len(known) == len(came):
        batch, of_row = came[0].batch, known[0][1].all.of_row
        places = np.concatenate([own.places for own in came])
        lane = lanes.begin(known)[of_row[batch.decoded.rows[places]]]
        return Stands(lane, places, batch.times[places]), came
    lane = lanes.of([(number, own.versions()) for number, own in of_each])
    return Stands.of(lane, [own.places for own in came], [own.times() for own in came]), came


def _said_at(places: Places, batch: Batch) -> Predicted:
    """Give what the predictions at *places* of *batch* say."""
    return batch.decoded.predicted.take(batch.decoded.rows[places])


def _completed(sources: Sequence[Source], lanes: _Lanes) -> _Completed:
    parts = [(number, part) for number, source in enumerate(sources) for part in source.outcomes]
    lane = lanes.of([(number, part.versions) for number, part in parts])
    places, times, outputs, said, segments = joined([part for _, part in parts])
    stands = Stands(lane, places, times)
    if len(lane) and (lane.min() < 0 or (lane[1:] < lane[:-1]).any()):
        order = order_of(lane + 1, len(lanes.observers) + 1)
        order = order[np.count_nonzero(lane < 0) :]  # what is no longer watched stands first
        stands, outputs, said = stands.only(order), outputs.take(order), said.take(order)
        segments = segments and [segments[place] for place in order.tolist()]
    return _Completed(stands, outputs, said, segments)


def _novelty(
    form: Form, columns: Sequence[Sequence[str | None]], places: Places, full: _Full
) -> Iterator[float | None]:
    """Give whether the categories of predictions at *places* are new, feature by feature."""
    runs = list(runs_of_lanes(full.stands.lane[places]))
    for name, column in zip(form.categorical, columns, strict=True):
        for lane, start, stop in runs:
            new, overflow = full.lanes[lane].novelty(name, column[start:stop])
            if overflow is not None:
                full.note("categories", lane, places[start + overflow : start + overflow + 1])
            yield from new


def _read_classes(part: _Part, told: _Predictions, met: _Met, full: _Full) -> Iterator[Block]:
    """Give the rate of each class of an output, from where the class is known.

    Classes that find no room share a rate.
    """
    form, names = part.form, part.classes
    if not names:
        return
    further = len(form.codes)
    codes = np.array([form.codes.get(name, further) for name in names])
    rates = (codes == np.arange(form.segment_at - form.class_at)[:, None]).astype(np.float64)
    lane = told.stands.lane[part.classes_at]
    blank(rates, form.codes, met.classes, lane)
    if form.is_full and (codes == further).any():
        for number, start, stop in runs_of_lanes(lane):
            if (other := np.flatnonzero(codes[start:stop] == further)).size:
                full.note("classes", number, part.classes_at[start + other])
    if form.is_full and OTHER in form.codes:
        rates[form.codes[OTHER]] += codes == further
    elif form.is_full:
        since = {number: {OTHER: max(starts.values())} for number, starts in met.classes.items()}
        blank(rates, {OTHER: further}, since, lane)
    yield Block(range(form.class_at, form.segment_at), part.classes_at, rates)


def _block(rows: Mapping[str, Numbers], places: Places) -> Iterator[Block]:
    """Give the table of the signals *rows*, without those of which there is no reading."""
    there = {
        COLUMN[signal]: row for signal, row in rows.items() if not isnan(row[0]) or not np.isnan(row).all()
    }
    if there:
        yield Block(list(there), places, np.array(list(there.values())))
