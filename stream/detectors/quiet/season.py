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

from collections.abc import Callable
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
from stream.detectors.quiet.windows import add

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
_CELLS: Final = HOURS + WEEKDAYS
_THURSDAY: Final = 3  # the epoch began on one; Monday is 0


class Visits(NamedTuple):
    """Where in the day blocks lie: *n* readings at an *hour*, and their sum, each of shape (visits[, width]).

    Those of a block stand together; *row* and *block* are its place in the stretch.
    """

    row: Places
    block: Places
    hour: Places
    n: Floats
    total: Floats

    def at(self, which: Places | Bools) -> Visits:
        """Give some of them."""
        row, block, hour, n, total = self
        return Visits(row[which], block[which], hour[which], n[which], total[which])


class Dates(NamedTuple):
    """When the blocks of a stretch end, as days since the epoch, shape (series, blocks); what they visit."""

    day: Places
    visits: Visits

    @property
    def weekday(self) -> Places:
        """Give the days of the week, shape (series, blocks)."""
        return (self.day + _THURSDAY) % WEEKDAYS


class Clock(NamedTuple):
    """Where in the day and the week blocks lie: the *day* on which each ends, shape (blocks,), and more.

    The visits of block i stand from *begin[i]* to before *begin[i + 1]*; their *row* is the block.
    """

    day: Places
    begin: Places
    visits: Visits

    def during(self, start: Places, rest: Places, deep: int) -> Dates:
        """Give the dates of a stretch of *deep* blocks: of those from *start* on, shape (series,).

        *rest* (series,) is the last block of each that is one.
        """
        at = np.minimum(start[:, None] + np.arange(deep), (start + rest)[:, None])
        begin = self.begin[start]
        count = self.begin[start + np.minimum(rest, deep - 1) + 1] - begin
        row, visits = np.arange(len(start)).repeat(count), self.visits
        if len(row) < len(visits.row):
            visits = visits.at(np.arange(len(row)) + (begin - np.add.accumulate(count) + count)[row])
        return Dates(self.day[at], Visits(row, visits.block - start[row], *visits[2:]))


class Seen(NamedTuple):
    """What a stretch says of the season; *total* (series, blocks, width) are the sums without it.

    *left* (series, blocks, width), which is without the hours, is what weekdays are learned from; *learning*
    (series,) tells which series do learn.
    """

    total: Floats
    left: Floats
    dates: Dates
    learning: Bools


def clock_of(values: Floats, times: Floats) -> Clock:
    """Read the clock of blocks: values and times (seconds since the epoch), shape (n, 32)."""

    def summed(of: Places, at: Places, size: int) -> Floats:
        return np.bincount(at, values[of].ravel(), size).astype(np.float64)[:, None]

    block = np.arange(len(values))
    return _clock(summed(block, block.repeat(BLOCK), len(values)), times, summed)


def clock_of_cells(cell: Places, totals: Floats, times: Floats) -> Clock:
    """Read the clock of blocks of cells, shape (n, 32), with their *totals* and times as above."""

    def counted(of: Places, at: Places, size: int) -> Floats:
        flat = np.bincount(at * CELLS + cell[of].ravel(), minlength=size * CELLS)
        return flat.astype(np.float64).reshape(size, CELLS)

    return _clock(totals, times, counted)


