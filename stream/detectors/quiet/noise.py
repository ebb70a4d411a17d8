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
from stream.detectors.quiet.windows import Nodes, Sums, running_sum

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


class Ladders(NamedTuple):
    """What a stretch says of the noise, as each block left it.

    *n*, *q* and *qq* have shape (series, blocks + 1, scales) and begin with what was known before; so do
    *held*, the same three for what an incident adds.
    """

    n: Floats
    q: Floats
    qq: Floats
    held: tuple[Floats, Floats, Floats]
    rows: Rows | None


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


class Rows(NamedTuple):
    """Rows of runs of a stretch: *which* (series, scale) they belong to, and what was added to them.

    *turns* (rows, blocks) is the number of runs that each row had after each block; *sums* (rows, turns of
    8, 9, width) and *squares* are what a row holds after 0 to 8 of them: rates, and their squares.
    """

    which: Places
    turns: Places
    sums: Floats
    squares: Floats


def spread(rates: Floats, *, cells: bool) -> Floats:
    """Give what a squared deviation of *rates*, shape (..., width), is divided by, before the sizes."""
    if cells:
        return np.maximum(rates, 1e-12)
    return np.clip(rates * (1.0 - rates), 1e-6, 0.25)


def learn(
    columns: Columns, sums: Sums, ended: Nodes, bases: Bases, watched: Bools, *, cells: bool
) -> Ladders:
    """Take in the nodes that ended; *watched* tells of which blocks the series is tested."""
    places = sums.place
    weight, value = np.zeros((2, *watched.shape, RUNGS))
    freedom = columns.cells[places] - 1.0 if cells else np.ones(len(places))
    begun = sums.number[ended.row, ended.block] - (1 << ended.scale)
    joined = bases.growing[ended.row, ended.block] & (begun >= columns.healed[places[ended.row]])
    left = bases.n[ended.row, ended.block] - ended.size
    beside = joined & (left >= np.maximum(ended.size, LEAST))
    if beside.any():
        own, rest = ended.at(beside), left[beside, None]
        base, size = bases.total[own.row, own.block], own.size[:, None]
        apart = own.total / size - (base - own.total) / rest
        scale = spread(base / bases.n[own.row, own.block, None], cells=cells)
        q = (apart * apart / scale).sum(1) / ((1.0 / size + 1.0 / rest)[:, 0] * freedom[own.row])
        weight[own.row, own.block, own.scale] = 1.0
        value[own.row, own.block, own.scale] = q
    among = ~joined & watched[ended.row, ended.block]
    rows = None
    if among.any():
        own = ended.at(among)
        base = bases.total[own.row, own.block] / bases.n[own.row, own.block, None]
        rows = _line_up(columns, places, own, spread(base, cells=cells), freedom, weight=weight, value=value)
    return _count(columns, places, weight, value, freedom, rows)


