"""The schedule: which faults come in which order, from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Kind(StrEnum):
    """What can happen; the value is how the figures call it."""

    KILL = "kills"
    """A worker ends with SIGKILL and is started again after a moment."""

    STOP = "stops"
    """A worker gets SIGSTOP until after its session, and then SIGCONT: the old owner wakes and writes."""

    LATE_WRITE = "late writes"
    """As a stop, and what the worker wrote before reaches the broker when a new owner has taken over."""

    BROKER_RESTART = "broker restarts"
    """Kafka ends, with SIGKILL or in good order, and is started again."""

    OUTAGE = "outages"
    """The broker answers no worker for a while, at first for a minute: connections hang or are reset."""

    SLOW = "slow times"
    """The broker takes tens of milliseconds more for everything."""

    BLOCKED = "blocked outputs"
    """The broker takes nothing that workers write, while they can read, and have much to write."""

    REBALANCE = "rebalances"
    """All workers but one leave in good order, and later come back."""


SECONDS: Final[Mapping[Kind, float]] = {
    Kind.KILL: 4.0,
    Kind.STOP: 8.0,
    Kind.LATE_WRITE: 9.0,
    Kind.BROKER_RESTART: 10.0,
    Kind.OUTAGE: 12.0,
    Kind.SLOW: 8.0,
    Kind.BLOCKED: 9.0,
    Kind.REBALANCE: 12.0,
}
"""About how long each takes: events are sent at a rate that spreads them over it."""


class Fault(NamedTuple):
    """One fault, with all its chances drawn: numbers from 0 to 1, for whoever does it to use."""

    kind: Kind
    chances: tuple[float, float, float]


def schedule(counts: Mapping[Kind, int], seed: int) -> list[Fault]:
    """Give so many faults of each kind in an order that *seed* decides."""
    numbers = random.Random(seed)
    kinds = [kind for kind in Kind for _ in range(counts.get(kind, 0))]
    numbers.shuffle(kinds)
    faults = [Fault(kind, (numbers.random(), numbers.random(), numbers.random())) for kind in kinds]
    if Kind.OUTAGE in kinds:
        first = kinds.index(Kind.OUTAGE)
        faults[first] = Fault(Kind.OUTAGE, (*faults[first].chances[:2], 1.0))
    return faults
