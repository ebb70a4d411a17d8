"""The variance ladder: how much more a run of readings varies than independent readings would, at each scale.

Derivation. For a run of n independent readings with the baseline's rate p, and a baseline of N others,

    q = (p_run - p_base)^2 / [p (1 - p) (1/n + 1/N)]

has the mean 1 (for cells: Pearson's statistic over its K - 1 degrees of freedom). Where readings depend on
each other, or the world wobbles without being broken, its mean over the runs of a scale is the factor by
which variances of that scale are larger. Scale j is shrunk towards what the scales below foretell, e_j, with
the weight of k runs, v_j = (k e_j + sum q) / (k + m), which is the mean of a posterior with a scaled inverse
chi-squared prior; k + m is its degrees of freedom (Gelman et al., Bayesian Data Analysis, section 2.6).

Of readings that depend on each other for a while, n v = n v_inf - c: from scale to scale v grows by half of
what it grew by before, so e_j = v_{j-1} + (v_{j-1} - v_{j-2}) / 2. The same readings that are m runs here
were 2 m below, so half the degrees of freedom below are k: they keep a few large runs that happen to be alike
from hiding the noise. Where a scale is clearly noisier than foretold, its readings depend on each other for
longer than that, and its own runs decide. Cells need none of it: each of their runs tells K - 1 numbers.

Bursts make tails heavy. If the runs' deviations are like Student's t with nu degrees of freedom, their
kurtosis, mean(q^2) / mean(q)^2, is 3 + 6 / (nu - 4); nu comes from that, shrunk to the 3 of independent
readings.

While the baseline grows, each run is compared with it. Once it stands still, that would take a slow change
for noise: then 8 runs in a row are compared with their own mean. Runs and rows go on through incidents, or
the scales that are as long as an incident would never hear of it; what an incident adds is held until the
series has healed by itself; only then was it noise.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.baseline import LEAST, Bases
from stream.detectors.quiet.records import BLOCK, RUNGS, WATCHING, Bools, Columns, Floats, Places
from stream.detectors.quiet.windows import Nodes, Sums, add

PRIOR_CLEAN: Final = 50.0
PRIOR: Final = 10.0
"""Runs that the scale below counts for: many where it shows no dependence, fewer where it does.

Choice: 50 runs know a variance to a fifth (sqrt(2 / 50)), which is as much as a scale of independent
readings can be wrong without harm; 10 let a dependent one grow within days (prototype, 5 to 20 alike).
"""

CLEAN: Final = 1.25
"""The inflation under which a scale shows no dependence. Choice: one such fifth above 1."""

SHARED: Final = 0.5
"""Part of the degrees of freedom of the scale below that count at a scale. Choice: two runs make one of the
next scale, so that no reading counts for more than it does there."""

STEP: Final = 0.5
"""Part of the last step of the noise, from scale to scale, that is foretold to come next. Choice: that of
readings that depend on each other for a while."""

BEYOND: Final = 1.645
"""Standard deviations above what is foretold from where on a scale's own runs decide, PRIOR others beside
them. Choice: by custom, chance goes there once in twenty times."""

IN_A_ROW: Final = 8
"""Runs that are compared with their own mean. Choice: 7 degrees of freedom, and at the scale of a day
the row is longer than a week, so that no weekday goes unseen."""

CLIP: Final = 12.0
"""Times the mean so far beyond which one run says no more. Choice: a normal deviation goes there once in
2,000 runs; what goes there more often still counts, as twelve."""

CLIP_FROM: Final = 8
"""Runs before which nothing is clipped. Choice: with fewer, the mean itself is unsure by half."""

TAIL_FROM: Final = 16.0
"""Runs without which a scale says nothing of its tails. Choice: a kurtosis of 16 runs has the standard
error 1.2, less than the 2 of tails that matter (t with 7 degrees of freedom)."""

TAIL_BELOW: Final = 2
"""Scales below that say something of the tails of one, too. Choice: a burst is seen at its neighbours'."""

