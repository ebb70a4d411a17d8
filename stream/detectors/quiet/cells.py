"""Has a distribution changed? Windows of 128 * 2**i readings, by what their cells hold.

Pearson's statistic,

    q = sum_k (a_k - b_k)^2 / p_k / [(K - 1) (1/n + 1/N)]

counts the noise, and says which windows to look at any closer. What decides is Cressie and Read's, which
lies between Pearson's and the deviance: its tails are the closest to chi-squared where cells hold some ten
readings (Read and Cressie, 1988), and clumps of readings make them less heavy than Pearson's.
Over the noise v of the scale it is compared with Fisher's F(nu, nu df). Where readings depend on each other,
some directions among the cells vary more than others, and q is a sum of chi-squareds with unequal weights.
Its far tail is that of the heaviest: with one weight w and the others equal, the squared coefficient of
variation of q is 2 / (K - 1) * [1 + (w - 1)^2 / (K - 2)], which gives w; the gamma distribution with the
mean of q and the tail of w has nu = (K - 1) / w.

A change has to be sure and large: the population stability index, corrected for what chance alone gives,
is at least the least that counts. Windows are looked at when a fourth of them is new. What long windows
cannot spend of the budget, since chance hardly makes so large an index of them, the others have, as of rates.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from stream.detectors.quiet import baseline, noise, season, settled
from stream.detectors.quiet.noise import Ladder
from stream.detectors.quiet.rates import ALPHA_MAX, ENOUGH, SPENDABLE_LEAST, WEIGHTS, WORSE, Hit
from stream.detectors.quiet.records import (
    BLOCK,
    LEVELS,
    WATCHING,
    Bools,
    Columns,
    Floats,
    Places,
    caught_up_at,
)
from stream.detectors.quiet.settled import Settled
from stream.detectors.quiet.tails import fisher_tail
from stream.detectors.quiet.windows import Nodes, Sums

QUARTERS: Final = 4
"""Nodes in a window."""

KEPT: Final = 5

OVERLAP: Final = 2.2
"""What the looks at one window share by overlapping. Choice: by simulation, as that of the rates: independent
and dependent numbers raise about half of what is declared. Windows that step by a fourth of themselves
share more than those of rates."""

EXPECTED_LEAST: Final = 10.0
"""Readings that the baseline expects in the window's smallest cell. Choice: twice Cochran's 5, since the
far tail is asked for."""

UNKNOWN_WEEK: Final = 2.5
"""Times the index that counts while the days of the week are not known. Choice: by custom .10 is a small
change and .25 a large one."""

_SIZES: Final = tuple(float(QUARTERS * BLOCK << scale) for scale in range(LEVELS))
_WEIGHTS: Final = tuple(float(weight) for weight in WEIGHTS)
"""Readings of a window of each scale, and the part of the budget for it."""

_SCREEN: Final = 8.0
"""Pearson's statistic below which no window is looked at any closer: no level that is used is below it."""

_LEAST: Final = 0.95 * np.array((np.inf, 5.41, 3.91, 3.28, 2.92, 2.68, 2.51, 2.38, 2.27, 2.19))
"""The same for the statistic over the noise, by the degrees of freedom: where chi-squared over these has the
tail ALPHA_MAX, less a twentieth to be safe. A tail of F is above it there, the more so the fewer are left."""


