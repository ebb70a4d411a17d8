"""Events in columns: what a step took, and the outcomes of it, without an object for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from schemas.events import Event, Feedback, Scalar
from stream.core.hashed import Hashes, hashes_of
from stream.core.nouns import UNVERSIONED, Admitted, Outcome, PredictionKept, Record, Topic

_VERSION = attrgetter("version")

T = TypeVar("T")


@dataclass(slots=True)
class Batch:
    """The events of a step, in the log's order: columns of one length.

    Times are in seconds since the epoch; *topics* are those of the records; *hashes* are those of the events'
    *ids* in this process; *seqs* are the events' numbers in the pipeline's order, and mean nothing for an
    event that was not taken.
    """

    events: Sequence[Event]
    records: Sequence[Record]
    times: NDArray[np.float64]
    topics: NDArray[np.int8]
    ids: Sequence[str]
    hashes: Hashes
    seqs: NDArray[np.int64]

    @classmethod
    def of(cls, admitted: Sequence[Admitted]) -> Batch:
        """Put events that were taken one by one into columns."""
        ids = [at.event.id for at in admitted]
        return cls(
            [at.event for at in admitted],
            [at.record for at in admitted],
            np.array([at.time for at in admitted], dtype=np.float64),
            np.array([at.record.topic for at in admitted], dtype=np.int8),
            ids,
            hashes_of(ids),
            np.array([at.seq for at in admitted], dtype=np.int64),
        )

    def all(self) -> Arrivals:
        """Give all of its events."""
        return Arrivals(self, np.arange(len(self.events)))


class Arrivals(Sequence[Admitted]):
    """Some events of a batch, in the log's order, by their places in it."""

    __slots__ = ("_by_topic", "_events", "_ids", "_versions", "batch", "places")

    def __init__(
        self, batch: Batch, places: NDArray[np.intp], by_topic: dict[int, Arrivals] | None = None
    ) -> None:
        """Take events by their *places*; *by_topic* are their parts, where these are known."""
        self.batch = batch
        self.places = places
        self._events: list[Event] | None = None
        self._ids: list[str] | None = None
        self._versions: list[str] | None = None
        self._by_topic = by_topic

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Admitted: ...
    @overload
    def __getitem__(self, index: slice) -> Arrivals: ...
    def __getitem__(self, index: int | slice) -> Admitted | Arrivals:
        """Give one event as an object, or a run of them."""
        if isinstance(index, slice):
            return Arrivals(self.batch, self.places[index])
        place, batch = int(self.places[index]), self.batch
        time, seq = float(batch.times[place]), int(batch.seqs[place])
        return Admitted(seq, time, batch.events[place], batch.records[place])

    def seq(self, index: int) -> int:
        """Give the number of one event in the pipeline's order."""
        return int(self.batch.seqs[self.places[index]])

    def seqs(self) -> NDArray[np.int64]:
        """Give the events' numbers in the pipeline's order, shape (n,)."""
        return self.batch.seqs[self.places]

    def only(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Arrivals:
        """Give the part at the places *which* of these, or where a mask holds."""
        return Arrivals(self.batch, self.places[which])

    def by_topic(self) -> Mapping[int, Arrivals]:
        """Give the parts that came by each topic, of those that there are."""
        if self._by_topic is None:
            topics = self.batch.topics[self.places]
            present = np.flatnonzero(np.bincount(topics, minlength=len(Topic))).tolist()
            if len(present) == 1:
                return {present[0]: self}  # kept, it would be a cycle, and the batch there until it is found
            self._by_topic = {topic: self.only(topics == topic) for topic in present}
        return self._by_topic

    def of(self, topic: Topic) -> Arrivals:
        """Give the part that came by *topic*."""
        part = self.by_topic().get(topic)
        return Arrivals(self.batch, self.places[:0]) if part is None else part

    def times(self) -> NDArray[np.float64]:
        """Give the events' times, shape (n,), in seconds since the epoch."""
        return self.batch.times[self.places]

    def hashes(self) -> Hashes:
        """Give the hashes of the events' ids, shape (n,)."""
        return self.batch.hashes[self.places]

    def events(self) -> list[Event]:
        """Give the events themselves."""
        if self._events is None:
            self._events = self._own(self.batch.events)
        return self._events

    def ids(self) -> list[str]:
        """Give the ids of the events."""
        if self._ids is None:
            self._ids = self._own(self.batch.ids)
        return self._ids

    def versions(self) -> list[str]:
        """Give the version of each event, all of which are predictions."""
        if self._versions is None:
            self._versions = versions_of(self.events())
        return self._versions

    def hold(self, events: list[Event], ids: list[str]) -> Arrivals:
        """Take the events and their ids from who has them at hand."""
        self._events, self._ids = events, ids
        return self

    def _own(self, column: Sequence[T]) -> list[T]:
        """Give what a *column* of the batch has at the places, which differ and are in order."""
        return list(column) if len(self.places) == len(column) else _at(column, self.places)


@dataclass(slots=True)
class Outcomes(Sequence[Outcome]):
    """Outcomes of one model in the order in which they were completed, in columns of one length.

    *at* are the events that completed them. Times are in seconds since the epoch: *times* when both sides
    were there, *predicted* and *said_at* when the prediction and the feedback were. *segments* are those that
    predictions are in; None where none is in any.
    """

    at: Arrivals
    predicted: NDArray[np.float64]
    versions: list[str]
    outputs: list[Scalar | None]
    scores: list[float | None]
    feedback: list[Feedback]
    said_at: NDArray[np.float64]
    segments: list[tuple[str, ...]] | None = None

    @property
    def times(self) -> NDArray[np.float64]:
        """When both sides of each outcome were there."""
        return np.maximum(self.predicted, self.said_at)

    @classmethod
    def of(cls, batch: Batch, found: Sequence[tuple[int, Outcome]]) -> Outcomes:
        """Put outcomes, each with the place in *batch* of the event that completed it, into columns."""
        return cls(
            Arrivals(batch, np.array([place for place, _ in found], dtype=np.intp)),
            np.array([one.prediction.time for _, one in found], dtype=np.float64),
            cast("list[str]", [one.prediction.version for _, one in found]),  # set apart by the join
            [one.prediction.output for _, one in found],
            [one.prediction.score for _, one in found],
            [one.feedback for _, one in found],
            np.array([one.feedback_time for _, one in found], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.feedback)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> list[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | list[Outcome]:
        """Give one outcome as an object."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        predicted, said_at = float(self.predicted[index]), float(self.said_at[index])
        kept = PredictionKept(predicted, self.versions[index], self.outputs[index], self.scores[index])
        return Outcome(self.at[index], max(predicted, said_at), kept, self.feedback[index], said_at)

    def only(self, which: Sequence[int]) -> Outcomes:
        """Give the part at the places *which*."""
        places = np.array(which, dtype=np.intp)
        return Outcomes(
            self.at.only(places),
            self.predicted[places],
            [self.versions[place] for place in which],
            [self.outputs[place] for place in which],
            [self.scores[place] for place in which],
            [self.feedback[place] for place in which],
            self.said_at[places],
            self.segments and [self.segments[place] for place in which],
        )


def by_model(batch: Batch, names: Sequence[str], part: range) -> dict[str, Arrivals]:
    """Give the events in *part* of *batch* of each model, in order; *names* are the models of all events."""
    own = names if len(part) == len(names) else names[part.start : part.stop]
    codes = {name: code for code, name in enumerate(dict.fromkeys(own))}
    if len(codes) == 1:
        return {own[0]: Arrivals(batch, np.arange(part.start, part.stop))}
    of = np.fromiter(map(codes.__getitem__, own), dtype=np.intp, count=len(own))
    with_topic = of * len(Topic) + batch.topics[part.start : part.stop]
    places = np.argsort(of, kind="stable") + part.start
    places_by_topic = np.argsort(with_topic, kind="stable") + part.start
    numbers = np.bincount(with_topic, minlength=len(codes) * len(Topic)).reshape(len(codes), len(Topic))
    events, ids = _at(batch.events, places_by_topic), _at(batch.ids, places_by_topic)
    arrivals: dict[str, Arrivals] = {}
    start = 0
    for name, of_topic in zip(codes, numbers.tolist(), strict=True):
        begin, parts = start, {}
        for topic, number in enumerate(of_topic):
            if number:
                here = slice(start, start + number)
                parts[topic] = Arrivals(batch, places_by_topic[here]).hold(events[here], ids[here])
                start += number
        arrivals[name] = Arrivals(batch, places[begin:start], parts)
    return arrivals


def _at(column: Sequence[T], places: NDArray[np.intp]) -> list[T]:
    return list(map(column.__getitem__, places.tolist()))


def versions_of(predictions: Sequence[Event]) -> list[str]:
    """Give the version of each of *predictions*."""
    return [version or UNVERSIONED for version in map(_VERSION, predictions)]
