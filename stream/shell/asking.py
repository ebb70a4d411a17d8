"""How long the broker may hold back its answer to a fetch that finds nothing.

A record has its turn when every other topic of its partition is known to have had nothing after it came
(:mod:`stream.core.merge`). The next answer of the broker says so, and while records wait for it, it is not to
be held back until there is something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from stream.shell import clock

HOLD_BACK_MS: Final = 100
"""The time while nothing waits for an answer: that many fetches a second are no load."""

HURRY_MS: Final = 1
"""The time while records wait. Not 0: times are in milliseconds, and the answer has to be of a later one."""

UNREAD_MS: Final = 10
"""The time while fetched records wait to be read: their topic is not asked before this answer."""

PATIENCE_MS: Final = 200
"""How long after records came their topics are asked in a hurry: a topic may have no leader for hours."""

BACKOFF_SECONDS: Final = 0.02
"""How long a topic whose records nobody has taken from the fetcher yet may keep others from being asked."""


class Asking:
    """Sees to the fetches of one fetcher; lives in its thread."""

    def __init__(self, fetcher: Fetcher, heard: Callable[[], object], arrived: Callable[[], object]) -> None:
        """Call *heard* when all that records waited to hear was said, *arrived* when records have come."""
        self._fetcher = fetcher
        self._heard = heard
        self._arrived = arrived
        self._unread: frozenset[TopicPartition] = frozenset()
        self._came: dict[int, int] = {}
        self._is_awaited = False
        self._plan = fetcher._get_actions_per_node
        fetcher._get_actions_per_node = self._get_actions_per_node
        fetcher._prefetch_backoff = BACKOFF_SECONDS

    def came(self, partitions: Iterable[TopicPartition]) -> None:
        """Take note that records of *partitions* are on their way to the merge."""
        subscription = self._fetcher._subscriptions.subscription
        if subscription is None or subscription.assignment is None:
            return
        for tp in partitions:
            state = subscription.assignment.state_value(tp)
            if state is not None and state.timestamp:
                self._came[tp.partition] = max(state.timestamp, self._came.get(tp.partition, 0))

    def _get_actions_per_node(self, assignment: Any) -> Any:  # noqa: ANN401 - aiokafka has no annotations
        """Plan the next fetches, as aiokafka does after each answer."""
        was_awaited, self._is_awaited = self._is_awaited, self._awaits(assignment)
        idle = UNREAD_MS if self._fetcher._records else HOLD_BACK_MS
        self._fetcher._fetch_max_wait_ms = HURRY_MS if self._is_awaited else idle
        if was_awaited and not self._is_awaited:
            self._heard()
        known, self._unread = self._unread, frozenset(self._fetcher._records)
        if self._unread - known:
            self._arrived()
        return self._soon(self._plan(assignment))

    def _soon(self, plan: Any) -> Any:  # noqa: ANN401 - aiokafka has no annotations
        """Give *plan*, to be made again at once where a fetch has ended and its broker still counts as asked.

        Where records are read in the turn of the event loop in which a fetch ends, aiokafka plans before it
        hears that the broker is free, asks for nothing, and is woken by nothing for its ``fetcher_timeout``.
        """
        fetches, resets, pause, *rest = plan
        asked = sum(not task.done() for task in self._fetcher._pending_tasks)
        return (fetches, resets, 0.0 if len(self._fetcher._in_flight) > asked else pause, *rest)

    def _awaits(self, assignment: Any) -> bool:  # noqa: ANN401 - aiokafka has no annotations
        """Tell whether a topic was last heard of when records of its partition came, or before."""
        oldest = 1000.0 * clock.wall() - PATIENCE_MS
        return any(
            at > oldest and (assignment.state_value(tp).timestamp or 0) <= at
            for tp in assignment.tps
            if tp not in self._fetcher._records and (at := self._came.get(tp.partition)) is not None
        )
