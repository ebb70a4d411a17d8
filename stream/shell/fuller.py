"""Fuller steps: one that would be small waits for what has been fetched, while there is much to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from faust.types import TP

from stream.core.merge import TURN_RECORDS
from stream.core.nouns import Topic
from stream.shell import clock
from stream.shell.partition import Partition

PATIENCE_SECONDS: Final = 0.05
"""How long a step waits at most; what it waits for is at hand, and comes in a few milliseconds."""


class Fetching(Protocol):
    """What is asked of a consumer."""

    def unread(self, tp: TP, taken: int) -> int:
        """Give how many records *tp* has from offset *taken* on; 0 where none of them has been fetched."""


class Fuller:
    """Says of each partition whether its next step is due: it costs some milliseconds whatever is in it."""

    def __init__(
        self, inputs: Mapping[str, Topic], consumer: Callable[[], Fetching], news: asyncio.Event
    ) -> None:
        """Ask the *consumer* of that moment; *inputs* are the topics by their full names.

        Sets *news* when it is to be asked again.
        """
        self._inputs = inputs
        self._consumer = consumer
        self._news = news
        self._until: dict[int, float] = {}

    def is_due(self, partition: Partition) -> bool:
        """Tell whether *partition* is to make its step now."""
        now = clock.steady()
        until = self._until.setdefault(partition.number, now + PATIENCE_SECONDS)
        if now < until and self._is_thin(partition):
            asyncio.get_running_loop().call_later(until - now, self._news.set)
            return False
        del self._until[partition.number]
        return True

    def _is_thin(self, partition: Partition) -> bool:
        """Tell whether few records wait of a topic of which more is in hand, and which is far behind.

        So far that nothing of it is in time anyway.
        """
        merge, consumer = partition.merge, self._consumer()
        return any(
            consumer.unread(TP(name, partition.number), merge.expected(topic)) >= TURN_RECORDS
            for name, topic in self._inputs.items()
            if not merge.has_enough(topic) and not partition.is_full(topic)
        )
