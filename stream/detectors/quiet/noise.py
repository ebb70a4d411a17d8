"""The variance ladder: how much more a run of readings varies than independent readings would, at each scale.

Derivation. For a run of n independent readings with the baseline's rate p, and a baseline of N others,

    q = (p_run - p_base)^2 / [p (1 - p) (1/n + 1/N)]

has the mean 1 (for cells: Pearson's statistic over its K - 1 degrees of freedom). Where readings depend on
each other, or the world wobbles without being broken, its mean over the runs of a scale is the factor by
which variances of that scale are larger. Scale j is shrunk towards the scale below with the weight of k
runs, v_j = (k v_{j-1} + sum q) / (k + m), which is the mean of a posterior with a scaled inverse chi-
squared prior; k + m is its degrees of freedom (Gelman et al., Bayesian Data Analysis, section 2.6).

Bursts make tails heavy. If the runs' deviations are like Student's t with nu degrees of freedom, their
kurtosis, mean(q^2) / mean(q)^2, is 3 + 6 / (nu - 4); nu comes from that, shrunk to the 3 of independent
readings.

While the baseline grows, each run is compared with it. Once it stands still, that would take a slow change
for noise: then 8 runs in a row are compared with their own mean. What an incident adds is held until the
series has healed by itself; only then was it noise.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from stream.detectors.quiet.baseline import LEAST
from stream.detectors.quiet.records import RUNGS, WATCHING, Bools, Columns, Floats, Places
from stream.detectors.quiet.windows import Nodes

PRIOR_CLEAN: Final = 50.0
PRIOR: Final = 10.0
"""Runs that the scale below counts for: many where it shows no dependence, fewer where it does."""

CLEAN: Final = 1.25

IN_A_ROW: Final = 8

CLIP: Final = 12.0
"""Times the mean so far beyond which one run says no more."""

CLIP_FROM: Final = 8

TAIL_FROM: Final = 16.0
"""Runs without which a scale says nothing of its tails."""

TAIL_BELOW: Final = 2
"""Scales below that say something of the tails of one, too."""

TAIL_PRIOR: Final = 10.0
"""Runs with the tails of independent readings that are added to those seen."""

FORGET: Final = 0.05
"""What is left of the evidence when a season is first taken out, which it had counted as noise."""


def spread(rates: Floats, *, cells: bool) -> Floats:
    """Give what a squared deviation of *rates*, shape (..., width), is divided by, before the sizes."""
    if cells:
        return np.maximum(rates, 1e-12)
    return np.clip(rates * (1.0 - rates), 1e-6, 0.25)


def learn(
    columns: Columns, places: Places, ended: Nodes, growing: Bools, watched: Bools, freedom: Floats, *, cells: bool
) -> None:
    """Take in the nodes that ended.

    *growing* and *watched* tell, for each series of the round, whether its newest block joined its baseline
    and whether it is tested; *freedom* is the number of cells less one (1 for a rate).
    """
    base_n = columns.base_n[ended.place]
    left = base_n - ended.size
    whole = (columns.blocks[ended.place] - (1 << ended.scale)) >= columns.healed[ended.place]
    joined = ended.ends & growing[ended.row] & whole
    beside = joined & (left >= np.maximum(ended.size, LEAST))
    if beside.any():
        at = np.flatnonzero(beside)
        place, size, n, rest = ended.place[at], ended.size[at, None], base_n[at, None], left[at, None]
        base = columns.base[place]
        apart = ended.total[at] / size - (base - ended.total[at]) / rest
        scale = spread(base / n, cells=cells)
        q = (apart * apart / scale).sum(1) / ((1.0 / size + 1.0 / rest)[:, 0] * freedom[ended.row[at]])
        _count(columns, place, ended.scale[at], q, freedom[ended.row[at]])
    among = np.flatnonzero(ended.ends & ~joined & (watched & ~(growing & (columns.healed[places] == 0)))[ended.row])
    if len(among):
        own = ended.at(among)
        scale = spread(columns.base[own.place] / columns.base_n[own.place, None], cells=cells)
        _line_up(columns, own, scale, freedom[own.row])


def _line_up(columns: Columns, own: Nodes, scale: Floats, freedom: Floats) -> None:
    """Add runs to their rows, and take the rows that are full for what they say of the noise."""
    place, rung = own.place, own.scale
    rates = own.total / own.size[:, None]
    columns.row_n[place, rung] += 1
    columns.row_sum[place, rung] += rates
    columns.row_square[place, rung] += (rates * rates / scale).sum(1)
    full = columns.row_n[place, rung] == IN_A_ROW
    if not full.any():
        return
    place, rung = place[full], rung[full]
    sums = columns.row_sum[place, rung]
    within = columns.row_square[place, rung] - (sums * sums / scale[full]).sum(1) / IN_A_ROW
    q = np.maximum(within, 0.0) * own.size[full] / ((IN_A_ROW - 1) * freedom[full])
    _count(columns, place, rung, q, freedom[full], weight=IN_A_ROW - 1.0)
    columns.row_n[place, rung] = 0
    columns.row_sum[place, rung] = 0.0
    columns.row_square[place, rung] = 0.0


def _count(
    columns: Columns, place: Places, rung: Places, q: Floats, freedom: Floats, *, weight: float = 1.0
) -> None:
    n = columns.rung_n[place, rung]
    mean = columns.rung_q[place, rung] / np.maximum(n, 1e-9)
    most = np.where(n >= CLIP_FROM, CLIP * np.maximum(mean, 1.0), np.inf)
    q = np.minimum(q, most)
    # A row tells the mean of q over 7 runs; a single run of a normal of that variance has this mean square.
    qq = q * q * (1.0 + 2.0 / freedom) / (1.0 + 2.0 / (weight * freedom))
    calm = columns.alarmed[place] == WATCHING
    if calm.all():
        columns.rung_n[place, rung] += weight
        columns.rung_q[place, rung] += weight * q
        columns.rung_qq[place, rung] += weight * qq
        return
    columns.rung_n[place, rung] += np.where(calm, weight, 0.0)
    columns.rung_q[place, rung] += np.where(calm, weight * q, 0.0)
    columns.rung_qq[place, rung] += np.where(calm, weight * qq, 0.0)
    columns.held_n[place, rung] += np.where(calm, 0.0, weight)
    columns.held_q[place, rung] += np.where(calm, 0.0, weight * q)
    columns.held_qq[place, rung] += np.where(calm, 0.0, weight * qq)


def estimate(columns: Columns, place: Places, rung: Places) -> None:
    """Work out the inflation at the given rungs from the rung below and what was counted.

    It is never under 1, or for a loss never under that of a single block: a loss varies
    less than 0 and 1 with the same mean.
    """
    below = columns.inflation[place, rung]
    k = prior(below)
    value = (k * below + columns.rung_q[place, rung]) / (k + columns.rung_n[place, rung])
    least = np.where(columns.loss[place] > 0, np.where(rung > 0, columns.inflation[place, 1], 1e-3), 1.0)
    columns.inflation[place, rung + 1] = np.maximum(value, least)


def prior(below: Floats) -> Floats:
    """Give the runs that the rung below counts for."""
    return np.where(below < CLEAN, PRIOR_CLEAN, PRIOR)


def freedom(columns: Columns, place: int, rung: int) -> float:
    """Give the degrees of freedom of one rung's estimate."""
    return float(prior(columns.inflation[place : place + 1, rung])[0] + columns.rung_n[place, rung])


