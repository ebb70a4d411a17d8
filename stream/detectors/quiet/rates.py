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
from stream.detectors.quiet.scan import HAIR, KEPT, SCALES, Windows, far_enough
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


class _Able(NamedTuple):
    """Windows that may alarm, flat, with what the test asks of them."""

    windows: Windows
    least: Floats
    alpha: Floats
    inflation: Floats


def look(columns: Columns, sums: Sums, normal: Settled, budget: Floats, tested: Bools) -> list[Hit]:
    """Look at all windows of a stretch; give the most surprising one of the first block of each that alarms.

    *budget* is lambda, and *tested* tells which blocks to look at; both have shape (series, blocks). A series
    in an incident alarms again where it is much worse than was told (:mod:`.told`).
    """
    if (able := _screen(columns, sums, normal, budget, tested)) is None:
        return []
    best: dict[int, tuple[float, Hit]] = {}
    for one in range(len(able.alpha)):
        row, block = int(able.windows.row[one]), int(able.windows.block[one])
        if row in best and best[row][1].block < block:
            continue
        judged = _judge(columns, able, int(sums.place[row]), one)
        if judged is not None and (row not in best or judged[0] < best[row][0]):
            best[row] = judged
    return [hit for _, hit in best.values()]


def _screen(columns: Columns, sums: Sums, normal_of: Settled, budget: Floats, tested: Bools) -> _Able | None:
    """Give the windows that may alarm, if any: a normal approximation that is never too strict."""
    places = sums.place
    base = normal_of.total[:, 0] / np.maximum(normal_of.n, 1.0)
    counts = np.maximum(LEAST_RELATIVE * base, LEAST_ABSOLUTE)
    windows = far_enough(columns, sums, normal_of, counts, tested)
    fair = windows.past_n >= np.maximum(windows.n, baseline.LEAST)
    is_open = columns.alarmed[places] != WATCHING
    if np.count_nonzero(is_open):
        after = np.where(is_open, caught_up_at(columns.told_at[places]), 0)
        fair &= windows.since >= after[windows.row]
    row, _, column, _, n, inside, past_n, past = windows
    past_n = np.where(fair, past_n, 1.0)
    normal = past / past_n
    apart = inside / n - normal
    effect = np.where(columns.both[places][row] > 0, np.abs(apart), apart)
    least = np.maximum(LEAST_RELATIVE * normal, LEAST_ABSOLUTE)
    able = fair & (effect >= least)
    if np.count_nonzero(is_open):
        told = np.where(is_open, columns.told[places], 0.0)[row]
        able &= (np.sign(told) * apart >= WORSE * np.abs(told)) | (told == 0.0)
        effect = effect - np.abs(told)
    ladders = columns.inflation[places][row]
    inflation = noise_of(ladders, column, n)
    pooled = (inside + past) / (n + past_n)
    spread = np.minimum(np.maximum(pooled * (1.0 - pooled), 1e-6), 0.25)
    surprise = effect * effect / (spread * inflation * (1.0 / n + 1.0 / past_n))
    # The most of its budget that a series can spend of any is known; what it can is worked out for a few.
    allowed = budget[row, windows.block]
    alpha = np.minimum(ALPHA_MAX, allowed / SPENDABLE_LEAST * n * SPENT[column])
    able &= surprise > 0.5 * _squared_normal(alpha) - HAIR
    if not np.count_nonzero(able):
        return None
    base, base_n = base[row], normal_of.n[row]
    loss = columns.loss[places][row] > 0
    able &= n >= enough(base, ladders[:, 1], loss) * inflation
    able &= (columns.few[places][row] == 0) | (inside >= EVENTS_LEAST)
    if not len(some := able.nonzero()[0]):
        return None
    share = allowed[some] / spendable(ladders[some], base[some], base_n[some], allowed[some])
    alpha = np.minimum(ALPHA_MAX, share * n[some] * SPENT[column[some]])
    sure = surprise[some] > 0.5 * _squared_normal(alpha)
    some = some[sure]
    return _Able(windows.at(some), least[some], alpha[sure], inflation[some])


def noise_of(inflation: Floats, column: Places, n: Floats) -> Floats:
    """Give the noise of windows of *n* readings, shape (windows,), from that of the rungs, (windows, 11).

    A sum's variance lies between those of the sums of half and of twice its size as on a line.
    """
    one, shortest = np.arange(len(n)), _SHORTEST[column]
    lower = inflation[one, _RUNG[column] + 1]
    part = 2.0 - 2.0 * shortest / np.maximum(n, shortest)
    result: Floats = lower + part * (inflation[one, _ABOVE[column] + 1] - lower)
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
    """Give the part of its budget that a series can spend, shape (n,); its noise has shape (n, 11).

    Where the least effect is further out than the threshold, only what lies beyond the effect is spent.
    """
    least = np.maximum(LEAST_RELATIVE * base, LEAST_ABSOLUTE)
    reach = least * least / np.clip(base * (1.0 - base), 1e-6, 0.25)
    sure = reach[:, None] / (inflation[:, 3:] * (1.0 / _TYPICAL + 1.0 / np.maximum(past_n, 1.0)[:, None]))
    alpha = np.minimum(ALPHA_MAX, budget[:, None] * _ALL_SPENT)
    short = np.minimum(_squared_normal(alpha) - sure, 0.0)
    result: Floats = np.maximum((WEIGHTS * np.exp(0.5 * short)).sum(1), SPENDABLE_LEAST)
    return result


def _judge(columns: Columns, able: _Able, place: int, one: int) -> tuple[float, Hit] | None:
    """Test one window; give how far below its level it is, and what it shows, or None."""
    windows = able.windows
    n, past_n = float(windows.n[one]), float(windows.past_n[one])
    column, since = int(windows.column[one]), int(windows.since[one])
    rate, normal = float(windows.inside[one]) / n, float(windows.past[one]) / past_n
    inflation = float(able.inflation[one])
    is_open = int(columns.alarmed[place]) != WATCHING
    known = min(max(normal + float(columns.told[place]), 0.0), 1.0) if is_open else normal
    statistic = root_deviance(
        rate,
        known,
        n,
        past_n,
        margin=MARGIN * float(able.least[one]),
        continuity=0.0 if columns.loss[place] else 0.5 * inflation,
    ) / math.sqrt(inflation)
    statistic = max(without_clumps(statistic, rate, known, n, inflation), 0.0)
    level = float(able.alpha[one]) * (0.5 if columns.both[place] else 1.0)
    if 0.5 * math.erfc(statistic / math.sqrt(2.0)) >= FEWEST_LOOKS * level:
        return None  # not even if the noise were known
    df = freedom(columns, settled.ladder_of(columns, place), place, nearest_rung(column, n))
    level *= fewer_looks(statistic, df)
    tail = student_tail(statistic, df)
    if tail >= level:
        return None
    scale = int(SCALES[column])
    hit = Hit(
        row=int(windows.row[one]),
        block=int(windows.block[one]),
        scale=scale,
        n=int(n),
        slot=(since >> scale) % KEPT,
        total=windows.inside[one : one + 1],
        past_n=past_n,
        past=windows.past[one : one + 1],
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
