"""Has a rate risen? Every window of 64 to 32,768 readings that ends now is compared with the baseline.

The statistic is the two-sample binomial deviance, D = 2 [n KL(a||p) + N KL(b||p)], with half a reading
taken off the window's count (continuity) and the baseline b moved towards the window by part of the least
effect that counts. sqrt(D / v), v the noise at the window's scale, is compared with Student's t.

Windows. Scale i gives those that began 4 to 7 times 2**i blocks ago (and 2 and 3 blocks ago at scale 0),
all of which are looked at with every block: a change is then found within an eighth of the window that
shows it best, where windows that are tested only when they are full lose up to half of it.

Threshold. Looking at every start and every end is a scan. The number of independent looks at windows of
about n readings is proportional to 1/n, so the level that spends a budget of lambda false alarms a reading
is alpha(n) = lambda n w_i C, with w_i the part of the budget for the scale. C, what the looks at one
window share by overlapping, is no theory: it was set by simulation, on independent and on dependent 0/1
readings, so that about as many alarms as are declared are raised at most (tests/lab/quiet_runs.py).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import baseline, noise
from stream.detectors.quiet.records import BLOCK, LEVELS, RUNGS, Bools, Columns, Floats, Places
from stream.detectors.quiet.tails import student_tail

LEAST_RELATIVE: Final = 0.10
LEAST_ABSOLUTE: Final = 0.005
"""The least rise that counts: a tenth of the baseline, or half a percentage point where that is more."""

MARGIN: Final = 0.25
"""Part of it that the baseline is given for free in the test."""

WEIGHTS: Final = np.array((1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 3.0, 3.0)) / 24.0
"""How the budget is divided among the scales: the middle ones see most real changes."""

OVERLAP: Final = 0.45
"""C, see above."""

ALPHA_MAX: Final = 0.02

ENOUGH: Final = 64.0
"""Effective readings that a window needs."""

EVENTS_LEAST: Final = 5.0
"""Readings of 1 that a window of a data quality series needs."""

KEPT: Final = 8
"""Boundaries that a scale keeps."""

_SCALES: Final = np.array([0, 0, *np.repeat(np.arange(LEVELS), 4)], np.intp)
_BACK: Final = np.array([2, 3, *np.tile(np.arange(4, 8), LEVELS)], np.intp)
_RUNG: Final = np.array([1, 1, *np.repeat(np.arange(LEVELS) + 2, 4)], np.intp)
_LONGER: Final = _BACK / np.array([2, 2, *([4] * 4 * LEVELS)])
_ABOVE: Final = np.minimum(_RUNG + 1, RUNGS - 1)
_PART: Final = 2.0 * (_LONGER - 1.0) / _LONGER
_NEAREST: Final = np.where(_PART > 0.5, _ABOVE, _RUNG)

_SPENT: Final = OVERLAP * WEIGHTS[_SCALES]


_TYPICAL: Final = 5.5 * BLOCK * 2.0 ** np.arange(LEVELS)
SPENDABLE_LEAST: Final = 1/3
VARIANCE_ENOUGH: Final = 3.0


class Hit(NamedTuple):
    """A window that shows a change: *row* of the round, the window's sum and past, the test's figures."""

    row: int
    scale: int
    n: int
    since: float
    total: Floats
    past_n: float
    past: Floats
    observed: float
    expected: float
    statistic: float
    threshold: float


class _Windows(NamedTuple):
    """All windows of some series, shape (series, windows) but for *place*, shape (series,)."""

    place: Places
    n: Floats
    inside: Floats
    past_n: Floats
    past: Floats
    least: Floats
    alpha: Floats
    inflation: Floats
    slot: Places


def look(columns: Columns, places: Places, budget: Floats) -> list[Hit]:
    """Look at all windows of the series at *places*; give the most surprising one of each that alarms.

    *budget* is the lambda of each.
    """
    all_of, able = _screen(columns, places, budget)
    best: dict[int, tuple[float, Hit]] = {}
    for row, column in np.argwhere(able).tolist():
        judged = _judge(columns, all_of, row, column)
        if judged is not None and (row not in best or judged[0] < best[row][0]):
            best[row] = judged
    return [hit for _, hit in best.values()]


def _screen(columns: Columns, places: Places, budget: Floats) -> tuple[_Windows, Bools]:
    """Give the windows, and which of them may alarm: a normal approximation that is never too strict."""
    count = columns.blocks[places][:, None]
    back = (count >> _SCALES) - _BACK
    since, slot = back << _SCALES, back % KEPT
    before = columns.bounds[places[:, None], _SCALES, slot, 0]
    n = BLOCK * (count - since).astype(np.float64)
    inside = columns.total[places] - before
    overlap = columns.joined[places][:, None] - since
    past_n = columns.base_n[places][:, None] - BLOCK * np.maximum(overlap, 0)
    past = columns.base[places] - np.where(overlap > 0, columns.joined_total[places] - before, 0.0)
    able = (since >= columns.healed[places][:, None]) & (past_n >= np.maximum(n, baseline.LEAST))
    past_n = np.where(able, past_n, 1.0)
    normal = past / past_n
    effect = inside / n - normal
    effect = np.where(columns.both[places][:, None] > 0, np.abs(effect), effect)
    least = np.maximum(LEAST_RELATIVE * normal, LEAST_ABSOLUTE)
    known = columns.inflation[places]
    inflation = (1.0 - _PART) * known[:, _RUNG + 1] + _PART * known[:, _ABOVE + 1]
    pooled = (inside + past) / (n + past_n)
    spread = np.clip(pooled * (1.0 - pooled), 1e-6, 0.25)
    surprise = effect * effect / (spread * inflation * (1.0 / n + 1.0 / past_n))
    loss = columns.loss[places] > 0
    own = np.where(loss, columns.inflation[places, 1], 1.0)[:, None]
    base = columns.base[places, 0] / columns.base_n[places]
    alpha = budget[:, None] * n * _SPENT / _spendable(columns, places, base, budget)[:, None]
    alpha = np.minimum(ALPHA_MAX, alpha)
    able &= (effect >= least) & (surprise > 0.5 * _squared_normal(alpha))
    if able.any():
        enough = np.where(loss, ENOUGH, np.minimum(ENOUGH, VARIANCE_ENOUGH / np.maximum(base * (1.0 - base), 1e-3)))
        able &= n >= enough[:, None] * inflation / own
        able &= (columns.few[places][:, None] == 0) | (inside >= EVENTS_LEAST)
    return _Windows(places, n, inside, past_n, past, least, alpha, inflation, slot), able


def _squared_normal(alpha: Floats) -> Floats:
    """Give about the z^2 beyond which there is *alpha*: z^2 = -2 ln(alpha) - ln(2 pi) - ln(z^2)."""
    doubled = -2.0 * np.log(alpha)
    return doubled - 1.8 - np.log(np.maximum(doubled - 4.0, 1.0))


def _spendable(columns: Columns, places: Places, base: Floats, budget: Floats) -> Floats:
    """Give the part of its budget that each series can spend: at scales where noise can reach the least effect."""
    least = np.maximum(LEAST_RELATIVE * base, LEAST_ABSOLUTE)[:, None]
    spread = np.clip(base * (1.0 - base), 1e-6, 0.25)[:, None]
    past_n = columns.base_n[places][:, None]
    sure = least / np.sqrt(spread * columns.inflation[places, 3:] * (1.0 / _TYPICAL + 1.0 / past_n))
    alpha = np.minimum(ALPHA_MAX, budget[:, None] * _TYPICAL * OVERLAP * WEIGHTS)
    short = np.minimum(_squared_normal(alpha) - sure * sure, 0.0)
    return np.maximum((WEIGHTS * np.exp(0.5 * short)).sum(1), SPENDABLE_LEAST)


def _judge(columns: Columns, windows: _Windows, row: int, column: int) -> tuple[float, Hit] | None:
    """Test one window; give how far below its level it is, and what it shows, or None."""
    place, rung = int(windows.place[row]), int(_NEAREST[column])
    n, past_n = float(windows.n[row, column]), float(windows.past_n[row, column])
    rate, normal = float(windows.inside[row, column]) / n, float(windows.past[row, column]) / past_n
    inflation = float(windows.inflation[row, column])
    statistic = root_deviance(
        rate,
        normal,
        n,
        past_n,
        margin=MARGIN * float(windows.least[row, column]),
        continuity=0.0 if columns.loss[place] else 0.5 * inflation,
    ) / math.sqrt(inflation)
    statistic = without_clumps(statistic, rate, normal, n, inflation)
    df = noise.freedom(columns, place, rung)
    df = 1.0 / (1.0 / df + 1.0 / noise.tail_freedom(columns, place, rung))
    level = float(windows.alpha[row, column]) * (0.5 if columns.both[place] else 1.0)
    tail = student_tail(max(statistic, 0.0), df)
    if tail >= level:
        return None
    scale = int(_SCALES[column])
    hit = Hit(
        row=row,
        scale=scale,
        n=int(n),
        since=float(columns.bound_times[place, scale, windows.slot[row, column]]),
        total=windows.inside[row, column : column + 1],
        past_n=past_n,
        past=windows.past[row, column : column + 1],
        observed=rate,
        expected=normal,
        statistic=statistic,
        threshold=_student_level(level, df),
    )
    return tail / level, hit


def is_calm(columns: Columns, place: int, n: float, total: float) -> bool:
    """Tell whether a window of a series in an incident is like its baseline again."""
    past_n = float(columns.base_n[place])
    rate, normal = total / n, float(columns.base[place, 0]) / past_n
    effect = abs(rate - normal) if columns.both[place] else rate - normal
    least = max(LEAST_RELATIVE * normal, LEAST_ABSOLUTE)
    if effect < 0.5 * least:
        return True
    rung = min(int(columns.alarmed[place]) + 2, RUNGS - 1)
    root = root_deviance(rate, normal, n, past_n, margin=0.0, continuity=0.0 if columns.loss[place] else 0.5)
    return root / math.sqrt(float(columns.inflation[place, rung + 1])) < 1.0


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


def without_clumps(statistic: float, rate: float, normal: float, n: float, inflation: float) -> float:
    """Take off what the skewness of dependent readings adds to the upper tail.

    A chain of 0 and 1 whose variance is *inflation* times that of independent readings has 1 + e times the
    skewness of n / inflation of them, e = (1 - inflation**-2) / 2, for which the deviance does not allow;
    the first Cornish-Fisher term of that comes off.
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


def _student_level(alpha: float, df: float) -> float:
    """Give the t beyond which there is *alpha* of Student's distribution, by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, df) > alpha:
        low, high = high, 2.0 * high
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if student_tail(middle, df) > alpha else (low, middle)
    return high
