"""Sight: how small a change quiet can see in a series, now, with the traffic that it has.

For each window that fills within the time that is asked for, the least change at which the test's statistic,
as it is on average, reaches its threshold; the smallest of all windows counts. One window would find it with
an even chance; some windows overlap, so that it is found more often than not (of independent readings in six
to nine runs of ten: tests/unit/test_quiet_sight.py). Where the least effect that counts is larger than what
the test needs, it is that effect. The noise and the baseline are those of now.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import baseline, bins, rates, scan, settled
from stream.detectors.quiet.cells import (
    EXPECTED_LEAST,
    QUARTERS,
    freedoms,
    least_index,
    level_of,
    spendable,
)
from stream.detectors.quiet.rates import ENOUGH
from stream.detectors.quiet.records import BLOCK, DAY, LEVELS, Columns
from stream.detectors.quiet.tails import fisher_tail, student_tail

_STEPS: Final = 40

_Of = Callable[[float], float]


class Change(NamedTuple):
    """The smallest change that is seen: the level after it, the window that shows it, its threshold.

    Of cells *level* is a population stability index.
    """

    level: float
    window: int
    threshold: float


class Sight(NamedTuple):
    """How a series stands: readings taken, readings a day, whether it is tested yet, its normal, its spread.

    Of numbers the normal is the mean and the spread the standard deviation, as their cells tell.
    """

    readings: float
    per_day: float
    is_learned: bool
    normal: float
    spread: float


def sight_of(columns: Columns, place: int, *, cells: bool) -> Sight:
    """Say how the series at *place* stands."""
    n = float(columns.base_n[place])
    seconds = float(columns.lately_seconds[place])
    per_day = float(columns.lately[place]) / seconds * DAY if seconds else 0.0
    seen, latest = columns.seen[place : place + 1, None], columns.latest[place : place + 1, None]
    is_learned = bool(baseline.learned(columns, np.array([place]), seen, latest)[0, 0])
    normal = spread = 0.0
    if n and cells:
        normal = bins.mean(columns, place, columns.base[place], n)
        away = columns.middles[place] - normal
        variance = float((columns.base[place] / n * away * away).sum())
        spread = math.sqrt(max(variance, 0.0))  # without its season a cell may hold less than nothing
    elif n:
        normal = float(columns.base[place, 0]) / n
        spread = math.sqrt(max(normal * (1.0 - normal), 0.0))
    return Sight(float(columns.seen[place]), per_day, is_learned, normal, spread)


def of_rate(columns: Columns, place: int, allowed: float, readings: float) -> Change | None:
    """Give the smallest rise of a rate that *readings* show; None where none is seen.

    *allowed* is the lambda of the series, the false alarms a reading that it may raise.
    """
    past_n, past = settled.baseline_of(columns, place)
    normal = float(past[0]) / max(past_n, 1.0)
    least = max(rates.LEAST_RELATIVE * normal, rates.LEAST_ABSOLUTE)
    loss, base = columns.loss[place : place + 1] > 0, np.array([normal])
    ladder = settled.ladder_of(columns, place)
    noise = ladder.inflation[None]
    sizes = float(BLOCK) * scan.BACK * 2.0**scan.SCALES
    windows = np.arange(len(sizes))
    inflations = rates.noise_of(noise.repeat(len(sizes), 0), windows, sizes)
    enough = float(rates.enough(base, noise[:, 1], loss)[0])
    spent = rates.spendable(noise, base, np.array([past_n]), np.array([allowed]))[0]
    levels = np.minimum(rates.ALPHA_MAX, allowed / spent * sizes * rates.SPENT)
    levels *= 0.5 if columns.both[place] else 1.0
    best: Change | None = None
    for column, (n, v) in enumerate(zip(sizes.tolist(), inflations.tolist(), strict=True)):
        if n > readings or past_n < max(n, baseline.LEAST) or n < enough * v:
            continue
        rung = rates.nearest_rung(column, n)
        df = rates.freedom(columns, ladder, place, rung)
        level = float(levels[column])

        def statistic(rate: float, n: float = n, v: float = v) -> float:
            continuity = 0.0 if columns.loss[place] else 0.5 * v
            margin = rates.MARGIN * least
            root = rates.root_deviance(rate, normal, n, past_n, margin=margin, continuity=continuity)
            return max(rates.without_clumps(root / math.sqrt(v), rate, normal, n, v), 0.0)

        def reaches(rate: float, level: float = level, df: float = df, t: _Of = statistic) -> bool:
            return student_tail(t(rate), df) < level * rates.fewer_looks(t(rate), df)

        lowest = normal + least
        if columns.few[place]:
            lowest = max(lowest, rates.EVENTS_LEAST / n)
        if lowest >= 1.0 or not reaches(1.0):
            continue
        rate = lowest if reaches(lowest) else _least(reaches, lowest, 1.0)
        if best is None or rate < best.level:
            looks = rates.fewer_looks(statistic(rate), df)
            best = Change(rate, int(n), rates.student_level(level * looks, df))
    return best


def of_cells(columns: Columns, place: int, allowed: float, readings: float) -> Change | None:
    """Give the smallest population stability index that *readings* show; None where none is seen."""
    cells, (past_n, past) = int(columns.cells[place]), settled.baseline_of(columns, place)
    free, best = cells - 1, None
    least = float(least_index(columns, np.array([place]))[0])
    ladder = settled.ladder_of(columns, place)
    spent = spendable(columns, ladder, place, allowed)
    for scale in range(LEVELS):
        n = float(QUARTERS * BLOCK * 2**scale)
        inflation = float(ladder.inflation[scale + 3])
        if n > readings or past_n < max(n, baseline.LEAST) or n < ENOUGH * inflation:
            continue
        if n * float(past[:cells].min()) < EXPECTED_LEAST * past_n:
            continue
        level = level_of(scale, allowed, spent)
        nu, df = freedoms(ladder, scale + 2, cells)
        threshold = _beyond(lambda f, nu=nu, df=df: fisher_tail(f, nu, nu * df), level)  # type: ignore[misc]
        # On average the statistic is 1 + PSI / [(K - 1) v (1/n + 1/N)].
        needed = (threshold - 1.0) * free * inflation * (1.0 / n + 1.0 / past_n)
        index = max(least, needed)
        if best is None or index < best.level:
            best = Change(index, int(n), threshold)
    return best


def _beyond(tail: Callable[[float], float], alpha: float) -> float:
    """Give where the upper *tail* is *alpha*."""
    high = 1.0
    while tail(high) > alpha:
        high *= 2.0
    return _least(lambda value: tail(value) <= alpha, 0.0, high)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Give the least value between *low* and *high* from which on something *holds*, by bisection."""
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
