"""Merge: the records of one partition's topics in one order, that of their timestamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from stream.core.errors import NotContiguousError
from stream.core.nouns import Record, Topic

BEHIND: Final = -1.0
"""Said of a topic whose log is known to have more than was offered."""

BEHIND_PATIENCE: Final = 30.0
"""Seconds for which a topic that is behind is waited for without anything coming."""

ROOM_RECORDS: Final = 20_000
"""Records of one topic that may wait before no more of it should be fetched."""


class Merge:
    """Orders records by timestamp; ties by topic (lifecycle, predictions, feedback, commands), then offset.

    Within a topic the order is always that of the log. A record waits until every other topic has a record
    in hand too, or is known to have had none after this record arrived. It waits *max_idle* seconds for that
    to be known, counted anew with every run that comes, and :data:`BEHIND_PATIENCE` where there is known to
    be more.
    """

    def __init__(self, positions: Mapping[Topic, int], max_idle: float) -> None:
        self._expected = {topic: positions.get(topic, 0) for topic in Topic}
        self._max_idle = max_idle
        self._buffers: dict[Topic, deque[Record]] = {topic: deque() for topic in Topic}
        self._arrivals: dict[Topic, deque[tuple[float, int]]] = {topic: deque() for topic in Topic}
        self._waiting_since: float | None = None

    def __len__(self) -> int:
        return sum(map(len, self._buffers.values()))

    def expected(self, topic: Topic) -> int:
        """Give the offset at which the next run of *topic* has to start."""
        return self._expected[topic]

    def is_full(self, topic: Topic) -> bool:
        """Tell whether enough records of *topic* wait for their turn."""
        return len(self._buffers[topic]) >= ROOM_RECORDS

    def offer(self, topic: Topic, start: int, records: Sequence[Record], arrived: float) -> None:
        """Take the run of records that stands in the log from offset *start* on.

        *arrived* is when it was fetched, in seconds. Raises NotContiguousError, and takes nothing, where
        *start* is not the offset expected.
        """
        if start != self._expected[topic]:
            raise NotContiguousError(topic.suffix, self._expected[topic], start)
        self._buffers[topic].extend(records)
        self._expected[topic] = records[-1].offset + 1
        self._arrivals[topic].append((arrived, self._expected[topic]))
        self._waiting_since = None

    def take(self, empty_at: Mapping[Topic, float], now: float) -> list[Record]:
        """Give the records whose turn it is.

        *empty_at* says of a topic when it was last known that all of its log had been offered, or
        :data:`BEHIND`; *now* is of the same clock, in seconds.
        """
        taken: list[Record] = []
        while filled := [topic for topic in Topic if self._buffers[topic]]:
            first = min(filled, key=lambda topic: (self._buffers[topic][0].timestamp, topic))
            arrived, run_end = self._arrivals[first][0]
            unsure = [
                at
                for topic in Topic
                if not self._buffers[topic] and (at := empty_at.get(topic, 0.0)) <= arrived
            ]
            if unsure and not self._is_overdue(now, BEHIND_PATIENCE if BEHIND in unsure else self._max_idle):
                return taken
            taken += self._run(first, run_end, filled)
        self._waiting_since = None
        return taken

    def _is_overdue(self, now: float, patience: float) -> bool:
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= patience

    def _run(self, first: Topic, run_end: int, filled: Sequence[Topic]) -> list[Record]:
        """Take records of *first*, of the run that ends before *run_end*, as long as it is their turn."""
        buffer = self._buffers[first]
        others = [(self._buffers[topic][0].timestamp, topic) for topic in filled if topic is not first]
        until = min(others, default=None)
        run: list[Record] = []
        while buffer and buffer[0].offset < run_end:
            if until is not None and (buffer[0].timestamp, first) > until:
                return run
            run.append(buffer.popleft())
        self._arrivals[first].popleft()
        return run
