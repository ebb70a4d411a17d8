"""Decoded: the events of some records in columns, and the events themselves where somebody asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from operator import attrgetter
from typing import Final, cast, overload

import numpy as np
from numpy.typing import NDArray

from schemas.codec import decode_again
from schemas.events import Event, Feedback, Prediction
from stream.core.contents import Predicted, Said
from stream.core.hashed import Hashes, hashes_of
from stream.core.names import Names
from stream.core.nouns import TOPIC_OF, Topic

Places = NDArray[np.intp]

_ID, _TIME, _MODEL = attrgetter("id"), attrgetter("time"), attrgetter("model")
_NUMBER_OF: Final = {kind: int(topic) for kind, topic in TOPIC_OF.items()}


class Encoded(Sequence[Event]):
    """Events as the *values* of their records, which are known to be events: few are ever asked for."""

    __slots__ = ("_values",)

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> Encoded: ...
    def __getitem__(self, index: int | slice) -> Event | Encoded:
        """Give one, or a part of them."""
        if isinstance(index, slice):
            return Encoded(self._values[index])
        return decode_again(cast("bytes", self._values[index]))


@dataclass(slots=True)
class OfTopic:
    """The columns that events of every topic have, of those of one topic, in the log's order.

    Times are in epoch seconds.
    """

    models: list[str]
    ids: list[str]
    hashes: Hashes
    times: NDArray[np.float64]

    @classmethod
    def of(cls, events: Sequence[Event]) -> OfTopic:
        """Read the columns off *events*."""
        ids = list(map(_ID, events))
        return cls(list(map(_MODEL, events)), ids, hashes_of(ids), times_of(events))


@dataclass(slots=True)
class Decoded:
    """Events in columns. In the log's order, shape (n,): *models*, *hashes* of their ids, *times*, *topics*.

    Times are in epoch seconds; *topics* are those on which events belong. *ids* by topic are in the log's
    order too, as is what predictions and feedback say, *predicted* and *said*; *rows* tell where among those
    of its topic an event stands.
    """

    events: Sequence[Event]
    models: Names
    hashes: Hashes
    times: NDArray[np.float64]
    topics: NDArray[np.int8]
    rows: Places
    ids: Sequence[list[str]]
    predicted: Predicted
    said: Said

    @classmethod
    def of(cls, events: Sequence[Event]) -> Decoded:
        """Read the columns off *events*."""
        topics = np.array([_NUMBER_OF[type(event)] for event in events], dtype=np.int8)
        by_topic = [list(compress(events, (topics == topic).tolist())) for topic in Topic]
        predictions = cast("list[Prediction]", by_topic[Topic.PREDICTIONS])
        feedback = cast("list[Feedback]", by_topic[Topic.FEEDBACK])
        columns = [OfTopic.of(own) for own in by_topic]
        return cls.joined(events, topics, columns, Predicted.of(predictions), Said.of(feedback))

    @classmethod
    def joined(
        cls,
        events: Sequence[Event],
        topics: NDArray[np.int8],
        columns: Sequence[OfTopic],
        predicted: Predicted,
        said: Said,
    ) -> Decoded:
        """Put the *columns* of all topics into the log's order: events of *topics*, shape (n,)."""
        number = len(topics)
        rows = np.empty(number, dtype=np.intp)
        hashes, times = np.empty(number, dtype=np.int64), np.empty(number)
        there = [(np.flatnonzero(topics == topic), own) for topic, own in enumerate(columns) if own.ids]
        for places, own in there:
            rows[places] = np.arange(len(places))
            hashes[places], times[places] = own.hashes, own.times
        models = Names.of([own.models for _, own in there], [places for places, _ in there])
        return cls(events, models, hashes, times, topics, rows, [own.ids for own in columns], predicted, said)

    def __len__(self) -> int:
        return len(self.topics)

    def part(self, start: int, stop: int) -> Decoded:
        """Give those from *start* to before *stop*."""
        if start == 0 and stop == len(self):
            return self
        whole, own = self.topics, slice(start, stop)
        before = np.bincount(whole[:start], minlength=len(Topic)).tolist()
        numbers = np.bincount(whole[own], minlength=len(Topic)).tolist()
        of_each = [slice(first, first + number) for first, number in zip(before, numbers, strict=True)]
        return Decoded(
            self.events[own],
            self.models[own],
            self.hashes[own],
            self.times[own],
            whole[own],
            self.rows[own] - np.array(before)[whole[own]],
            [ids[part] for ids, part in zip(self.ids, of_each, strict=True)],
            self.predicted.take(of_each[Topic.PREDICTIONS]),
            self.said.take(of_each[Topic.FEEDBACK]),
        )


def times_of(events: Sequence[Event]) -> NDArray[np.float64]:
    """Give when *events* happened, in epoch seconds."""
    times: Iterable[datetime] = map(_TIME, events)
    return np.fromiter(map(datetime.timestamp, times), dtype=np.float64, count=len(events))
