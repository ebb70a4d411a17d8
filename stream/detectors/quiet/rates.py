"""Has a rate risen? Every window of 64 to 32,768 readings that ends now is compared with the baseline.

The statistic is the two-sample binomial deviance, D = 2 [n KL(a||p) + N KL(b||p)], with half a reading
taken off the window's count (continuity) and the baseline b moved towards the window by part of the least
effect that counts. sqrt(D / v), v the noise at the window's scale, is compared with Student's t.

Windows. Scale i gives those that began 4 to 7 times 2**i blocks ago (and 2 and 3 blocks ago at scale 0),
all of which are looked at with every block: a change is then found within an eighth of the window that
shows it best, where windows that are tested only when they are full lose up to half of it.

Noise. The variances of sums lie on a straight line between those of two neighbouring rungs, as they do
when readings depend on each other for a while (n v = n v_inf - c): so a window of 7 blocks is not compared
with the noise of 4.

Threshold. Looking at every start and every end is a scan. The number of independent looks at windows of
about n readings is proportional to 1/n, so the level that spends a budget of lambda false alarms a reading
is alpha(n) = lambda n w_i C / s, with w_i the part of the budget for the scale; :func:`fewer_looks` has what
the number owes to the distance. s is the part of the budget that can be spent: where noise would have to be
larger than the least effect to reach the threshold, a scale spends hardly anything, and the others may have
it. C, what the looks at one window share by overlapping, is no theory: it was set by simulation, on
independent and on dependent 0/1 readings, so that no more alarms than are declared are raised
(tests/lab/quiet_runs.py).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import baseline, settled
from stream.detectors.quiet.noise import Ladder
from stream.detectors.quiet.records import (
    BLOCK,
    LEVELS,
    RUNGS,
    WATCHING,
    Bools,
    Columns,
    Floats,
    Places,
    caught_up_at,
)
from stream.detectors.quiet.settled import Settled
from stream.detectors.quiet.tails import student_tail
from stream.detectors.quiet.windows import Sums

LEAST_RELATIVE: Final = 0.10
LEAST_ABSOLUTE: Final = 0.005
"""The least rise that counts: a tenth of the baseline, or half a percentage point where that is more.

Choice: less is not worth waking for. A product's decision, and no figure of the data.
"""

MARGIN: Final = 0.15
"""Part of it that the baseline is given for free in the test.

Choice: it keeps a large baseline from calling every wobble a change. A larger part delays true alarms and
allows a larger OVERLAP; .15 is where independent and dependent errors spend about the same (tests/lab).
"""

WEIGHTS: Final = np.array((1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 3.0, 3.0)) / 24.0
"""How the budget is divided among the scales.

Choice: the middle ones, some hundreds to some thousands of readings, see most real changes; none gets less
than a quarter of another, since a budget three times smaller costs a window a tenth of its power.
"""

OVERLAP: Final = 0.4
"""C, see above. Choice: no simulated family spends more than about three quarters of what is declared, so
that what was not simulated has some room."""

LOOKS_AT: Final = 10.0
"""The squared distance, in standard deviations, for which C is. Choice: any would do, C has its inverse;
this is that of dependent readings at a budget of .3."""

FEWEST_LOOKS: Final = 2.0
"""Times fewer looks that are taken for independent at most. Choice: what was counted goes down to about half
of LOOKS_AT, with levels of .01."""

ALPHA_MAX: Final = 0.02
"""The largest level of a single look, whatever the budget: about two standard deviations, so that an alarm
always has evidence of its own. Choice: by convention."""

ENOUGH: Final = 64.0
VARIANCE_ENOUGH: Final = 3.0
"""Effective readings that a window needs, or fewer, where these have the variance VARIANCE_ENOUGH as a sum.

Choice: Cochran's rule, that normal approximations of counts want expected counts of 3 to 5; 64 readings
have that variance at a rate of .05, and for smaller rates EVENTS_LEAST and the continuity do the rest.
"""

EVENTS_LEAST: Final = 5.0
"""Readings of 1 that a window of a data quality series needs. Choice: Cochran's rule again."""

SPENDABLE_LEAST: Final = 1.0 / 3.0
"""The least that is taken for the part of a budget that can be spent. Choice: the part is an estimate, and
a level three times as large already moves a threshold of four standard deviations by .3."""

WORSE: Final = 2.0
"""Times as far from the baseline as was told that a series in an incident has to be, to be told again.

Choice: an incident is then told again a few times at most, however far it goes.
"""

