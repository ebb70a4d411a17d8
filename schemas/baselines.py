"""Baselines as a lifecycle event publishes them, so that series begin with one instead of learning it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final

import msgspec

RUNGS: Final = 10
"""Scales at which the noise is known: runs of 32, 64, 128 ... readings."""

HOURS: Final = 24
WEEKDAYS: Final = 7
CELLS_MAX: Final = 10
READINGS_LEAST: Final = 256
"""Readings without which nothing is compared with a baseline."""

PUBLISHED_MAX: Final = 500
"""Baselines in one event."""

_MOST: Final = 2.0**53
_VISITS_MAX: Final = 1e6
_SUM_MOST: Final = 3.0
"""A season's sum of a reading at most: what is at most 1, less what other levels and hours took from it."""

Amount = Annotated[float, msgspec.Meta(ge=0.0, le=_MOST)]
Number = Annotated[float, msgspec.Meta(ge=-1e150, le=1e150)]
"""What a reading may be: squares and sums stay finite."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Counted(StrEnum):
    """How readings are counted: 0 and 1, a bounded loss, or numbers by the cells they fall into."""

    RATE = "rate"
    LOSS = "loss"
    NUMBER = "number"


class PublishedBaseline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one series is compared with, and what is known of its noise and its season.

    A reading x was counted as (x - ``low``) / ``unit``, or, where it ``differs``, as whether it is another
    number than ``low``. ``sums`` are those of the ``readings``, of numbers how many fell into each of the
    cells between the ``edges``; ``middles`` are the means of these cells. ``noise`` has for runs of 32 * 2**i
    readings how many were seen, and the sums of their q and of its square. ``hours`` and ``weekdays`` (from
    Monday) have for each how many readings and visits there were, and the sums; empty where there is no
    season. ``season`` tells whether hours, whether weekdays are taken out, and whether the week is known.
    """

    signal: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    segment: Annotated[str, msgspec.Meta(max_length=513)] = ""
    counted: Counted
    low: Number = 0.0
    unit: Number = 1.0
    differs: bool = False
    readings: Annotated[float, msgspec.Meta(ge=READINGS_LEAST, le=_MOST)]
    since: Moment
    until: Moment
    sums: Annotated[list[float], msgspec.Meta(min_length=1, max_length=CELLS_MAX)]
    edges: Annotated[list[Number], msgspec.Meta(max_length=CELLS_MAX - 1)] = []
    middles: Annotated[list[Number], msgspec.Meta(max_length=CELLS_MAX)] = []
    noise: Annotated[list[tuple[Amount, Amount, Amount]], msgspec.Meta(min_length=RUNGS, max_length=RUNGS)]
    hours: Annotated[list[list[float]], msgspec.Meta(max_length=HOURS)] = []
    weekdays: Annotated[list[list[float]], msgspec.Meta(max_length=WEEKDAYS)] = []
    season: tuple[bool, bool, bool] = (False, False, False)

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if why := next(self._faults(), None):
            raise ValueError(f"baseline of {self.signal}: {why}")

    def _faults(self) -> Iterator[str]:
        is_number = self.counted is Counted.NUMBER
        width = len(self.sums)
        cells = width if is_number else 0
        if is_number == (width == 1):
            yield f"{width} sums of a {self.counted}"
        if (len(self.edges), len(self.middles)) != (max(cells - 1, 0), cells):
            yield "edges and middles are not those of its cells"
        if any(upper <= lower for lower, upper in pairwise(self.edges)):
            yield "the edges do not rise"
        if not all(0.0 <= part <= self.readings * (1 + 1e-9) for part in self.sums):
            yield "its sums are not between none and all of its readings"
        if is_number and not math.isclose(math.fsum(self.sums), self.readings, rel_tol=1e-6):
            yield "its cells do not hold its readings"
        if not (self.unit > 0.0 and self.since <= self.until):
            yield "its unit is not above 0, or it ends before it begins"
        yield from self._faults_of_season(width)

    def _faults_of_season(self, width: int) -> Iterator[str]:
        for rows, all_of in ((self.hours, HOURS), (self.weekdays, WEEKDAYS)):
            if len(rows) not in {0, all_of} or any(len(row) != 2 + width for row in rows):
                yield "its season has other hours, weekdays or cells"
            if any(not 0.0 <= row[1] <= min(row[0], _VISITS_MAX) or row[0] > _MOST for row in rows):
                yield "a season has no such numbers of readings and visits"
            if any(abs(value) > _SUM_MOST * row[0] for row in rows for value in row[2:]):
                yield "a season's sums are too large"


def digest_of(baselines: Sequence[PublishedBaseline]) -> str:
    """Give the SHA-256, in hex, of *baselines* as JSON, as they are written in an event."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(baselines, order="deterministic")).hexdigest()