def look(
    columns: Columns,
    sums: Sums,
    ended: Nodes,
    normal: Settled,
    *,
    budget: Floats,
    tested: Bools,
) -> list[Hit]:
    """Look at the windows that gained a fourth; give the most surprising one of the first block that alarms.

    *budget* is lambda, and *tested* tells which blocks to look at; both have shape (series, blocks). A series
    in an incident alarms again where it is twice as far away as was told (:func:`.rates.look`); an
    index is a squared distance.
    """
    ended = ended.at((ended.scale < LEVELS) & tested[ended.row, ended.block])
    row, block, scale = ended.row, ended.block, ended.scale
    quarter = (sums.number[row, block] >> scale) - QUARTERS
    able = (quarter << scale >= columns.healed[sums.place[row]]).nonzero()[0]
    if not len(able):
        return []
    least = least_index(columns, sums.place)
    row, block, scale, quarter = row[able], block[able], scale[able], quarter[able]
    place, since, slot = sums.place[row], quarter << scale, quarter % KEPT
    before = sums.at(columns, row, since, scale)
    n = QUARTERS * ended.size[able]
    inside = sums.total[row, block + 1] - before
    past_n, past = normal.without(row, since, before)
    fair = past_n >= np.maximum(n, baseline.LEAST)
    past_n = np.where(fair, past_n, 1.0)
    freedom = columns.cells[place] - 1.0
    known, is_open = past, columns.alarmed[place] != WATCHING
    if np.count_nonzero(is_open):
        # What a series in an incident shows is held against what was told of it.
        known = np.where(is_open[:, None], columns.told_share[place] * past_n[:, None], past)
        fair &= ~is_open | (since >= caught_up_at(columns.told_at[place]))
    apart = inside / n[:, None] - known / past_n[:, None]
    pooled = (inside + known) / (n + past_n)[:, None]
    q = (apart * apart / noise.spread(pooled, cells=True)).sum(1) / (freedom * (1.0 / n + 1.0 / past_n))
    inflation = columns.inflation[place, scale + 3]
    fair &= (q * freedom >= _SCREEN) & (q >= _LEAST[freedom.astype(np.intp)] * inflation)
    fair &= n >= ENOUGH * inflation
    if not np.count_nonzero(fair):
        return []
    fair[fair] = _may_differ(
        columns,
        place[fair],
        (inside[fair], n[fair]),
        (past[fair], past_n[fair]),
        inflation[fair],
        least[row[fair]],
    )
    best: dict[int, tuple[float, Hit]] = {}
    for pair in np.flatnonzero(fair).tolist():
        own, at_scale, series, now = int(place[pair]), int(scale[pair]), int(row[pair]), int(block[pair])
        cells = int(columns.cells[own])
        size, left = float(n[pair]), float(past_n[pair])
        if series in best and best[series][1].block < now:
            continue
        noisy = float(inflation[pair])
        stability = stability_index(inside[pair, :cells], size, past[pair, :cells], left, noisy)
        if stability < least[series]:
            continue
        ladder, allowed = settled.ladder_of(columns, own), float(budget[series, now])
        nu, df = freedoms(ladder, at_scale + 2, cells)
        sample = inside[pair, :cells], size
        statistic = divergence(sample, (known[pair, :cells], left)) / (float(freedom[pair]) * noisy)
        tail = fisher_tail(statistic, nu, nu * df)
        if tail >= level_of(at_scale, allowed, SPENDABLE_LEAST):
            continue
        level = level_of(at_scale, allowed, spendable(columns, ladder, own, allowed))
        if tail >= level or (series in best and best[series][0] <= tail / level):
            continue
        best[series] = (
            tail / level,
            Hit(
                row=series,
                block=now,
                scale=at_scale,
                n=int(size),
                slot=int(slot[pair]),
                total=inside[pair],
                past_n=left,
                past=past[pair],
                observed=stability,
                expected=0.0,
                statistic=statistic,
                threshold=_fisher_level(level, nu, nu * df),
            ),
        )
    return [hit for _, hit in best.values()]


def _may_differ(
    columns: Columns,
    places: Places,
    window: tuple[Floats, Floats],
    normal: tuple[Floats, Floats],
    inflation: Floats,
    index_least: Floats,
) -> Bools:
    """Tell which windows have enough in every cell, and an index that may be enough; a hair is to spare."""
    (inside, n), (past, past_n) = window, normal
    cells = columns.cells[places][:, None]
    real = np.arange(inside.shape[1]) < cells
    least = np.where(real, past, np.inf).min(1)
    a = (np.maximum(inside, 0.0) + 0.5) / (n[:, None] + 0.5 * cells)
    b = (past + 0.5) / (past_n[:, None] + 0.5 * cells)
    index = np.where(real, (a - b) * np.log(a / b), 0.0).sum(1)
    chance = (cells[:, 0] - 1) * inflation * (1.0 / n + 1.0 / past_n)
    result: Bools = (n * least >= EXPECTED_LEAST * past_n) & (index - chance >= index_least - 1e-9)
    return result


def least_index(columns: Columns, places: Places) -> Floats:
    """Give the least population stability index that counts as a change of each series now."""
    least = columns.psi[places] * np.where(season.is_new(columns, places), UNKNOWN_WEEK, 1.0)
    told = np.where(columns.alarmed[places] == WATCHING, 0.0, columns.told[places])
    result: Floats = np.maximum(least, WORSE * WORSE * told)
    return result