KEPT: Final = 8
"""Boundaries that a scale keeps: those that windows begin at, and no more."""

SCALES: Final = np.array([0, 0, *np.repeat(np.arange(LEVELS), 4)], np.intp)
BACK: Final = np.array([2, 3, *np.tile(np.arange(4, 8), LEVELS)], np.intp)
"""The scale of each window, and how many boundaries of it ago the window began."""

_RUNG: Final = np.array([1, 1, *np.repeat(np.arange(LEVELS) + 2, 4)], np.intp)
"""The rung of runs as long as each window's shortest, and the next; *_SHORTEST* is the former's readings."""
_SHORTEST: Final = BLOCK * 2.0**_RUNG
_ABOVE: Final = np.minimum(_RUNG + 1, RUNGS - 1)

SPENT: Final = OVERLAP * WEIGHTS[SCALES]


_TYPICAL: Final = 5.5 * BLOCK * 2.0 ** np.arange(LEVELS)
_ALL_SPENT: Final = _TYPICAL * OVERLAP * WEIGHTS


class Hit(NamedTuple):
    """A window that shows a change, with its sum and past, and the test's figures.

    It ends with *block* of the series at *row* of the stretch, and began when *slot* of *scale* was kept.
    """

    row: int
    block: int
    scale: int
    n: int
    slot: int
    total: Floats
    past_n: float
    past: Floats
    observed: float
    expected: float
    statistic: float
    threshold: float


class _Windows(NamedTuple):
    """All windows that end in a stretch, shape (series, blocks, windows)."""

    n: Floats
    inside: Floats
    past_n: Floats
    past: Floats
    least: Floats
    alpha: Floats
    inflation: Floats
    slot: Places


def look(columns: Columns, sums: Sums, normal: Settled, budget: Floats, tested: Bools) -> list[Hit]:
    """Look at all windows of a stretch; give the most surprising one of the first block of each that alarms.

    *budget* is lambda, and *tested* tells which blocks to look at; both have shape (series, blocks). A series
    in an incident alarms again where it is much worse than was told (:mod:`.told`).
    """
    all_of, able = _screen(columns, sums, normal, budget)
    able &= tested[:, :, None]
    best: dict[int, tuple[float, Hit]] = {}
    for row, block, column in np.argwhere(able).tolist():
        if row in best and best[row][1].block < block:
            continue
        judged = _judge(columns, all_of, int(sums.place[row]), (row, block, column))
        if judged is not None and (row not in best or judged[0] < best[row][0]):
            best[row] = judged
    return [hit for _, hit in best.values()]


def _screen(columns: Columns, sums: Sums, normal_of: Settled, budget: Floats) -> tuple[_Windows, Bools]:
    """Give the windows, and which of them may alarm: a normal approximation that is never too strict."""
    places, count = sums.place, sums.number[:, :, None]
    row = np.arange(len(places))[:, None, None]
    back = (count >> SCALES) - BACK
    since, slot = back << SCALES, back % KEPT
    before = sums.at(columns, row, since, SCALES)[:, :, :, 0]
    n = BLOCK * (count - since).astype(np.float64)
    inside = sums.total[:, 1:] - before
    past_n, past = normal_of.without(row, since, before[:, :, :, None])
    past = past[:, :, :, 0]
    able = (since >= columns.healed[places][:, None, None]) & (past_n >= np.maximum(n, baseline.LEAST))
    past_n = np.where(able, past_n, 1.0)
    normal = past / past_n
    effect = inside / n - normal
    both = columns.both[places] > 0
    if both.any():
        effect = np.where(both[:, None, None], np.abs(effect), effect)
    least = np.maximum(LEAST_RELATIVE * normal, LEAST_ABSOLUTE)
    able &= effect >= least
    is_open = columns.alarmed[places] != WATCHING
    if is_open.any():
        told = np.where(is_open, columns.told[places], 0.0)[:, None, None]
        able &= (np.sign(told) * (inside / n - normal) >= WORSE * np.abs(told)) | (told == 0.0)
        after = np.where(is_open, caught_up_at(columns.told_at[places]), 0)
        able &= since >= after[:, None, None]
        effect = effect - np.abs(told)
    ladders = columns.inflation[places][:, None]
    inflation = noise_of(ladders, n)
    pooled = (inside + past) / (n + past_n)
    spread = np.clip(pooled * (1.0 - pooled), 1e-6, 0.25)
    surprise = effect * effect / (spread * inflation * (1.0 / n + 1.0 / past_n))
    base_n = normal_of.n[:, None]
    base = normal_of.total / np.maximum(base_n, 1.0)
    share = budget / spendable(ladders, base, base_n, budget)
    alpha = np.minimum(ALPHA_MAX, share[:, :, None] * n * SPENT)
    able &= surprise > 0.5 * _squared_normal(alpha)
    if able.any():
        loss = (columns.loss[places] > 0)[:, None]
        able &= n >= enough(base, ladders[:, :, 1], loss)[:, :, None] * inflation
        able &= (columns.few[places] == 0)[:, None, None] | (inside >= EVENTS_LEAST)
    return _Windows(n, inside, past_n, past, least, alpha, inflation, slot), able


