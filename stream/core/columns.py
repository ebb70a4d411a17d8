"""Events in columns: what a step took, and the outcomes of it, without an object for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from schemas.events import Event
from stream.core.contents import Predicted, Said
from stream.core.decoded import Decoded
from stream.core.hashed import Hashes
from stream.core.nouns import Admitted, Record, Topic
from stream.core.orders import order_of
from stream.core.scalars import Objects, objects_of
from stream.core.versions import Own, versions_in

Places = NDArray[np.intp]


@dataclass(slots=True)
class Batch:
    """The events of a step, in the log's order: columns of one length.

    Times are in seconds since the epoch; *topics* are those of the records; *hashes* are those of the events'
    ids in this process; *seqs* are the events' numbers in the pipeline's order, and mean nothing for an event
    that was not taken.
    """

    decoded: Decoded
    records: Sequence[Record]
    seqs: NDArray[np.int64]
    times: NDArray[np.float64] = field(init=False)
    topics: NDArray[np.int8] = field(init=False)
    hashes: Hashes = field(init=False)
    events: Sequence[Event] = field(init=False)
    _ids: list[Objects] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Have at hand what is asked for often."""
        decoded = self.decoded
        self.times, self.topics = decoded.times, decoded.topics
        self.hashes, self.events = decoded.hashes, decoded.events

    @classmethod
    def of(cls, admitted: Sequence[Admitted]) -> Batch:
        """Put events that were taken one by one into columns."""
        decoded = Decoded.of([at.event for at in admitted])
        decoded.times = np.array([at.time for at in admitted], dtype=np.float64)
        seqs = np.array([at.seq for at in admitted], dtype=np.int64)
        return cls(decoded, [at.record for at in admitted], seqs)

    def all(self) -> Arrivals:
        """Give all of its events."""
        return Arrivals(self, np.arange(len(self.topics)))

    def ids(self, topic: int, which: slice | Places) -> list[str]:
        """Give the ids of the events at *which* of those of a *topic*."""
        ids = self.decoded.ids[topic]
        if isinstance(which, slice):
            return ids if which == slice(0, len(ids)) else ids[which]
        return cast("list[str]", self._all_ids()[topic][which].tolist())

    def ids_at(self, places: Places) -> list[str]:
        """Give the ids of the events at *places*."""
        by_topic = self._all_ids()
        starts = np.cumsum([0, *map(len, by_topic[:-1])])
        which = starts[self.topics[places]] + self.decoded.rows[places]
        return cast("list[str]", np.concatenate(by_topic)[which].tolist())

    def _all_ids(self) -> list[Objects]:
        if not self._ids:
            self._ids = list(map(objects_of, self.decoded.ids))
        return self._ids


class Arrivals(Sequence[Admitted]):
    """Some events of a batch, in the log's order, by their places in it."""

    __slots__ = ("_by_topic", "_ids", "_predicted", "_said", "_versions", "batch", "own", "places")

    def __init__(
        self,
        batch: Batch,
        places: NDArray[np.intp],
        by_topic: dict[int, Arrivals] | None = None,
        own: Own | None = None,
    ) -> None:
        """Take events by their *places*.

        *by_topic* are their parts, and *own* the versions of predictions, where these are known.
        """
        self.batch = batch
        self.places = places
        self.own = own
        self._ids: list[str] | None = None
        self._predicted: Predicted | None = None
        self._said: Said | None = None
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

    def ids(self) -> list[str]:
        """Give the ids of the events, all of which came by one topic."""
        if self._ids is None:
            self._ids = (
                self.batch.ids(int(self.batch.topics[self.places[0]]), self._rows()) if len(self) else []
            )
        return self._ids

    def predicted(self) -> Predicted:
        """Give what the events say, all of which are predictions."""
        if self._predicted is None:
            own = self.batch.decoded.predicted
            self._predicted = own if len(self) == len(own) else own.take(self._rows())
        return self._predicted

    def said(self) -> Said:
        """Give what the events say, all of which are feedback."""
        if self._said is None:
            own = self.batch.decoded.said
            self._said = own if len(self) == len(own) else own.take(self._rows())
        return self._said

    def versions(self) -> list[str]:
        """Give the version of each event, all of which are predictions."""
        if self._versions is None:
            versions = self.batch.decoded.predicted.versions[self._rows()]
            self._versions = cast("list[str]", versions.tolist())
        return self._versions

    def newest(self) -> tuple[list[str], Places]:
        """Give the versions of the events, all of which are predictions, and where each comes last.

        That is its last prediction's place in the batch.
        """
        if self.own is not None:
            return self.own.names(), self.own.newest()
        versions = self.versions()
        if versions.count(versions[0]) == len(versions):
            return versions[:1], self.places[-1:]
        newest = dict(zip(versions, self.places.tolist(), strict=True))
        return list(newest), np.array(list(newest.values()), dtype=np.intp)

    def event(self, index: int) -> Event:
        """Give one event itself."""
        return self.batch.events[int(self.places[index])]

    def _rows(self) -> slice | Places:
        """Give where the events, all of which came by one topic, stand among those of the batch."""
        rows = self.batch.decoded.rows[self.places]
        if not len(rows):
            return slice(0, 0)
        first, stop = int(rows[0]), int(rows[-1]) + 1
        return slice(first, stop) if stop - first == len(rows) else rows


def by_model(batch: Batch, part: range) -> dict[str, Arrivals]:
    """Give the events in *part* of *batch* of each model, in order; of the models, too, who comes first."""
    whole, own = batch.decoded.models, slice(part.start, part.stop)
    models = whole if len(part) == len(whole) else whole[own]
    number = len(models.distinct)
    if number == 1:
        return {models.distinct[0]: Arrivals(batch, np.arange(part.start, part.stop))}
    with_topic = models.codes * len(Topic) + batch.topics[own]
    places = order_of(models.codes, number) + part.start
    places_by_topic = order_of(with_topic, number * len(Topic)) + part.start
    numbers = np.bincount(with_topic, minlength=number * len(Topic)).reshape(number, len(Topic))
    arrivals: dict[str, Arrivals] = {}
    versions = versions_in(batch.decoded, part, models.codes, number)
    start = 0
    for name, of_topic, of_model in zip(models.distinct, numbers.tolist(), versions, strict=True):
        begin, parts = start, {}
        for topic, events in enumerate(of_topic):
            if events:
                told = of_model if topic == Topic.PREDICTIONS else None
                parts[topic] = Arrivals(batch, places_by_topic[start : start + events], own=told)
                start += events
        arrivals[name] = Arrivals(batch, places[begin:start], parts)
    return arrivals