TAIL_PRIOR: Final = 10.0
"""Runs with the tails of independent readings that are added to those seen. Choice: as PRIOR."""

FORGET: Final = 0.05
"""What is left of the evidence when a season is first taken out, which it had counted as noise. Choice:
little, yet more than nothing, so that the ladder does not begin at independent readings."""


class Ladder(NamedTuple):
    """What one series says of its noise; *inflation* is that of no scale (1), and then of every scale.

    *known* are the degrees of freedom of every scale's inflation.
    """

    n: Floats
    q: Floats
    qq: Floats
    inflation: Floats
    known: Floats

    def freedom(self, rung: int) -> float:
        """Give the degrees of freedom of one rung's estimate."""
        return float(self.known[rung])

    def variation(self, rung: int) -> tuple[float, float]:
        """Give how many runs tell of the tails at *rung*, and the squared variation of their q.

        Runs of the two scales below help, weighted by their numbers.
        """
        while rung > 0 and self.n[rung] < TAIL_FROM:
            rung -= 1
        near = slice(max(rung - TAIL_BELOW, 0), rung + 1)
        n = self.n[near]
        q = np.maximum(self.q[near], 1e-9)
        runs = float(n.sum())
        return runs, float((n * (self.qq[near] * n / (q * q))).sum()) / max(runs, 1.0) - 1.0

    def tail_freedom(self, rung: int, rate: float | None = None) -> float:
        """Give the degrees of freedom of Student's t with tails as heavy as those of the runs at *rung*.

        One standard deviation of what chance makes of the kurtosis of independent runs counts for nothing,
        nor does what the runs of 0 and 1 with that *rate* have anyway: the test knows it.
        """
        runs, beyond = self.variation(rung)
        beyond -= 0.0 if rate is None else self._binomial(rung, rate)
        excess = (beyond - 2.0) * runs / (runs + TAIL_PRIOR) - math.sqrt(96.0 / max(runs, 1.0))
        return math.inf if excess <= 0.0 else 4.0 + 6.0 / excess

    def _binomial(self, rung: int, rate: float) -> float:
        """Give what the kurtosis of binomial sums at *rung* has beyond 3: (1 - 6 p q) / (n p q)."""
        while rung > 0 and self.n[rung] < TAIL_FROM:
            rung -= 1
        spread = max(rate * (1.0 - rate), 1e-6)
        near = slice(max(rung - TAIL_BELOW, 0), rung + 1)
        one = self.n[near] / (BLOCK * 2.0 ** np.arange(RUNGS)[near])
        return max(1.0 - 6.0 * spread, 0.0) / spread * float(one.sum()) / max(float(self.n[near].sum()), 1.0)


def spread(rates: Floats, *, cells: bool) -> Floats:
    """Give what a squared deviation of *rates*, shape (..., width), is divided by, before the sizes."""
    if cells:
        return np.maximum(rates, 1e-12)
    return np.minimum(np.maximum(rates * (1.0 - rates), 1e-6), 0.25)


def learn(
    columns: Columns, sums: Sums, ended: Nodes, bases: Bases, watched: Bools, stop: Places, *, cells: bool
) -> None:
    """Take in the nodes that ended up to block *stop* of each series.

    *watched* tells of which blocks the series is tested.
    """
    places, row, block = sums.place, ended.row, ended.block
    freedom = columns.cells[places] - 1.0 if cells else np.ones(len(places))
    begun = sums.number[row, block] - (1 << ended.scale)
    joined = bases.growing[row, block] & (begun >= columns.healed[places][row])
    size = bases.n[row, block]
    left = size - ended.size
    here = block <= stop[row]
    beside = (joined & here & (left >= np.maximum(ended.size, LEAST))).nonzero()[0]
    weight, value = np.zeros((2, len(row)))
    if len(beside):
        own, rest = ended.at(beside), left[beside, None]
        base, each = bases.total[own.row, own.block], own.size[:, None]
        apart = own.total / each - (base - own.total) / rest
        scale = spread(base / size[beside, None], cells=cells)
        q = (apart * apart / scale).sum(1) / ((1.0 / each + 1.0 / rest)[:, 0] * freedom[own.row])
        weight[beside], value[beside] = 1.0, q
    among = (~joined & here & watched[row, block]).nonzero()[0]
    if len(among):
        own = ended.at(among)
        base = bases.total[own.row, own.block] / size[among, None]
        full, within = _line_up(columns, places, own, spread(base, cells=cells), freedom)
        weight[among[full]], value[among[full]] = IN_A_ROW - 1.0, within
    told = weight.nonzero()[0]
    if len(told):
        _count(
            columns, places, ended.row[told] * RUNGS + ended.scale[told], weight[told], value[told], freedom
        )


