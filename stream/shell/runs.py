"""Runs: what the transport hands to who reads the topics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from faust.types import TP

from stream.core.lost import Gap


class LogShrunkError(Exception):
    """A topic ends before the position in the state: the text says which and what to do."""


def shrunk(topic: str, partition: int, end: int, seen: int) -> str:
    """Say that the log of *topic* ends at offset *end*, though it was *seen* up to a later one."""
    return (
        f"topic {topic}, partition {partition} ends at offset {end}, the state has seen it up to {seen}: "
        "if the topic was made anew, start over with another prefix or make the state topic anew too"
    )


class Run(NamedTuple):
    """Records that stand in the log from offset *start* to before *stop*, as aiokafka parses them.

    Between the last record and *stop* there is none. *arrived* is when they were fetched, in seconds since
    the epoch; *size* is about how many bytes they have.
    """

    start: int
    stop: int
    records: Sequence[Any]
    arrived: float
    size: int


Runs = Mapping[TP, Run]
"""What one poll gave of the topics of one partition: handed over at once, it is one step and not several."""


class Reader(Protocol):
    """Who reads the runs: it says where to start, when it has enough, and by *room* when it wants more.

    *room* is set too when more has come of topics of which it has not enough.
    """

    room: asyncio.Event

    async def positions(
        self, generation: int, assigned: Iterable[TP], starts: Mapping[TP, int]
    ) -> Mapping[TP, int]:
        """Get ready for the partitions of a new *generation*; give the offset at which each one goes on.

        *starts* says where the log of each begins now.
        """

    def is_full(self, tp: TP) -> bool:
        """Tell whether *tp* has enough records waiting, so that no more should be fetched."""

    def skip(self, tp: TP, gap: Gap) -> None:
        """Take note that *gap* follows what was delivered of *tp*; the next run starts behind it."""

    def heard(self) -> None:
        """Take note that what else there was of the topics of waiting records is known."""