def _clock(totals: Floats, times: Floats, summed: Callable[[Places, Places, int], Floats]) -> Clock:
    """Read the clock of blocks; few lie in more than one hour: *summed* adds up each part of these."""
    hours = np.floor(times / _HOUR_SECONDS)
    is_split = (hours != hours[:, :1]).any(1)
    block, hour = np.arange(len(times)), hours[:, 0].astype(np.intp) % HOURS
    n = np.full(len(times), float(BLOCK))
    if is_split.any():
        split, whole = np.flatnonzero(is_split), np.flatnonzero(~is_split)
        at = np.arange(len(split)).repeat(BLOCK) * HOURS + hours[split].astype(np.intp).ravel() % HOURS
        size = len(split) * HOURS
        count = np.bincount(at, minlength=size)
        some = np.flatnonzero(count)
        block = np.concatenate((whole, split[some // HOURS]))
        hour = np.concatenate((hour[whole], some % HOURS))
        n = np.concatenate((n[whole], count[some]))
        totals = np.concatenate((totals[whole], summed(split, at, size)[some]))
        order = np.argsort(block, kind="stable")
        block, hour, n, totals = block[order], hour[order], n[order], totals[order]
    begin = np.searchsorted(block, np.arange(len(times) + 1))
    day = np.floor(times[:, -1] / DAY).astype(np.intp)
    return Clock(day, begin, Visits(block, block, hour, n, totals))


def take_out(columns: Columns, places: Places, total: Floats, dates: Dates) -> Seen:
    """Take the season out of sums of shape (series, blocks, width); see whose season they tell of."""
    left = total
    if np.count_nonzero(shift := columns.hour_shift[places]):
        left = total - _by_hour(dates.visits, shift, total)
    result = left
    if np.count_nonzero(columns.weekday_shift[places]):
        result = left - BLOCK * columns.weekday_shift[places[:, None], dates.weekday]
    learning = (columns.alarmed[places] == WATCHING) | is_new(columns, places)
    return Seen(result, left, dates, learning)


def _by_hour(visits: Visits, shift: Floats, like: Floats) -> Floats:
    """Add up what the hours shift blocks with *n* readings in each, one after the other in any batch."""
    result = np.zeros_like(like)
    row, block, hour, n, _ = visits
    by = n[:, None] * shift[row, hour]
    again = np.zeros(len(row), np.bool_)
    again[1:] = (block[1:] == block[:-1]) & (row[1:] == row[:-1])
    result[row[~again], block[~again]] = by[~again]
    if np.count_nonzero(again):
        return add(result, row[again] * like.shape[1] + block[again], by[again])
    return result


def keep(columns: Columns, places: Places, seen: Seen, stop: Places) -> None:
    """Keep what was seen of the season up to block *stop* of each series."""
    last = np.where(seen.learning, stop, -1)
    visits = seen.dates.visits
    here = visits.block <= last[visits.row]
    row, block, hour, n, total = visits if here.all() else visits.at(here)
    every, now = np.nonzero(np.arange(seen.left.shape[1]) <= last[:, None])
    days = seen.dates.day
    weekday = seen.dates.weekday[every, now]
    key = np.concatenate((row * _CELLS + hour, every * _CELLS + HOURS + weekday))
    was = np.concatenate((columns.hour_n[places], columns.weekday_n[places]), 1)
    kept = add(was, key, np.concatenate((n, np.full(len(every), float(BLOCK)))))
    columns.hour_n[places], columns.weekday_n[places] = kept[:, :HOURS], kept[:, HOURS:]
    _count_days(columns, places, key, np.concatenate((days[row, block], days[every, now])))
    if total.shape[1] > 1:
        # Counts are whole numbers: their sum does not depend on the order.
        columns.hour_sum[places] += add(np.zeros((len(places), HOURS, CELLS)), row * HOURS + hour, total)
    else:
        columns.hour_sum[places] = add(columns.hour_sum[places], row * HOURS + hour, total)
    at = every * WEEKDAYS + weekday
    columns.weekday_sum[places] = add(columns.weekday_sum[places], at, seen.left[every, now])


def _count_days(columns: Columns, places: Places, key: Places, day: Places) -> None:
    """Count the days on which hours and weekdays were visited: those after the last one that there was."""
    was = np.concatenate((columns.hour_day[places], columns.weekday_day[places]), 1).ravel()
    later = (day > was[key]).nonzero()[0]
    if not len(later):
        return
    order = later[np.argsort(key[later], kind="stable")]
    key, day = key[order], day[order]
    begins = np.concatenate(([True], key[1:] != key[:-1]))
    # Days of a later key are lifted above all of an earlier one, so that one running maximum does for all.
    lowest = day.min()
    lifted = (np.add.accumulate(begins, dtype=np.intp) - 1) * (day.max() - lowest + 1) + (day - lowest)
    newest = np.maximum.accumulate(lifted)
    is_new = begins.copy()
    is_new[1:] |= newest[1:] > newest[:-1]
    more = np.bincount(key[is_new], minlength=len(was)).reshape(len(places), _CELLS)
    columns.hour_visits[places] += more[:, :HOURS].astype(np.int32)
    columns.weekday_visits[places] += more[:, HOURS:].astype(np.int32)
    was[key[is_new]] = day[is_new]  # the last one, which stays, is the newest
    days = was.reshape(len(places), _CELLS)
    columns.hour_day[places], columns.weekday_day[places] = days[:, :HOURS], days[:, HOURS:]


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
    if columns.bounds.shape[-1] == 1:
        return np.zeros(len(places), np.bool_)
    result: Bools = (columns.seasonal[places] > 0) & (columns.week_known[places] == 0)
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
