"""Cut: where the latest readings changed, and from what to what."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

BLOCK = 16
"""Readings in a bucket of the lowest level."""


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


class History(msgspec.Struct, array_like=True):
    """What is kept of a series: buckets of readings, oldest first, and the readings that fill none yet.

    A bucket is a level (it has BLOCK << level readings), the sum and the sum of squares of the standardised
    readings, the sum of the readings as they came, and the time of the first one.
    """

    levels: list[int]
    sums: list[float]
    squares: list[float]
    totals: list[float]
    starts: list[float]
    open_scaled: list[float]
    open_values: list[float]
    open_start: float

    def best_cut(self, latest: int) -> Cut | None:
        """Split the last *latest* readings where the means of the two parts differ most surely.

        That is where sqrt(n0 n1 / (n0 + n1)) |mean0 - mean1| is largest, the maximum likelihood estimate of a
        single change of a normal mean. Where one bucket has them all, the one before it is the older part;
        None where there is none.
        """
        sizes = [BLOCK << level for level in self.levels]
        sums, squares = list(self.sums), list(self.squares)
        if self.open_scaled:
            sizes.append(len(self.open_scaled))
            sums.append(sum(self.open_scaled))
            squares.append(sum(value * value for value in self.open_scaled))
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
        size = len(self.open_scaled) or BLOCK
        scaled = sum(self.open_scaled) if self.open_scaled else self.sums[0]
        total = sum(self.open_values) if self.open_scaled else self.totals[0]
        since = self.open_start if self.open_scaled else self.starts[0]
        return Cut(warm_up, 0.0, size, scaled / size, since, 1.0, mean, total / size)

    def _cut(self, first: int, place: int, sizes: list[int], sums: list[float], variance: float) -> Cut:
        """Cut the buckets from *first* on in two at *place*."""
        totals, starts = list(self.totals), list(self.starts)
        if self.open_scaled:
            totals.append(sum(self.open_values))
            starts.append(self.open_start)
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
