"""What a series is like when all is well: the sum of the blocks that were neither alarming nor too late.

Each block joins at once and a test takes the window out again, so that nothing is lost between them. A
baseline of 10,000 readings and 56 days is complete: from then on a slow change cannot become the norm.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, DAY, WATCHING, Bools, Columns, Floats, Places
from stream.detectors.quiet.windows import Sums, running_sum

COMPLETE_READINGS: Final = 10_000
COMPLETE_SECONDS: Final = 56 * DAY
"""When a baseline is complete. Choice: of eight whole weeks, which hold every weekday alike, a bad fortnight
is a quarter, where of four it would be half and the norm; 10,000 readings know a rate of .05 to a twentieth,
half of the least effect that counts."""

LEARNING_READINGS: Final = 2_000
LEARNING_SECONDS: Final = 3 * DAY
LEARNING_READINGS_MAX: Final = 20_000
"""When tests begin. Choice: three days have shown each hour more than once, and 2,000 readings give 60
runs to the ladder; who has 20,000 readings sooner should not have to wait for days."""

LEAST: Final = 256
"""Readings without which a baseline is compared with nothing. Choice: eight blocks, as a row of noise."""


class Bases(NamedTuple):
    """The baselines of a stretch as each block left them, shape (series, blocks[, width])."""

    n: Floats
    total: Floats
    growing: Bools
    joined: Places
    joined_total: Floats


def grown(columns: Columns, sums: Sums, totals: Floats, latest: Floats) -> Bases:
    """Let the blocks of a stretch join their baselines, outside of incidents, until complete or frozen."""
    places = sums.place
    n = columns.base_n[places]
    blocks = np.arange(totals.shape[1])
    age = latest - columns.began[places][:, None]
    complete = (n[:, None] + BLOCK * blocks >= COMPLETE_READINGS) & (age >= COMPLETE_SECONDS)
    may_grow = (columns.alarmed[places] == WATCHING) & (columns.frozen[places] == 0)
    growing = may_grow[:, None] & ~np.logical_or.accumulate(complete, 1)
    if growing.all():
        total = running_sum(columns.base[places], totals)[:, 1:]
        return Bases(n[:, None] + BLOCK * (blocks + 1), total, growing, sums.number, sums.total[:, 1:])
    joins = np.add.accumulate(growing, 1, dtype=np.intp)
    total = running_sum(columns.base[places], np.where(growing[:, :, None], totals, 0.0))
    some = joins > 0
    joined = np.where(some, sums.before[:, None] + joins, columns.joined[places][:, None])
    shared = sums.total[np.arange(len(places))[:, None], joins]
    joined_total = np.where(some[:, :, None], shared, columns.joined_total[places][:, None])
    return Bases(n[:, None] + BLOCK * joins, total[:, 1:], growing, joined, joined_total)


def learned(columns: Columns, places: Places, seen: Floats, latest: Floats) -> Bools:
    """Tell which blocks of a stretch may be tested."""
    return is_learned(seen, latest, columns.began[places][:, None])


def is_learned(seen: Floats, latest: Floats, began: Floats) -> Bools:
    """Tell whether series may be tested that have *seen* so many readings, from *began* to *latest*."""
    result: Bools = (seen >= LEARNING_READINGS) & (
        (latest - began >= LEARNING_SECONDS) | (seen >= LEARNING_READINGS_MAX)
    )
    return result


def keep(columns: Columns, places: Places, bases: Bases, stop: Places) -> None:
    """Keep the baselines as block *stop* of each series left them."""
    at = np.arange(len(stop)), stop
    columns.base_n[places] = bases.n[at]
    columns.base[places] = bases.total[at]
    columns.joined[places] = bases.joined[at]
    columns.joined_total[places] = bases.joined_total[at]
