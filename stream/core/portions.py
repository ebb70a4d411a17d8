"""Portions of a model's events, such that the versions that are watched in one need not go before its end.

A new version that finds no room makes the one go that was seen least lately. What goes is decided over names,
before anything is read: a version that goes is let go of at the end of its portion, and what is said of it
after it had to go is not read. So a portion ends only where such a version comes back, or where many wait to
go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import itemgetter
from typing import Final

import numpy as np

from stream.core.baselines import Act
from stream.core.columns import Arrivals
from stream.core.nouns import Topic
from stream.core.outcomes import Outcomes, Share

GOING_MAX: Final = 128
"""Versions that one portion may let go of: until its end they are there beside those within the bound."""


@dataclass(slots=True)
class Portion:
    """Events of one model with the outcomes that they complete, in the log's order.

    *clock*, in seconds since the epoch, is the newest time of the model's events before. Versions that come
    in it, and that go in it, stand with the number of the event that made them.
    """

    events: Arrivals
    outcomes: Sequence[Outcomes | Share]
    clock: float
    coming: Mapping[str, int] = field(default_factory=dict)
    going: Mapping[str, int] = field(default_factory=dict)
    act: Act | None = None
    """What is done to baselines when all of it was read."""

    @property
    def last_seq(self) -> int:
        """The number of its last event."""
        return int(self.events.batch.seqs[self.events.places[-1]])


def portions(whole: Portion, seen: MutableMapping[str, int], bound: int) -> list[Portion]:
    """Cut *whole* by who comes and goes among at most *bound* versions.

    *seen* holds the versions there are, each with the number of the prediction by which it was seen last; it
    is brought up to date.
    """
    predictions = whole.events.of(Topic.PREDICTIONS)
    if not len(predictions):
        return [whole]
    versions, places = predictions.newest()
    if seen.keys() >= set(versions):
        seen.update(zip(versions, predictions.batch.seqs[places].tolist(), strict=True))
        return [whole]
    seqs = predictions.seqs().tolist()
    return _cut(whole, zip(predictions.versions(), seqs, strict=True), seen, bound)


def behind_acts(
    whole: Portion, acts: Sequence[Act], seen: MutableMapping[str, int], bound: int
) -> list[Portion]:
    """Cut *whole* behind each of *acts*, events of it that do something to baselines, and as portions are."""
    ends = [act.seq + 1 for act in acts if act.seq < whole.last_seq]
    plans: list[tuple[int, dict[str, int], dict[str, int]]] = [(end, {}, {}) for end in [*ends, 0]]
    cut: list[Portion] = []
    for part, act in zip_longest(_at(whole, plans), acts):
        cut += portions(part, seen, bound)
        cut[-1].act = act
    return cut


def _cut(
    whole: Portion, predictions: Iterable[tuple[str, int]], seen: MutableMapping[str, int], bound: int
) -> list[Portion]:
    order = dict(sorted(seen.items(), key=itemgetter(1)))
    coming: dict[str, int] = {}
    going: dict[str, int] = {}
    plans: list[tuple[int, dict[str, int], dict[str, int]]] = []
    for version, seq in predictions:
        if order.pop(version, None) is None:
            if version in going or len(going) >= GOING_MAX:
                plans.append((seq, coming, going))
                coming, going = {}, {}
            while len(order) >= bound:
                oldest = next(iter(order))
                del order[oldest]
                going[oldest] = seq
            coming[version] = seq
        order[version] = seq
    seen.clear()
    seen.update(order)
    if not plans and not going:
        return [_without_dead(Portion(whole.events, whole.outcomes, whole.clock, coming, going))]
    plans.append((0, coming, going))
    return [_without_dead(part) for part in _at(whole, plans)]


def _at(whole: Portion, plans: Sequence[tuple[int, dict[str, int], dict[str, int]]]) -> Iterable[Portion]:
    """Cut *whole* before the events with the numbers in *plans*, the last of which has none."""
    events, clock = whole.events, whole.clock
    ends = np.searchsorted(events.batch.seqs[events.places], [end for end, _, _ in plans[:-1]])
    own_outcomes = [part.own() for part in whole.outcomes]
    numbers = [events.batch.seqs[part.at.places] for part in own_outcomes]
    start, since = 0, 0
    for stop, (end, coming, going) in zip([*ends.tolist(), len(events)], plans, strict=True):
        own = events[start:stop]
        outcomes = []
        for part, seqs in zip(own_outcomes, numbers, strict=True):
            is_own = (seqs >= since) & (seqs < (end or np.inf))
            if is_own.any():
                outcomes.append(part.only(np.flatnonzero(is_own).tolist()))
        yield Portion(own, outcomes, clock, coming, going)
        clock = max(clock, float(own.times().max()))
        start, since = stop, end


def _without_dead(portion: Portion) -> Portion:
    """Leave out what is said of a version before it comes, or from where it had to go on."""
    passing = portion.coming.keys() | portion.going.keys()
    outcomes = []
    for part in [part.own() for part in portion.outcomes]:
        if passing.isdisjoint(part.versions):
            outcomes.append(part)
            continue
        seqs = portion.events.batch.seqs[part.at.places].tolist()
        alive = [
            place
            for place, (version, seq) in enumerate(zip(part.versions, seqs, strict=True))
            if portion.coming.get(version, 0) <= seq < portion.going.get(version, seq + 1)
        ]
        if alive:
            outcomes.append(part.only(alive))
    portion.outcomes = outcomes
    return portion
