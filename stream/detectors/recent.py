"""What a series was like lately: an exponential histogram of its readings, fine where it is young.

A detector says that a change happened; where it happened, and from what to what, is read off here. The
histogram is that of ADWIN (Bifet and Gavalda, 2007, section 4), with blocks of readings for single ones.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import msgspec

BLOCK = 16
"""Readings in a bucket of the lowest level."""

PER_LEVEL = 6
"""Buckets of one size that are kept; one more, and the two oldest of them become one of twice the size."""

LEVELS = 16
"""Sizes that are kept: at the bound the oldest bucket is dropped, after some three million readings."""


class Cut(NamedTuple):
    """A split of the latest readings in two: how many, their mean, and when the younger part began.

    *variance* is that of both parts together. These are of the standardised readings; *expected* and
    *observed* are the means of the older and the younger part in the units of the series.
    """

    before: int
    mean_before: float
    after: int
    mean_after: float
    since: float
    variance: float
    expected: float
    observed: float


class RecentState(msgspec.Struct, array_like=True):
    """All there is to know of a Recent; the buckets are flat, oldest first."""

    levels: list[int]
    sums: list[float]
    squares: list[float]
    totals: list[float]
    starts: list[float]
    open_scaled: list[float]
    open_values: list[float]
    open_start: float


class Recent:
    """Keeps buckets of readings, oldest first.

    Each is a level, the sum and the sum of squares of the standardised readings, the sum of the readings
    as they came, and the time of the first one.
    """

    def __init__(self, state: RecentState | None = None) -> None:
        self._levels = array("b", state.levels if state else ())
        self._sums = array("d", state.sums if state else ())
        self._squares = array("d", state.squares if state else ())
        self._totals = array("d", state.totals if state else ())
        self._starts = array("d", state.starts if state else ())
        self._open = list(state.open_scaled) if state else []
        self._open_values = list(state.open_values) if state else []
        self._open_start = state.open_start if state else 0.0

    def add(self, scaled: list[float], values: list[float], times: list[float]) -> None:
        """Take readings, standardised and as they came, and their times, in the log's order."""
        taken = 0
        while taken < len(scaled):
            if not self._open:
                self._open_start = times[taken]
            until = taken + BLOCK - len(self._open)
            self._open += scaled[taken:until]
            self._open_values += values[taken:until]
            taken = until
            if len(self._open) == BLOCK:
                self._close()

    def best_cut(self, latest: int) -> Cut | None:
        """Split the last *latest* readings where the means of the two parts differ most surely.

        That is where sqrt(n0 n1 / (n0 + n1)) |mean0 - mean1| is largest, the maximum likelihood estimate of a
        single change of a normal mean. Where one bucket has them all, the one before it is the older part;
        None where there is none.
        """
        sizes = [BLOCK << level for level in self._levels]
        sums, squares = list(self._sums), list(self._squares)
        if self._open:
            sizes.append(len(self._open))
            sums.append(sum(self._open))
            squares.append(sum(value * value for value in self._open))
        first, covered = len(sizes), 0
        while first > 0 and (covered < latest or first == len(sizes) - 1):
            first -= 1
            covered += sizes[first]
        total = sum(sums[first:])
        best, best_place = -1.0, None
        before, sum_before = 0, 0.0
        for place in range(first, len(sizes) - 1):
            before += sizes[place]
            sum_before += sums[place]
            after = covered - before
            surely = before * after / covered * (sum_before / before - (total - sum_before) / after) ** 2
            if surely > best:
                best, best_place = surely, place + 1
        if best_place is None:
            return None
        variance = max(sum(squares[first:]) / covered - (total / covered) ** 2, 0.0)
        return self._cut(first, best_place, sizes, sums, variance)

    def against_warm_up(self, warm_up: int, mean: float) -> Cut:
        """Split the *warm_up* readings, of this *mean*, from the few that came since."""
        size = len(self._open) or BLOCK
        scaled = sum(self._open) if self._open else self._sums[0]
        total = sum(self._open_values) if self._open else self._totals[0]
        since = self._open_start if self._open else self._starts[0]
        return Cut(warm_up, 0.0, size, scaled / size, since, 1.0, mean, total / size)

    def state(self) -> RecentState:
        """Give all there is to know."""
        return RecentState(
            list(self._levels),
            list(self._sums),
            list(self._squares),
            list(self._totals),
            list(self._starts),
            self._open,
            self._open_values,
            self._open_start,
        )

    def _cut(self, first: int, place: int, sizes: list[int], sums: list[float], variance: float) -> Cut:
        """Cut the buckets from *first* on in two at *place*."""
        totals, starts = list(self._totals), list(self._starts)
        if self._open:
            totals.append(sum(self._open_values))
            starts.append(self._open_start)
        before, after = sum(sizes[first:place]), sum(sizes[place:])
        return Cut(
            before=before,
            mean_before=sum(sums[first:place]) / before,
            after=after,
            mean_after=sum(sums[place:]) / after,
            since=starts[place],
            variance=variance,
            expected=sum(totals[first:place]) / before,
            observed=sum(totals[place:]) / after,
        )

    def _close(self) -> None:
        self._levels.append(0)
        self._sums.append(sum(self._open))
        self._squares.append(sum([value * value for value in self._open]))
        self._totals.append(sum(self._open_values))
        self._starts.append(self._open_start)
        self._open, self._open_values = [], []
        level, end = 0, len(self._levels)
        while True:
            start = end
            while start > 0 and self._levels[start - 1] == level:
                start -= 1
            if end - start <= PER_LEVEL:
                return
            if level == LEVELS - 1:
                self._drop(start)
                return
            self._levels[start] = level + 1
            self._sums[start] += self._sums[start + 1]
            self._squares[start] += self._squares[start + 1]
            self._totals[start] += self._totals[start + 1]
            self._drop(start + 1)
            level, end = level + 1, start + 1

    def _drop(self, place: int) -> None:
        for column in (self._levels, self._sums, self._squares, self._totals, self._starts):
            del column[place]