def is_calm(columns: Columns, place: int, n: float, total: Floats) -> bool:
    """Tell whether a window of a series in an incident is like its baseline again."""
    cells = int(columns.cells[place])
    noisy = float(
        columns.inflation[place, min(int(columns.alarmed[place]) + 3, columns.inflation.shape[1] - 1)]
    )
    stability = stability_index(
        total[:cells], n, columns.settled_base[place, :cells], float(columns.settled_base_n[place]), noisy
    )
    return stability < 0.5 * float(columns.psi[place])


def stability_index(inside: Floats, n: float, past: Floats, past_n: float, inflation: float) -> float:
    """Give the population stability index, with half a reading more a cell, less what chance makes of it."""
    cells = len(inside)
    a = (np.maximum(inside, 0.0) + 0.5) / (n + 0.5 * cells)  # without its season a count may be below 0
    b = (past + 0.5) / (past_n + 0.5 * cells)
    chance = (cells - 1) * inflation * (1.0 / n + 1.0 / past_n)
    return float(((a - b) * np.log(a / b)).sum()) - chance


def level_of(scale: int, allowed: float, spent: float) -> float:
    """Give the level of a look at *scale*, with lambda *allowed*, where that part of it can be *spent*."""
    return min(ALPHA_MAX, allowed * 0.25 * _SIZES[scale] * OVERLAP * _WEIGHTS[scale] / spent)


def spendable(columns: Columns, ladder: Ladder, place: int, allowed: float) -> float:
    """Give the part of its budget that a series can spend, as :func:`.rates.spendable` does.

    A scale spends nothing whose windows are not tested, and next to nothing where the least index that counts
    lies further out than its level.
    """
    cells, (past_n, past) = int(columns.cells[place]), settled.baseline_of(columns, place)
    rarest, spent = float(past[:cells].min()) / max(past_n, 1.0), 0.0
    for scale, n in enumerate(_SIZES):
        noisy = float(ladder.inflation[scale + 3])
        if past_n < n or n < ENOUGH * noisy or n * rarest < EXPECTED_LEAST:
            continue
        nu, df = freedoms(ladder, scale + 2, cells)
        # On average the statistic is 1 + PSI / [(K - 1) v (1/n + 1/N)].
        least = 1.0 + float(columns.psi[place]) / ((cells - 1) * noisy * (1.0 / n + 1.0 / past_n))
        part = fisher_tail(least, nu, nu * df) / level_of(scale, allowed, 1.0)
        spent += _WEIGHTS[scale] * min(part, 1.0)
    return max(spent, SPENDABLE_LEAST)


def divergence(one: tuple[Floats, float], other: tuple[Floats, float]) -> float:
    """Give Cressie and Read's statistic of two samples: what they hold in each cell, and in all.

    2 / [l (l + 1)] sum O [(O / E)^l - 1] with l = 2/3, the E of both samples by their pooled shares.
    """
    share = np.maximum((one[0] + other[0]) / (one[1] + other[1]), 1e-12)
    total = 0.0
    for held, n in (one, other):
        seen = np.maximum(held, 0.0)  # without its season a count may be below 0
        total += float((seen * (np.cbrt(seen / (n * share)) ** 2 - 1.0)).sum())
    return 1.8 * total


def freedoms(ladder: Ladder, rung: int, cells: int) -> tuple[float, float]:
    """Give nu of the statistic, and the degrees of freedom of the noise.

    One standard deviation of what chance makes of the variation of independent runs counts for nothing, as
    long as the noise is that of independent readings: where it is clearly more, some have more of it.
    """
    free = cells - 1
    runs, variation = ladder.variation(rung)
    weight = 1.0
    if runs > 0.0:
        chance = 2.0 / free
        if ladder.inflation[rung + 1] - 1.0 < noise.BEYOND * math.sqrt(2.0 / (free * runs)):
            chance *= 1.0 + math.sqrt((2.0 + 12.0 / free) / runs)
        uneven = 0.5 * free * max(0.0, (variation - chance) * runs / (runs + noise.TAIL_PRIOR))
        weight = min(1.0 + math.sqrt((free - 1) * uneven), float(free))
    return free / weight, ladder.freedom(rung)


def _fisher_level(alpha: float, df_above: float, df_below: float) -> float:
    """Give the F beyond which there is *alpha*, by bisection."""
    low, high = 0.0, 1.0
    while fisher_tail(high, df_above, df_below) > alpha:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if fisher_tail(middle, df_above, df_below) > alpha else (low, middle)
    return high