def variation(columns: Columns, place: int, rung: int) -> tuple[float, float]:
    """Give how many runs tell of the tails at *rung*, and the squared coefficient of variation of their q.

    Runs of the two scales below help, weighted by their numbers.
    """
    while rung > 0 and columns.rung_n[place, rung] < TAIL_FROM:
        rung -= 1
    near = slice(max(rung - TAIL_BELOW, 0), rung + 1)
    n = columns.rung_n[place, near]
    q = np.maximum(columns.rung_q[place, near], 1e-9)
    runs = float(n.sum())
    return runs, float((n * (columns.rung_qq[place, near] * n / (q * q))).sum()) / max(runs, 1.0) - 1.0


def tail_freedom(columns: Columns, place: int, rung: int) -> float:
    """Give the degrees of freedom of Student's t whose tails are as heavy as those of the runs at *rung*.

    One standard deviation of what chance makes of the kurtosis of independent runs counts for nothing.
    """
    runs, beyond = variation(columns, place, rung)
    excess = (beyond - 2.0) * runs / (runs + TAIL_PRIOR) - math.sqrt(96.0 / max(runs, 1.0))
    return math.inf if excess <= 0.0 else 4.0 + 6.0 / excess


def hold(columns: Columns, place: int) -> None:
    """Begin to hold back what one series says of its noise."""
    columns.held_n[place] = 0.0
    columns.held_q[place] = 0.0
    columns.held_qq[place] = 0.0


def release(columns: Columns, place: int) -> None:
    """Count what was held back: the series healed by itself."""
    columns.rung_n[place] += columns.held_n[place]
    columns.rung_q[place] += columns.held_q[place]
    columns.rung_qq[place] += columns.held_qq[place]


def forget(columns: Columns, place: int, rungs: int) -> None:
    """Forget most of what one series said at the first *rungs* scales, and work out all of them anew."""
    columns.rung_n[place, :rungs] *= FORGET
    columns.rung_q[place, :rungs] *= FORGET
    columns.rung_qq[place, :rungs] *= FORGET
    at = np.array([place], np.intp)
    for rung in range(RUNGS):
        estimate(columns, at, np.array([rung], np.intp))