def _line_up(
    columns: Columns, places: Places, own: Nodes, scale: Floats, freedom: Floats
) -> tuple[Places, Floats]:
    """Add runs to their rows; give those that make a row full, and what such rows say."""
    key = own.row * RUNGS + own.scale
    order = np.argsort(key, kind="stable")
    which, begin, count = np.unique(key[order], return_index=True, return_counts=True)
    place, rung, size = places[which // RUNGS], which % RUNGS, own.size[order]
    group = np.repeat(np.arange(len(which)), count)
    before = columns.row_n[place, rung].astype(np.intp)
    turn, position = np.divmod(before[group] + np.arange(len(order)) - begin[group], IN_A_ROW)
    rates = own.total[order] / size[:, None]
    sums = np.zeros((len(which), int(turn.max()) + 1, IN_A_ROW + 1, rates.shape[1]))
    squares = np.zeros_like(sums)
    # What a row holds already stands at its beginning; zeros until its next run change nothing.
    sums[:, 0, 0], squares[:, 0, 0] = columns.row_sum[place, rung], columns.row_square[place, rung]
    sums[group, turn, position + 1] = rates
    squares[group, turn, position + 1] = rates * rates
    np.add.accumulate(sums, axis=2, out=sums)
    np.add.accumulate(squares, axis=2, out=squares)
    last, held = np.divmod(before + count, IN_A_ROW)
    end = np.arange(len(which)), np.minimum(last, sums.shape[1] - 1), held
    columns.row_n[place, rung] = held
    columns.row_sum[place, rung] = np.where(held[:, None] > 0, sums[end], 0.0)
    columns.row_square[place, rung] = np.where(held[:, None] > 0, squares[end], 0.0)
    full = np.flatnonzero(position == IN_A_ROW - 1)
    end, at = (group[full], turn[full], IN_A_ROW), order[full]
    within = ((squares[end] - sums[end] ** 2 / IN_A_ROW) / scale[at]).sum(1)
    return at, np.maximum(within, 0.0) * size[full] / ((IN_A_ROW - 1) * freedom[own.row[at]])


def _count(
    columns: Columns, places: Places, key: Places, weight: Floats, value: Floats, freedom: Floats
) -> None:
    """Count what runs say, shape (runs,), by *key*, row * RUNGS + scale, in the log's order; clipped."""
    row = key // RUNGS
    calm = (columns.alarmed[places] == WATCHING)[row]
    counts = np.where(calm, weight, 0.0)
    if len(far := (value > CLIP).nonzero()[0]):
        for one in set(key[far].tolist()):
            own, at = (key == one).nonzero()[0], (places[one // RUNGS], one % RUNGS)
            n, q = float(columns.rung_n[at]), float(columns.rung_q[at])
            value[own] = _clipped(value[own].tolist(), counts[own].tolist(), n, q)
    # A row tells the mean of q over 7 runs; a single run of a normal of that variance has this mean square.
    free = freedom[row]
    square = value * value * (1.0 + 2.0 / free) / (1.0 + 2.0 / (np.maximum(weight, 1.0) * free))
    for name, own in (("rung", calm), ("held", ~calm)):
        if np.count_nonzero(own):
            at, each = key[own], weight[own]
            parts = [getattr(columns, f"{name}_{part}") for part in ("n", "q", "qq")]
            kept, size = np.array([part[places] for part in parts]), len(places) * RUNGS
            amounts = np.concatenate((each, each * value[own], each * square[own]))
            kept = add(kept, np.concatenate((at, at + size, at + 2 * size)), amounts)
            for part, after in zip(parts, kept, strict=True):
                part[places] = after


def _clipped(values: list[float], counts: list[float], n: float, q: float) -> list[float]:
    """Clip the values of one series and scale, one after the other: each tells how far the next may go."""
    for at, (one, count) in enumerate(zip(values, counts, strict=True)):
        if one > CLIP and n >= CLIP_FROM and one > (most := CLIP * max(q / n, 1.0)):
            values[at] = most
        n += count
        q += count * values[at]
    return values


def inflation(n: Floats, q: Floats, loss: Bools, *, cells: bool) -> tuple[Floats, Floats]:
    """Work out the inflation from what was counted, shape (..., scales), each from the rungs below.

    Gives it, shape (..., scales + 1), and its degrees of freedom, shape (..., scales). It is never under 1,
    or for a *loss*, shape (...), never under that of a single block: a loss varies less than 0 and 1 with
    the same mean.
    """
    result, known = np.ones((*n.shape[:-1], RUNGS + 1)), np.zeros(n.shape)
    least = np.where(loss, 1e-3, 1.0)
    for rung in range(RUNGS):
        below, runs = result[..., rung], n[..., rung]
        k = np.where(below < CLEAN, PRIOR_CLEAN, PRIOR)
        foretold = below
        if rung > 0 and not cells:
            if rung > 1:
                foretold = below + STEP * np.maximum(below - result[..., rung - 1], 0.0)
            beyond = q[..., rung] - runs * foretold > BEYOND * foretold * np.sqrt(2.0 * runs)
            k = np.where(beyond, PRIOR, np.maximum(k, SHARED * known[..., rung - 1]))
        known[..., rung] = k + runs
        result[..., rung + 1] = np.maximum((k * foretold + q[..., rung]) / known[..., rung], least)
        if rung == 0:
            least = np.where(loss, result[..., 1], least)
    return result, known


def hold(columns: Columns, place: int) -> None:
    """Begin to hold back what one series says of its noise."""
    columns.held_n[place] = 0.0
    columns.held_q[place] = 0.0
    columns.held_qq[place] = 0.0


def begin_rows(columns: Columns, place: int) -> None:
    """Begin the rows of runs of one series anew: the runs to come are of another level."""
    columns.row_n[place] = 0
    columns.row_sum[place] = 0.0
    columns.row_square[place] = 0.0


def release(columns: Columns, place: int) -> None:
    """Count what was held back: the series healed by itself."""
    columns.rung_n[place] += columns.held_n[place]
    columns.rung_q[place] += columns.held_q[place]
    columns.rung_qq[place] += columns.held_qq[place]


def forget(columns: Columns, place: int, rungs: int) -> None:
    """Forget most of what one series said at the first *rungs* scales."""
    columns.rung_n[place, :rungs] *= FORGET
    columns.rung_q[place, :rungs] *= FORGET
    columns.rung_qq[place, :rungs] *= FORGET


def present(columns: Columns, place: int) -> Ladder:
    """Give the noise of one series by all that its runs say, up to now."""
    return ladder(columns, place, columns.rung_n[place], columns.rung_q[place], columns.rung_qq[place])


def ladder(columns: Columns, place: int, n: Floats, q: Floats, qq: Floats) -> Ladder:
    """Give the noise of one series of which so much was counted."""
    has_cells = columns.bounds.shape[-1] > 1
    return Ladder(n, q, qq, *inflation(n, q, columns.loss[place] > 0, cells=has_cells))
