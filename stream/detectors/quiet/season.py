"""The hour of the day and the day of the week, taken out of a series before it is watched. Times are UTC.

Derivation. An hour's mean a_c over n_c readings has the sampling variance s_c = V v / n_c, where v is the
noise at the scale of one visit of that hour. The true differences have the variance tau^2 = mean(a_c^2 -
s_c), or none; the best guess of an hour's shift is then a_c tau^2 / (tau^2 + s_c) (empirical Bayes: Efron
and Morris, 1975). The days of the week get the same on what the hours leave, once each was visited on two
days.

Of cells the shift is that of each cell's share. They are shrunk together, by the Pearson distance of an hour
from all, sum_k a_ck^2 / p_k / (K - 1), whose sampling variance is that of independent readings over n_c, too.

A day of the week that was not seen before cannot be told from a change. Until every weekday is known, a
series of cells has to change more than a weekday usually makes it (:mod:`.cells`), learns its profile through
an incident, too, and begins no second one.

The profile is worked out anew with the first block that ends on a new day, and not during an incident. A
block belongs to the day on which it ends, each of its readings to its own hour.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import noise, settled
from stream.detectors.quiet.bins import CELLS
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
from stream.detectors.quiet.windows import running_sum

VISITS_LEAST: Final = 2
"""Days on which an hour or a weekday was seen before it has a shift. Choice: once may be an accident."""

READINGS_LEAST: Final = 10
"""Readings that an hour needs. Choice: below, its sampling variance is a guess itself."""

HOURS_LEAST: Final = 4
"""Hours that have to be known. Choice: a variance between fewer has hardly a degree of freedom."""

BASELINE_LEAST: Final = 200
"""Readings that a baseline needs first. Choice: a rate of .1 is then known to a fifth."""

MATTERS: Final = 0.5 / 256
"""A profile counts from where its variance is this part of that of a reading: half the noise of 256."""

WEEK_SCALE_SECONDS: Final = 3 * DAY
"""Runs up to this long see a day of the week as noise."""

_HOUR_SECONDS: Final = 3_600.0
_THURSDAY: Final = 3  # the epoch began on one; Monday is 0


class Clock(NamedTuple):
    """Where in the day and the week blocks lie.

    Readings by hour, shape (..., 24), and their sums, (..., 24, width); the day on which each block ends, as
    a number since the epoch, and its weekday, shape (...).
    """

    n: Floats
    total: Floats
    day: Places
    weekday: Places

    def at(self, which: Places | Bools | tuple[Places, Places]) -> Clock:
        """Give the clock of some of the blocks."""
        return Clock(self.n[which], self.total[which], self.day[which], self.weekday[which])


class Visits(NamedTuple):
    """What a stretch says of the hours, or weekdays, after each block, shape (series, blocks, 24 or 7).

    Readings, days on which there were any, and the last of these.
    """

    n: Floats
    visits: Places
    day: Places


class Seen(NamedTuple):
    """What a stretch says of the season; *total* (series, blocks, width) are the sums without it.

    *by_hour* (series, blocks, 24, width) and *left* (series, blocks, width), which is without the hours, are
    what is learned from; *learning* (series,) tells which series do learn.
    """

    total: Floats
    hours: Visits
    weekdays: Visits
    by_hour: Floats
    left: Floats
    weekday: Places
    learning: Bools


def clock_of(values: Floats, times: Floats) -> Clock:
    """Read the clock of blocks: values and times (seconds since the epoch), shape (n, 32)."""
    hour = np.floor(times / _HOUR_SECONDS).astype(np.intp) % HOURS
    cell = (np.arange(len(values))[:, None] * HOURS + hour).ravel()
    shape = (len(values), HOURS)
    n = np.bincount(cell, minlength=len(values) * HOURS).reshape(shape).astype(np.float64)
    total = np.bincount(cell, values.ravel(), len(values) * HOURS).astype(np.float64).reshape((*shape, 1))
    return _dated(n, total, times)


def clock_of_cells(cell: Places, times: Floats) -> Clock:
    """Read the clock of blocks of cells: shape (n, 32), as their times in seconds since the epoch."""
    hour = np.floor(times / _HOUR_SECONDS).astype(np.intp) % HOURS
    where = ((np.arange(len(cell))[:, None] * HOURS + hour) * CELLS + cell).ravel()
    total = np.bincount(where, minlength=len(cell) * HOURS * CELLS).astype(np.float64)
    total = total.reshape(len(cell), HOURS, CELLS)
    return _dated(total.sum(2), total, times)


def _dated(n: Floats, total: Floats, times: Floats) -> Clock:
    day = np.floor(times[:, -1] / DAY).astype(np.intp)
    return Clock(n, total, day, (day + _THURSDAY) % WEEKDAYS)


def take_out(columns: Columns, places: Places, total: Floats, clock: Clock) -> Seen:
    """Take the season out of sums of shape (series, blocks, width); learn from those outside of incidents."""
    left = total - _by_hour(clock.n, columns.hour_shift[places])
    result = left - BLOCK * columns.weekday_shift[places[:, None], clock.weekday]
    learning = (columns.alarmed[places] == WATCHING) | is_new(columns, places)
    hours = _visited(columns, "hour", places, clock.n * learning[:, None, None], clock.day)
    on = (clock.weekday[:, :, None] == np.arange(WEEKDAYS)) & learning[:, None, None]
    weekdays = _visited(columns, "weekday", places, BLOCK * on.astype(np.float64), clock.day)
    return Seen(result, hours, weekdays, clock.total, left, clock.weekday, learning)


def _by_hour(n: Floats, shift: Floats) -> Floats:
    """Add up what the hours shift blocks with *n* readings in each, one after the other in any batch."""
    result = np.zeros((*n.shape[:2], shift.shape[2]))
    if shift.any():
        for hour in np.flatnonzero(n.any((0, 1))).tolist():
            result += n[:, :, hour, None] * shift[:, None, hour]
    return result


def _visited(columns: Columns, name: str, places: Places, n: Floats, day: Places) -> Visits:
    was = getattr(columns, f"{name}_day")[places][:, None]
    here = n > 0
    days = np.maximum.accumulate(np.concatenate((was, np.where(here, day[:, :, None], was)), 1), 1)
    new = here & (day[:, :, None] > days[:, :-1])
    visits = getattr(columns, f"{name}_visits")[places][:, None] + np.cumsum(new, 1)
    return Visits(running_sum(getattr(columns, f"{name}_n")[places], n)[:, 1:], visits, days[:, 1:])


def keep(columns: Columns, places: Places, seen: Seen, stop: Places) -> None:
    """Keep what was seen of the season up to block *stop* of each series."""
    at = np.arange(len(stop)), stop
    for name, part in (("hour", seen.hours), ("weekday", seen.weekdays)):
        getattr(columns, f"{name}_n")[places] = part.n[at]
        getattr(columns, f"{name}_visits")[places] = part.visits[at]
        getattr(columns, f"{name}_day")[places] = part.day[at]
    upto = (np.arange(seen.weekday.shape[1]) <= stop[:, None]) & seen.learning[:, None]
    if seen.by_hour.shape[3] > 1:
        # Counts are whole numbers: their sum does not depend on the order.
        columns.hour_sum[places] += np.einsum("sbhk,sb->shk", seen.by_hour, upto.astype(np.float64))
    else:
        added = np.where(upto[:, :, None, None], seen.by_hour, 0.0)
        columns.hour_sum[places] = running_sum(columns.hour_sum[places], added)[:, -1]
    for weekday in np.unique(seen.weekday).tolist():
        added = np.where((upto & (seen.weekday == weekday))[:, :, None], seen.left, 0.0)
        columns.weekday_sum[places, weekday] = running_sum(columns.weekday_sum[places, weekday], added)[:, -1]


def are_due(columns: Columns, places: Places, day: Places, base_n: Floats) -> Bools:
    """Tell after which blocks profiles have to be worked out anew, shape (series, blocks)."""
    result: Bools = (
        (day > columns.season_day[places][:, None])
        & (columns.alarmed[places] == WATCHING)[:, None]
        & (base_n >= BASELINE_LEAST)
    )
    return result


def refresh(columns: Columns, place: int, day: int, cells: int) -> None:
    """Work out the profile of one series anew; *cells* is its number of cells, 0 where it is a rate."""
    columns.season_day[place] = day
    share = np.clip(columns.base[place] / columns.base_n[place], 1e-6, 1 - 1e-6)
    inflation = noise.present(columns, place).inflation
    own = float(inflation[1]) if columns.loss[place] else 1.0
    spread = share * (cells - 1) if cells else share * (1.0 - share) * own
    n, visits = columns.hour_n[place], columns.hour_visits[place]
    known = (visits >= VISITS_LEAST) & (n >= READINGS_LEAST)
    if np.count_nonzero(known) >= HOURS_LEAST:
        mean = columns.hour_sum[place].sum(0) / n.sum()
        sampling = _noise_at(inflation, columns.rung_n[place], n[known] / visits[known]) / n[known]
        shift = columns.hour_shift[place]  # a view: what is known is replaced, the rest stays
        shift[known] = _shrunk(columns.hour_sum[place, known] / n[known, None] - mean, sampling, spread)
        shift[known] -= (shift * n[:, None]).sum(0) / n.sum()
        if not columns.season_on[place, 0] and _matters(shift, n, spread):
            columns.season_on[place, 0] = 1
            _begin_anew(columns, place, RUNGS)
            inflation = noise.present(columns, place).inflation
    n, visits = columns.weekday_n[place], columns.weekday_visits[place]
    if visits.min() >= VISITS_LEAST:
        whole = visits - (np.arange(WEEKDAYS) == (day + _THURSDAY) % WEEKDAYS)  # today has only begun
        columns.week_known[place] = max(int(columns.week_known[place]), int(whole.min() >= VISITS_LEAST))
        mean = columns.weekday_sum[place].sum(0) / n.sum()
        sampling = _noise_at(inflation, columns.rung_n[place], n / visits) / n
        shift = _shrunk(columns.weekday_sum[place] / n[:, None] - mean, sampling, spread)
        shift -= (shift * n[:, None]).sum(0) / n.sum()
        columns.weekday_shift[place] = shift
        traffic = columns.lately[place] / max(float(columns.lately_seconds[place]), 1.0)
        scales = BLOCK * 2.0 ** np.arange(RUNGS)
        upto = int(np.count_nonzero(scales <= traffic * WEEK_SCALE_SECONDS))
        if not columns.season_on[place, 1] and _matters(shift, n, spread):
            columns.season_on[place, 1] = 1
            _begin_anew(columns, place, upto)


def _begin_anew(columns: Columns, place: int, rungs: int) -> None:
    """Let no window hold readings with a season and without one, nor *rungs* of noise count it."""
    noise.forget(columns, place, rungs)
    settled.all_of(columns, np.array([place]))
    columns.healed[place] = columns.blocks[place]


def move(columns: Columns, place: int, by: Floats) -> None:
    """Move what was seen of the season of one series *by* so much a reading, shape (width,)."""
    columns.hour_sum[place] += columns.hour_n[place][:, None] * by
    columns.weekday_sum[place] += columns.weekday_n[place][:, None] * by


def is_new(columns: Columns, places: Places) -> Bools:
    """Tell which series have cells and a season, and have not seen every weekday often enough."""
    has_cells = columns.bounds.shape[-1] > 1
    result: Bools = (columns.seasonal[places] > 0) & (columns.week_known[places] == 0) & has_cells
    return result


def _distance(shift: Floats, spread: Floats) -> Floats:
    """Give how far each of *shift*, shape (n, width), is from none, squared, in variances of a reading."""
    result: Floats = (shift * shift / spread).sum(1)
    return result


def _matters(shift: Floats, n: Floats, spread: Floats) -> bool:
    return bool((_distance(shift, spread) * n).sum() / n.sum() > MATTERS)


def _noise_at(inflation: Floats, runs: Floats, sizes: Floats) -> Floats:
    """Give the inflation for runs of *sizes* readings, from the nearest rung above that is known."""
    above = np.ceil(np.log2(np.maximum(sizes, BLOCK) / BLOCK)).astype(np.intp)
    seen = np.flatnonzero(runs >= 4)
    known = np.zeros(RUNGS, np.intp)
    for rung in seen:
        known[rung:] = rung
    result: Floats = inflation[known[np.minimum(above, RUNGS - 1)] + 1]
    return result


def _shrunk(means: Floats, sampling: Floats, spread: Floats) -> Floats:
    between = max(0.0, float((_distance(means, spread) - sampling).mean()))
    if between == 0.0:
        return np.zeros_like(means)
    result: Floats = means * (between / (between + sampling))[:, None]
    return result
