"""What alarms are worth, in figures: how many, how long, how late, how many never came."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from stream.lab.sources import Floats

CONFIDENCE: Final = 0.95

_HALVINGS: Final = 60


class Interval(NamedTuple):
    """Between which values an expectation lies, with 95 % confidence."""

    low: float
    high: float


def poisson_interval(count: int) -> Interval:
    """Give the expectations under which *count* is not surprising (Garwood, 1936: exact, two-sided)."""
    tail = (1.0 - CONFIDENCE) / 2.0
    top = count + 10.0 * math.sqrt(count + 1.0) + 10.0
    low = 0.0 if count == 0 else _where(lambda mean: 1.0 - _at_most(count - 1, mean) > tail, 0.0, top)
    high = _where(lambda mean: _at_most(count, mean) < tail, 0.0, top)
    return Interval(low, high)


def quantiles(delays: Sequence[float | None], missed_as: float) -> tuple[float, float]:
    """Give the median and the 90 % quantile; what was missed counts as *missed_as*."""
    values = np.array([missed_as if delay is None else delay for delay in delays])
    return float(np.quantile(values, 0.5)), float(np.quantile(values, 0.9))


def missed_share(delays: Sequence[float | None]) -> float:
    """Give the share of changes that were never found."""
    return sum(delay is None for delay in delays) / len(delays)


class Timeline:
    """Adds up alarms and what lasts, chunk by chunk; an alarm while its series is in alarm is no new episode.

    *begin* is when the first reading comes, seconds since the epoch. How long something lasts is known to a
    chunk.
    """

    def __init__(self, copies: int, series: int) -> None:
        self.alarms = np.zeros((copies, series), np.int64)
        self.episodes = np.zeros((copies, series), np.int64)
        self.chunks = 0
        self.open = np.zeros((copies, series))

    def take(self, alarms: Floats, is_open: Floats, was_open: Floats) -> None:
        """Take a chunk: alarms raised, and whether something lasts at its end and at its begin.

        All have shape (copies, series).
        """
        self.alarms += alarms.astype(np.int64)
        self.episodes += ((alarms > 0) & (was_open == 0)).astype(np.int64)
        self.open += is_open
        self.chunks += 1

    def share_open(self) -> float:
        """Give the share of the time for which a copy has at least one open alarm, averaged over series."""
        return float(self.open.sum()) / (self.open.size * max(self.chunks, 1))


class Agreement(NamedTuple):
    """How well alarms agree with change points that people marked."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Give the harmonic mean of both."""
        both = self.precision + self.recall
        return 2.0 * self.precision * self.recall / both if both else 0.0


def agreement(
    alarms: Collection[int], marked: Mapping[str, Collection[int]], *, before: int, after: int
) -> Agreement:
    """Compare *alarms* with the change points of each annotator in *marked*, all of them places in a series.

    An alarm from *before* readings before a change point to *after* readings behind it has found it, and
    every change point is found once. Precision is against all annotators together, recall the mean over them;
    the start of the series counts as found by all (van den Burg and Williams, 2020).
    """
    said = {0, *alarms}
    union = {0}.union(*marked.values())
    precision = len(_matched(said, union, before, after)) / len(said)
    recalls = [
        len(_matched(said, own, before, after)) / len(own) for own in ({0, *of} for of in marked.values())
    ]
    return Agreement(precision, sum(recalls) / len(recalls))


def _matched(said: Collection[int], points: Collection[int], before: int, after: int) -> set[int]:
    left = sorted(said)
    found: set[int] = set()
    for point in sorted(points):
        near = [alarm for alarm in left if point - before <= alarm <= point + after]
        if near:
            left.remove(near[0])
            found.add(point)
    return found


def _at_most(count: int, mean: float) -> float:
    """Give the chance that a Poisson variable with *mean* is at most *count*."""
    if mean <= 0.0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1.0) for k in range(count + 1)]
    return min(1.0, math.fsum(math.exp(one) for one in logs))


def _where(is_beyond: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if is_beyond(middle):
            high = middle
        else:
            low = middle
    return high
