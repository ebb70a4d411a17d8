"""The hour of the day and the day of the week, taken out of a rate before it is watched. Times are UTC.

Derivation. An hour's mean a_c over n_c readings has the sampling variance s_c = V v / n_c, where v is the
noise at the scale of one visit of that hour. The true differences have the variance tau^2 = mean(a_c^2 -
s_c), or none; the best guess of an hour's shift is then a_c tau^2 / (tau^2 + s_c) (empirical Bayes: Efron
and Morris, 1975). The days of the week get the same on what the hours leave, once each was visited on two
days.

The profile is worked out anew with the first block that ends on a new day, and not during an incident. A
block belongs to the day on which it ends, each of its readings to its own hour.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import noise
from stream.detectors.quiet.records import (
    BLOCK,
    DAY,
    HOURS,
    RUNGS,
    WATCHING,
    WEEKDAYS,
    Bools,
    Columns,
    Floats,
    Places,
)

VISITS_LEAST: Final = 2
READINGS_LEAST: Final = 10
HOURS_LEAST: Final = 4
BASELINE_LEAST: Final = 200

MATTERS: Final = 0.5 / 256
"""A profile counts from where its variance is this part of that of a reading: half the noise of 256."""

WEEK_SCALE_SECONDS: Final = 3 * DAY
"""Runs up to this long see a day of the week as noise."""

_HOUR_SECONDS: Final = 3_600.0
_THURSDAY: Final = 3  # the epoch began on one; Monday is 0


class Clock(NamedTuple):
    """Where in the day and the week blocks lie.

    Readings and their sum by hour, shape (n, 24); the day on which each block ends, as a number since the
    epoch, and its weekday.
    """

    n: Floats
    total: Floats
    day: Places
    weekday: Places

    def at(self, which: Places | Bools | slice) -> Clock:
        """Give the clock of some of the blocks."""
        return Clock(self.n[which], self.total[which], self.day[which], self.weekday[which])


def clock_of(values: Floats, times: Floats) -> Clock:
    """Read the clock of blocks: values and times (seconds since the epoch), shape (n, 32)."""
    hour = np.floor(times / _HOUR_SECONDS).astype(np.intp) % HOURS
    cell = (np.arange(len(values))[:, None] * HOURS + hour).ravel()
    shape = (len(values), HOURS)
    n = np.bincount(cell, minlength=len(values) * HOURS).reshape(shape).astype(np.float64)
    total = np.bincount(cell, values.ravel(), len(values) * HOURS).astype(np.float64).reshape(shape)
    day = np.floor(times[:, -1] / DAY).astype(np.intp)
    return Clock(n, total, day, (day + _THURSDAY) % WEEKDAYS)


def take_out(columns: Columns, places: Places, total: Floats, clock: Clock) -> Floats:
    """Give the blocks' sums, shape (n,), without the season; learn from those outside of incidents."""
    by_hour = (clock.n * columns.hour_shift[places]).sum(1)
    left = total - by_hour
    result: Floats = left - BLOCK * columns.weekday_shift[places, clock.weekday]
    calm = columns.alarmed[places] == WATCHING
    if not calm.all():
        places, left = places[calm], left[calm]
        clock = clock.at(calm)
    columns.hour_n[places] += clock.n
    columns.hour_sum[places] += clock.total
    visited = columns.hour_day[places]
    day = clock.day[:, None]
    new = (clock.n > 0) & (day > visited)
    columns.hour_visits[places] += new
    columns.hour_day[places] = np.where(new, day, visited)
    weekday = clock.weekday
    columns.weekday_n[places, weekday] += BLOCK
    columns.weekday_sum[places, weekday] += left
    visited = columns.weekday_day[places, weekday]
    columns.weekday_visits[places, weekday] += clock.day > visited
    columns.weekday_day[places, weekday] = np.maximum(visited, clock.day)
    return result


def are_due(columns: Columns, places: Places, clock: Clock) -> Bools:
    """Tell which series' profiles have to be worked out anew."""
    result: Bools = (
        (clock.day > columns.season_day[places])
        & (columns.alarmed[places] == WATCHING)
        & (columns.base_n[places] >= BASELINE_LEAST)
    )
    return result


def refresh(columns: Columns, place: int, day: int) -> None:
    """Work out the profile of one series anew."""
    columns.season_day[place] = day
    rate = float(np.clip(columns.base[place, 0] / columns.base_n[place], 1e-6, 1 - 1e-6))
    variance = rate * (1.0 - rate) * (float(columns.inflation[place, 1]) if columns.loss[place] else 1.0)
    n, visits = columns.hour_n[place], columns.hour_visits[place]
    known = (visits >= VISITS_LEAST) & (n >= READINGS_LEAST)
    if np.count_nonzero(known) >= HOURS_LEAST:
        mean = columns.hour_sum[place].sum() / n.sum()
        sampling = variance * _noise_at(columns, place, n[known] / visits[known]) / n[known]
        shift = columns.hour_shift[place]  # a view: what is known is replaced, the rest stays
        shift[known] = _shrunk(columns.hour_sum[place, known] / n[known] - mean, sampling)
        shift[known] -= (shift * n).sum() / n.sum()
        if not columns.season_on[place, 0] and _matters(shift, n, variance):
            columns.season_on[place, 0] = 1
            noise.forget(columns, place, RUNGS)
    n, visits = columns.weekday_n[place], columns.weekday_visits[place]
    if visits.min() >= VISITS_LEAST:
        mean = columns.weekday_sum[place].sum() / n.sum()
        sampling = variance * _noise_at(columns, place, n / visits) / n
        shift = _shrunk(columns.weekday_sum[place] / n - mean, sampling)
        shift -= (shift * n).sum() / n.sum()
        columns.weekday_shift[place] = shift
        traffic = columns.lately[place] / max(float(columns.lately_seconds[place]), 1.0)
        scales = BLOCK * 2.0 ** np.arange(RUNGS)
        upto = int(np.count_nonzero(scales <= traffic * WEEK_SCALE_SECONDS))
        if not columns.season_on[place, 1] and _matters(shift, n, variance):
            columns.season_on[place, 1] = 1
            noise.forget(columns, place, upto)


def _matters(shift: Floats, n: Floats, variance: float) -> bool:
    return bool((shift * shift * n).sum() / n.sum() > MATTERS * variance)


def _noise_at(columns: Columns, place: int, sizes: Floats) -> Floats:
    """Give the inflation for runs of *sizes* readings, from the nearest rung above that is known."""
    above = np.ceil(np.log2(np.maximum(sizes, BLOCK) / BLOCK)).astype(np.intp)
    seen = np.flatnonzero(columns.rung_n[place] >= 4)
    known = np.zeros(RUNGS, np.intp)
    for rung in seen:
        known[rung:] = rung
    result: Floats = columns.inflation[place, known[np.minimum(above, RUNGS - 1)] + 1]
    return result


def _shrunk(means: Floats, sampling: Floats) -> Floats:
    between = max(0.0, float((means * means - sampling).mean()))
    if between == 0.0:
        return np.zeros_like(means)
    result: Floats = means * between / (between + sampling)
    return result