def noise_of(inflation: Floats, n: Floats) -> Floats:
    """Give the noise of windows of *n* readings, shape (series, blocks, windows), from that of the rungs.

    A sum's variance lies between those of the sums of half and of twice its size as on a line.
    """
    lower = inflation[:, :, _RUNG + 1]
    part = 2.0 - 2.0 * _SHORTEST / np.maximum(n, _SHORTEST)
    result: Floats = lower + part * (inflation[:, :, _ABOVE + 1] - lower)
    return result


def nearest_rung(column: int, n: float) -> int:
    """Give the rung whose evidence speaks for a window of *n* readings."""
    return int(_ABOVE[column] if n > _SHORTEST[column] * 4.0 / 3.0 else _RUNG[column])


def enough(base: Floats, own: Floats, loss: Bools) -> Floats:
    """Give how many effective readings a window needs, of series with the rate *base*, shape (...).

    *own* is the noise of single blocks: a *loss* varies less than 0 and 1 do.
    """
    few = np.minimum(ENOUGH, VARIANCE_ENOUGH / np.clip(base * (1.0 - base), 1e-3, None))
    result: Floats = np.where(loss, ENOUGH / own, few)
    return result


def _squared_normal(alpha: Floats) -> Floats:
    """Give about the z^2 beyond which there is *alpha*: z^2 = -2 ln(alpha) - ln(2 pi) - ln(z^2)."""
    doubled = -2.0 * np.log(alpha)
    return doubled - 1.8 - np.log(np.maximum(doubled - 4.0, 1.0))


def spendable(inflation: Floats, base: Floats, past_n: Floats, budget: Floats) -> Floats:
    """Give the part of its budget that each series can spend, shape (series, blocks).

    Where the least effect is further out than the threshold, only what lies beyond the effect is spent.
    """
    least = np.maximum(LEAST_RELATIVE * base, LEAST_ABSOLUTE)
    reach = least * least / np.clip(base * (1.0 - base), 1e-6, 0.25)
    sure = reach[:, :, None] / (
        inflation[:, :, 3:] * (1.0 / _TYPICAL + 1.0 / np.maximum(past_n, 1.0)[:, :, None])
    )
    alpha = np.minimum(ALPHA_MAX, budget[:, :, None] * _ALL_SPENT)
    short = np.minimum(_squared_normal(alpha) - sure, 0.0)
    result: Floats = np.maximum((WEIGHTS * np.exp(0.5 * short)).sum(2), SPENDABLE_LEAST)
    return result


def _judge(
    columns: Columns, windows: _Windows, place: int, at: tuple[int, int, int]
) -> tuple[float, Hit] | None:
    """Test one window; give how far below its level it is, and what it shows, or None."""
    row, block, column = at
    n, past_n = float(windows.n[at]), float(windows.past_n[at])
    rung = nearest_rung(column, n)
    rate, normal = float(windows.inside[at]) / n, float(windows.past[at]) / past_n
    inflation = float(windows.inflation[at])
    is_open = int(columns.alarmed[place]) != WATCHING
    known = min(max(normal + float(columns.told[place]), 0.0), 1.0) if is_open else normal
    statistic = root_deviance(
        rate,
        known,
        n,
        past_n,
        margin=MARGIN * float(windows.least[at]),
        continuity=0.0 if columns.loss[place] else 0.5 * inflation,
    ) / math.sqrt(inflation)
    statistic = max(without_clumps(statistic, rate, known, n, inflation), 0.0)
    level = float(windows.alpha[at]) * (0.5 if columns.both[place] else 1.0)
    if 0.5 * math.erfc(statistic / math.sqrt(2.0)) >= FEWEST_LOOKS * level:
        return None  # not even if the noise were known
    df = freedom(columns, settled.ladder_of(columns, place), place, rung)
    level *= fewer_looks(statistic, df)
    tail = student_tail(statistic, df)
    if tail >= level:
        return None
    scale = int(SCALES[column])
    hit = Hit(
        row=row,
        block=block,
        scale=scale,
        n=int(n),
        slot=int(windows.slot[at]),
        total=windows.inside[row, block, column : column + 1],
        past_n=past_n,
        past=windows.past[row, block, column : column + 1],
        observed=rate,
        expected=normal,
        statistic=statistic,
        threshold=student_level(level, df),
    )
    return tail / level, hit