def _line_up(
    columns: Columns,
    places: Places,
    own: Nodes,
    scale: Floats,
    freedom: Floats,
    *,
    weight: Floats,
    value: Floats,
) -> Rows:
    """Add runs to their rows; rows that are full give their *value* and *weight*."""
    blocks, key = weight.shape[1], own.row * RUNGS + own.scale
    which, group = np.unique(key, return_inverse=True)
    place, rung = places[which // RUNGS], which % RUNGS
    there = np.zeros((len(which), blocks), np.intp)
    there[group, own.block] = 1
    turns = columns.row_n[place, rung][:, None] + np.cumsum(there, 1)
    turn, position = np.divmod(turns[group, own.block] - 1, IN_A_ROW)
    rates = own.total / own.size[:, None]
    sums = np.zeros((len(which), int(turn.max()) + 1, IN_A_ROW + 1, rates.shape[1]))
    squares = np.zeros_like(sums)
    # What a row holds already stands at its beginning; zeros until its next run change nothing.
    sums[:, 0, 0], squares[:, 0, 0] = columns.row_sum[place, rung], columns.row_square[place, rung]
    sums[group, turn, position + 1] = rates
    squares[group, turn, position + 1] = rates * rates
    np.add.accumulate(sums, axis=2, out=sums)
    np.add.accumulate(squares, axis=2, out=squares)
    full = np.flatnonzero(position == IN_A_ROW - 1)
    if len(full):
        end, at = (group[full], turn[full], IN_A_ROW), (own.row[full], own.block[full], own.scale[full])
        within = ((squares[end] - sums[end] ** 2 / IN_A_ROW) / scale[full]).sum(1)
        weight[at] = IN_A_ROW - 1.0
        value[at] = np.maximum(within, 0.0) * own.size[full] / ((IN_A_ROW - 1) * freedom[own.row[full]])
    return Rows(which, turns, sums, squares)


def _count(
    columns: Columns, places: Places, weight: Floats, value: Floats, freedom: Floats, rows: Rows | None
) -> Ladders:
    """Count what runs say, shape (series, blocks, scales), clipped."""
    calm = (columns.alarmed[places] == WATCHING)[:, None, None]
    counted, aside = np.where(calm, weight, 0.0), np.where(calm, 0.0, weight)
    n = running_sum(columns.rung_n[places], counted)
    q = running_sum(columns.rung_q[places], counted * value)
    most = np.where(n >= CLIP_FROM, CLIP * np.maximum(q / np.maximum(n, 1e-9), 1.0), np.inf)
    wild = (value > most[:, :-1]).any(1)
    if wild.any():
        for row, rung in np.argwhere(wild).tolist():
            _clip(value[row, :, rung], counted[row, :, rung], n[row, :, rung], float(q[row, 0, rung]))
        q = running_sum(columns.rung_q[places], counted * value)
    # A row tells the mean of q over 7 runs; a single run of a normal of that variance has this mean square.
    free = freedom[:, None, None]
    square = value * value * (1.0 + 2.0 / free) / (1.0 + 2.0 / (np.maximum(weight, 1.0) * free))
    qq = running_sum(columns.rung_qq[places], counted * square)
    held = (
        running_sum(columns.held_n[places], aside),
        running_sum(columns.held_q[places], aside * value),
        running_sum(columns.held_qq[places], aside * square),
    )
    return Ladders(n, q, qq, held, rows)


def _clip(value: Floats, counted: Floats, n: Floats, q: float) -> None:
    """Clip the values of one series and scale, one after the other: each tells how far the next may go."""
    clipped = value.tolist()
    for block, (one, weight, runs) in enumerate(zip(clipped, counted.tolist(), n.tolist(), strict=False)):
        most = CLIP * max(q / runs, 1.0) if runs >= CLIP_FROM else one
        if one > most:
            clipped[block] = most
        q += weight * clipped[block]
    value[:] = clipped


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


def keep(columns: Columns, places: Places, ladders: Ladders, stop: Places) -> None:
    """Keep the ladders as block *stop* of each series left them."""
    at = np.arange(len(stop)), stop + 1
    columns.rung_n[places], columns.rung_q[places] = ladders.n[at], ladders.q[at]
    columns.rung_qq[places] = ladders.qq[at]
    columns.held_n[places], columns.held_q[places], columns.held_qq[places] = (
        part[at] for part in ladders.held
    )
    if ladders.rows is None:
        return
    which, turns, sums, squares = ladders.rows
    row, rung = which // RUNGS, which % RUNGS
    turn, position = np.divmod(turns[np.arange(len(which)), stop[row]], IN_A_ROW)
    end = np.arange(len(which)), np.minimum(turn, sums.shape[1] - 1), position
    begun = position > 0
    columns.row_n[places[row], rung] = position
    columns.row_sum[places[row], rung] = np.where(begun[:, None], sums[end], 0.0)
    columns.row_square[places[row], rung] = np.where(begun[:, None], squares[end], 0.0)


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
