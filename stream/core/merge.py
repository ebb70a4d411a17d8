"""Merge: the records of one partition's topics in one order, that of their timestamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.core.errors import NotContiguousError
from stream.core.nouns import Record, Topic
from stream.core.records import Picked, Records, Source, bytes_of

TOPICS: Final = tuple(Topic)

BEHIND: Final = -1.0
"""Said of a topic whose log is known to have more than was offered."""

BEHIND_PATIENCE: Final = 30.0
"""Seconds for which a topic that is behind is waited for without anything coming."""

TURN_RECORDS: Final = 25_000
"""Records whose turn comes at once: more in one step is no faster, and keeps all else waiting."""

ENOUGH_RECORDS: Final = TURN_RECORDS // 2
ENOUGH_BYTES: Final = 4 * 1024 * 1024
"""Records of one topic, or bytes of them, that are enough for a step: there is a label for a prediction."""

ROOM_RECORDS: Final = 30_000
ROOM_BYTES: Final = 32 * 1024 * 1024
"""Records of one topic, and bytes of them, that may wait before no more of it should be fetched."""


@dataclass(slots=True)
class _Run:
    """Records of one topic that wait, about how many bytes they have, and when they came, in seconds."""

    records: Records
    size: int
    arrived: float


class Merge:
    """Orders records by timestamp; ties by topic (lifecycle, predictions, feedback, commands), then offset.

    Within a topic the order is always that of the log. A record waits until every other topic has a record
    in hand too, or is known to have had none after this record arrived. It waits *max_idle* seconds for that
    to be known, counted anew with every run that comes, and :data:`BEHIND_PATIENCE` where there is known to
    be more.
    """

    def __init__(self, positions: Mapping[Topic, int], max_idle: float) -> None:
        self._expected = {topic: positions.get(topic, 0) for topic in TOPICS}
        self._max_idle = max_idle
        self._runs: dict[Topic, list[_Run]] = {topic: [] for topic in TOPICS}
        self._waiting_since: float | None = None

    def __len__(self) -> int:
        return sum(map(self._waiting, TOPICS))

    def expected(self, topic: Topic) -> int:
        """Give the offset at which the next run of *topic* has to start."""
        return self._expected[topic]

    def is_full(self, topic: Topic) -> bool:
        """Tell whether enough records of *topic* wait for their turn."""
        runs = self._runs[topic]
        return self._waiting(topic) >= ROOM_RECORDS or sum(run.size for run in runs) >= ROOM_BYTES

    def has_enough(self, topic: Topic) -> bool:
        """Tell whether as many records of *topic* wait as there need be for a step."""
        size = sum(run.size for run in self._runs[topic])
        return self._waiting(topic) >= ENOUGH_RECORDS or size >= ENOUGH_BYTES

    def is_drained(self, topic: Topic) -> bool:
        """Tell whether no record of *topic* waits: all before the offset expected had its turn."""
        return not self._runs[topic]

    def skip(self, topic: Topic, start: int, stop: int) -> None:
        """Expect *stop* next, for nothing will come from *start* on; raises NotContiguousError likewise."""
        if start != self._expected[topic]:
            raise NotContiguousError(topic.suffix, self._expected[topic], start)
        self._expected[topic] = stop

    def offer(
        self,
        topic: Topic,
        start: int,
        records: Sequence[Record],
        arrived: float,
        stop: int | None = None,
        size: int | None = None,
    ) -> None:
        """Take the run of records that stands in the log from offset *start* to before *stop*.

        *stop* is the offset behind the last record unless it is given: markers may follow that. *arrived* is
        when the run was fetched, in seconds; *size* is about how many bytes the records have, where that is
        known. Raises NotContiguousError, and takes nothing, where *start* is not the offset expected.
        """
        if start != self._expected[topic]:
            raise NotContiguousError(topic.suffix, self._expected[topic], start)
        columns = Records.of(records)
        if size is None:
            size = bytes_of(columns.sources, columns.values, has_headers=columns.has_headers)
        self._runs[topic].append(_Run(columns, size, arrived))
        self._expected[topic] = records[-1].offset + 1 if stop is None else stop
        self._waiting_since = None

    def take(self, empty_at: Mapping[Topic, float], now: float) -> Sequence[Record]:
        """Give the records whose turn it is, :data:`TURN_RECORDS` at most.

        *empty_at* says of a topic when it was last known that all of its log had been offered, or
        :data:`BEHIND`; *now* is of the same clock, in seconds.
        """
        filled = [topic for topic in TOPICS if self._runs[topic]]
        if not filled:
            self._waiting_since = None
            return []
        order, last = self._order(filled)
        count = self._count(_Arrivals(order, [self._runs[topic] for topic in filled]), last, empty_at, now)
        if count == len(order):
            self._waiting_since = None
        return self._taken(filled, order[: min(count, TURN_RECORDS)]) if count else []

    def _waiting(self, topic: Topic) -> int:
        return sum(len(run.records) for run in self._runs[topic])

    def _order(self, filled: Sequence[Topic]) -> tuple[NDArray[np.intp], dict[Topic, int]]:
        """Give the places of the waiting records in their order, and in it the last place of each topic.

        A record whose timestamp goes back follows the one before it at once: its turn is that of the latest
        timestamp so far.
        """
        turns = [
            np.maximum.accumulate(np.concatenate([run.records.timestamps for run in self._runs[topic]]))
            for topic in filled
        ]
        ends = list(accumulate(map(len, turns)))
        if len(turns) == 1:
            return np.arange(ends[0]), {filled[0]: ends[0] - 1}
        order = np.argsort(np.concatenate(turns), kind="stable")
        place_of = np.empty(len(order), dtype=np.intp)
        place_of[order] = np.arange(len(order))
        return order, {topic: int(place_of[end - 1]) for topic, end in zip(filled, ends, strict=True)}

    def _count(
        self, arrived: _Arrivals, last: Mapping[Topic, int], empty_at: Mapping[Topic, float], now: float
    ) -> int:
        """Give how many records, in their order, need not wait for a topic that has none in hand by then."""
        start = 0
        while True:
            stops = {
                topic: stop
                for topic in TOPICS
                if (
                    stop := arrived.first_since(empty_at.get(topic, 0.0), max(last.get(topic, -1) + 1, start))
                )
                is not None
            }
            if not stops:
                return len(arrived)
            stop = min(stops.values())
            unsure = {
                empty_at.get(topic, 0.0)
                for topic in TOPICS
                if last.get(topic, -1) < stop and empty_at.get(topic, 0.0) <= arrived.at(stop)
            }
            if not self._is_overdue(now, BEHIND_PATIENCE if BEHIND in unsure else self._max_idle):
                return stop
            later = [place + 1 for place in last.values() if place >= stop]
            start = min(later, default=len(arrived))

    def _is_overdue(self, now: float, patience: float) -> bool:
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= patience

    def _taken(self, filled: Sequence[Topic], places: NDArray[np.intp]) -> Records:
        """Give the records at *places* among all that wait, and forget them: of each topic the first ones."""
        ends = np.cumsum([self._waiting(topic) for topic in filled])
        which = np.searchsorted(ends, places, side="right")
        numbers = np.bincount(which, minlength=len(filled))
        starts = np.concatenate(([0], ends[:-1]))
        places = places - (starts - np.concatenate(([0], np.cumsum(numbers)[:-1])))[which]
        runs = [
            run
            for topic, number in zip(filled, numbers.tolist(), strict=True)
            for run in self._take_first(topic, number)
        ]
        values: list[bytes | None] = []
        sources: list[Source] = []
        for run in runs:
            values += run.values
            sources += run.sources
        return Records(
            runs[0].partition,
            np.array(filled, dtype=np.int8)[which],
            np.concatenate([run.timestamps for run in runs])[places],
            Picked(values, places),
            Picked(sources, places),
            any(run.has_headers for run in runs),
        )

    def _take_first(self, topic: Topic, number: int) -> list[Records]:
        """Forget the first *number* records of *topic*; give them in their runs."""
        runs, taken = self._runs[topic], list[Records]()
        while number:
            first = runs[0]
            if len(first.records) > number:
                taken.append(first.records[:number])
                first.size -= first.size * number // len(first.records)  # as if all were as large
                first.records = first.records[number:]
                break
            taken.append(first.records)
            number -= len(first.records)
            del runs[0]
        return taken


class _Arrivals:
    """When the waiting records arrived, in their order."""

    def __init__(self, order: NDArray[np.intp], runs: Sequence[Sequence[_Run]]) -> None:
        self._order = order
        self._runs = [run for of_topic in runs for run in of_topic]
        self._first = min(run.arrived for run in self._runs)
        self._last = max(run.arrived for run in self._runs)
        self._times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self._order)

    def at(self, place: int) -> float:
        """Give when the record at *place* arrived."""
        return float(self._all()[place])

    def first_since(self, at: float, start: int) -> int | None:
        """Give the first place, from *start* on, of a record that arrived at *at* or after it."""
        if start >= len(self) or at > self._last:
            return None
        if at <= self._first:
            return start
        found = np.flatnonzero(self._all()[start:] >= at)
        return start + int(found[0]) if len(found) else None

    def _all(self) -> NDArray[np.float64]:
        if self._times is None:
            sizes = [len(run.records) for run in self._runs]
            self._times = np.repeat([run.arrived for run in self._runs], sizes)[self._order]
        return self._times
