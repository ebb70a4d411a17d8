"""Merge: the records of one partition's topics in one order, that of their timestamps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.core.errors import NotContiguousError
from stream.core.nouns import Record, Topic

TOPICS: Final = tuple(Topic)

_TIMESTAMP: Final = itemgetter(Record._fields.index("timestamp"))

BEHIND: Final = -1.0
"""Said of a topic whose log is known to have more than was offered."""

BEHIND_PATIENCE: Final = 30.0
"""Seconds for which a topic that is behind is waited for without anything coming."""

ROOM_RECORDS: Final = 20_000
ROOM_BYTES: Final = 32 * 1024 * 1024
"""Records of one topic, and bytes of their values, that may wait before no more of it should be fetched."""


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
        self._buffers: dict[Topic, list[Record]] = {topic: [] for topic in TOPICS}
        self._runs: dict[Topic, list[tuple[float, int]]] = {topic: [] for topic in TOPICS}
        self._times: dict[Topic, list[NDArray[np.float64]]] = {topic: [] for topic in TOPICS}
        self._bytes = dict.fromkeys(TOPICS, 0)
        self._waiting_since: float | None = None

    def __len__(self) -> int:
        return sum(map(len, self._buffers.values()))

    def expected(self, topic: Topic) -> int:
        """Give the offset at which the next run of *topic* has to start."""
        return self._expected[topic]

    def is_full(self, topic: Topic) -> bool:
        """Tell whether enough records of *topic* wait for their turn."""
        return len(self._buffers[topic]) >= ROOM_RECORDS or self._bytes[topic] >= ROOM_BYTES

    def is_drained(self, topic: Topic) -> bool:
        """Tell whether no record of *topic* waits: all before the offset expected had its turn."""
        return not self._buffers[topic]

    def skip(self, topic: Topic, start: int, stop: int) -> None:
        """Expect *stop* next, for nothing will come from *start* on; raises NotContiguousError likewise."""
        if start != self._expected[topic]:
            raise NotContiguousError(topic.suffix, self._expected[topic], start)
        self._expected[topic] = stop

    def offer(
        self, topic: Topic, start: int, records: Sequence[Record], arrived: float, stop: int | None = None
    ) -> None:
        """Take the run of records that stands in the log from offset *start* to before *stop*.

        *stop* is the offset behind the last record unless it is given: markers may follow that. *arrived* is
        when the run was fetched, in seconds. Raises NotContiguousError, and takes nothing, where
        *start* is not the offset expected.
        """
        if start != self._expected[topic]:
            raise NotContiguousError(topic.suffix, self._expected[topic], start)
        self._buffers[topic] += records
        times = np.fromiter(map(_TIMESTAMP, records), dtype=np.float64, count=len(records))
        self._times[topic].append(times)
        self._runs[topic].append((arrived, len(records)))
        self._bytes[topic] += _size(records)
        self._expected[topic] = records[-1].offset + 1 if stop is None else stop
        self._waiting_since = None

    def take(self, empty_at: Mapping[Topic, float], now: float) -> list[Record]:
        """Give the records whose turn it is.

        *empty_at* says of a topic when it was last known that all of its log had been offered, or
        :data:`BEHIND`; *now* is of the same clock, in seconds.
        """
        filled = [topic for topic in TOPICS if self._buffers[topic]]
        if not filled:
            self._waiting_since = None
            return []
        order, last = self._order(filled)
        runs = [run for topic in filled for run in self._runs[topic]]
        arrived = np.repeat([at for at, _ in runs], [size for _, size in runs])
        count = self._count(arrived[order], last, empty_at, now)
        if count == len(order):
            self._waiting_since = None
        records = list(chain.from_iterable(self._buffers[topic] for topic in filled))
        taken = [records[place] for place in order[:count].tolist()]
        self._drop(filled, order[:count])
        return taken

    def _order(self, filled: Sequence[Topic]) -> tuple[NDArray[np.intp], dict[Topic, int]]:
        """Give the places of the buffered records in their order, and in it the last place of each topic.

        A record whose timestamp goes back follows the one before it at once: its turn is that of the latest
        timestamp so far.
        """
        turns = [np.maximum.accumulate(np.concatenate(self._times[topic])) for topic in filled]
        order = np.argsort(np.concatenate(turns), kind="stable")
        place_of = np.empty(len(order), dtype=np.intp)
        place_of[order] = np.arange(len(order))
        ends = accumulate(map(len, turns))
        return order, {topic: int(place_of[end - 1]) for topic, end in zip(filled, ends, strict=True)}

    def _count(
        self,
        arrived: NDArray[np.float64],
        last: Mapping[Topic, int],
        empty_at: Mapping[Topic, float],
        now: float,
    ) -> int:
        """Give how many records, in their order, need not wait for a topic that has none in hand by then."""
        start = 0
        while True:
            stops = {
                topic: stop
                for topic in TOPICS
                if (stop := _first_since(arrived, empty_at.get(topic, 0.0), last.get(topic, -1) + 1, start))
                is not None
            }
            if not stops:
                return len(arrived)
            stop = min(stops.values())
            unsure = {
                empty_at.get(topic, 0.0)
                for topic in TOPICS
                if last.get(topic, -1) < stop and empty_at.get(topic, 0.0) <= arrived[stop]
            }
            if not self._is_overdue(now, BEHIND_PATIENCE if BEHIND in unsure else self._max_idle):
                return stop
            later = [place + 1 for place in last.values() if place >= stop]
            start = min(later, default=len(arrived))

    def _is_overdue(self, now: float, patience: float) -> bool:
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= patience

    def _drop(self, filled: Sequence[Topic], places: NDArray[np.intp]) -> None:
        """Forget the records that were taken, and the runs that they came in."""
        begin = 0
        for topic in filled:
            buffer, runs = self._buffers[topic], self._runs[topic]
            gone = int(np.count_nonzero((places >= begin) & (places < begin + len(buffer))))
            begin += len(buffer)
            self._bytes[topic] -= _size(buffer[:gone])
            del buffer[:gone]
            times = self._times[topic]
            while gone:
                arrived, size = runs[0]
                if size > gone:
                    runs[0] = (arrived, size - gone)
                    times[0] = times[0][gone:]
                    break
                del runs[0], times[0]
                gone -= size


def _size(records: Sequence[Record]) -> int:
    """Give the bytes of the records' values."""
    return sum(len(record.value) for record in records if record.value is not None)


def _first_since(arrived: NDArray[np.float64], at: float, *starts: int) -> int | None:
    """Give the first place, from the latest of *starts* on, of a record that arrived at *at* or after it."""
    start = max(starts)
    found = np.flatnonzero(arrived[start:] >= at)
    return start + int(found[0]) if len(found) else None