def is_calm(columns: Columns, place: int, n: float, total: float) -> bool:
    """Tell whether a window of a series in an incident is like its baseline again."""
    past_n = float(columns.settled_base_n[place])
    rate, normal = total / n, float(columns.settled_base[place, 0]) / past_n
    effect = abs(rate - normal) if columns.both[place] else rate - normal
    least = max(LEAST_RELATIVE * normal, LEAST_ABSOLUTE)
    if effect < 0.5 * least:
        return True
    rung = min(int(columns.alarmed[place]) + 2, RUNGS - 1)
    root = root_deviance(rate, normal, n, past_n, margin=0.0, continuity=0.0 if columns.loss[place] else 0.5)
    return root / math.sqrt(float(columns.inflation[place, rung + 1])) < 1.0


def freedom(columns: Columns, ladder: Ladder, place: int, rung: int) -> float:
    """Give the degrees of freedom of Student's t: those of the noise, and those of its tails."""
    past_n, past = settled.baseline_of(columns, place)
    own = None if columns.loss[place] else float(past[0]) / max(past_n, 1.0)
    return 1.0 / (1.0 / ladder.freedom(rung) + 1.0 / ladder.tail_freedom(rung, own))


def root_deviance(
    rate: float, normal: float, n: float, past_n: float, *, margin: float, continuity: float
) -> float:
    """Give sqrt(D) of a window's *rate* against the baseline's, 0 where nothing is left of the difference."""
    a, b = min(max(rate, 0.0), 1.0), min(max(normal, 0.0), 1.0)
    if a < b:
        a, b = 1.0 - a, 1.0 - b
    a, b = a - continuity / n, min(b + margin, 1.0)
    if a <= b:
        return 0.0
    pooled = (n * a + past_n * b) / (n + past_n)
    return math.sqrt(max(2.0 * (n * _divergence(a, pooled) + past_n * _divergence(b, pooled)), 0.0))


def fewer_looks(statistic: float, df: float) -> float:
    """Give how many times fewer looks at windows are independent than at the distance of OVERLAP.

    In a scan of Gaussian noise their number grows with the squared distance z^2 (counted in simulation, for
    levels of .01 to .00001). Student's t is a Gaussian of unsure variance; where t was reached, the variance
    was large: z^2 = t^2 (df + 1) / (df + t^2).
    """
    squared = statistic * statistic
    return LOOKS_AT / max(squared * (df + 1.0) / (df + squared), LOOKS_AT / FEWEST_LOOKS)


def without_clumps(statistic: float, rate: float, normal: float, n: float, inflation: float) -> float:
    """Take off what the skewness of dependent readings adds to the upper tail.

    Sums of 0 and 1 whose variance is *inflation* times that of independent readings have 1 + e times the
    skewness of n / inflation of them, for which the deviance does not allow; the first Cornish-Fisher term
    of that comes off. A chain of 0 and 1 has e = (1 - inflation**-2) / 2, and an autoregression beyond a
    threshold about the same (tests/unit/test_quiet.py counts both).
    """
    p = normal if rate >= normal else 1.0 - normal
    p = min(max(p, 1e-6), 1.0 - 1e-6)
    skewness = max(1.0 - 2.0 * p, 0.0) / math.sqrt(p * (1.0 - p) * n / inflation)
    extra = 0.5 * max(1.0 - inflation**-2, 0.0)
    return statistic - max(extra * skewness * (statistic * statistic - 1.0) / 6.0, 0.0)


def _divergence(a: float, b: float) -> float:
    """Give the Kullback-Leibler divergence of two Bernoulli distributions; 0 < b < 1."""
    divergence = 0.0
    if a > 0.0:
        divergence += a * math.log(a / b)
    if a < 1.0:
        divergence += (1.0 - a) * math.log((1.0 - a) / (1.0 - b))
    return divergence


def student_level(alpha: float, df: float) -> float:
    """Give the t beyond which there is *alpha* of Student's distribution, by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, df) > alpha:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if student_tail(middle, df) > alpha else (low, middle)
    return high
