"""Events that are far ahead of their log, where no clock tells.

A file says nothing of when a line was written. A worker measures events against its clock; in a file the log
itself is the measure: an event after which most of what follows of its model and type would be late did not
happen when it says. Of an array of events the first one's time counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLLOWING: Final = 1_000
"""Events of the same model and type that are asked, at most, whether they would be late."""

WITNESSES: Final = 2
"""With fewer of them nothing is concluded: one event that is ahead looks like one that is late."""


class Stretch(NamedTuple):
    """Records *start* to before *stop* of a log, and the clock, in epoch seconds, that measures them."""

    start: int
    stop: int
    now: float


def stretches(
    topics: NDArray[np.int8],
    times: NDArray[np.float64],
    models: Sequence[str],
    among: int,
    lateness_of: Callable[[str], float],
) -> list[Stretch]:
    """Cut the first *among* of some records of a log so that one that is far ahead stands alone.

    *topics* are numbers of :class:`Topic`; *times* are in seconds since the epoch, NaN where a record has
    none; *lateness_of* gives the seconds that the events of a model may be behind its newest. All are of
    shape (n,). The records that are not ahead are measured by a clock that finds nothing to be from the
    future.
    """
    ahead: dict[int, float] = {}
    known = np.flatnonzero(~np.isnan(times))
    behind = np.maximum.accumulate(times[known]) - times[known]
    if len(known) and behind.max() > min(map(lateness_of, set(models))):
        streams: dict[tuple[int, str], list[int]] = {}
        for place, topic in zip(known.tolist(), topics[known].tolist(), strict=True):
            streams.setdefault((topic, models[place]), []).append(place)
        for (_, model), places in streams.items():
            ahead |= _ahead(np.array(places), times[places], among, lateness_of(model))
    edges = sorted({0, among, *ahead, *(place + 1 for place in ahead)})
    return [Stretch(start, stop, ahead.get(start, float("inf"))) for start, stop in pairwise(edges)]


def _ahead(
    places: NDArray[np.intp], times: NDArray[np.float64], among: int, lateness: float
) -> dict[int, float]:
    """Give which of a stream's records are far ahead, each with the time in the middle of what follows."""
    least = np.minimum.accumulate(times[::-1])[::-1]
    found: dict[int, float] = {}
    for place in np.flatnonzero(times - least > lateness).tolist():
        if places[place] >= among:
            break
        following = times[place + 1 : place + 1 + FOLLOWING]
        if len(following) < WITNESSES:
            break
        middle = float(np.median(following))
        if times[place] - middle > lateness:
            found[int(places[place])] = middle
    return found
