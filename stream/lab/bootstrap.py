"""Copies of a quiet period: its days, drawn again in blocks of days that follow each other.

What is kept: everything within a day, the season of the day with it; what one series has to do with another
(all series of a log are drawn with the same days); what one day has to do with the next, within a block; and
the day of the week, where the period has two of each. What is lost: what spans more than a block, slow waves
above all. The length of a block grows with the cube root of the period, which balances the two errors of a
block bootstrap (Kuensch, 1989; Hall, Horowitz and Jing, 1995).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from stream.lab.sources import DAY_SECONDS, Floats, Places

WEEK: Final = 7


class Draw(NamedTuple):
    """A copy: for each of its days, from *first* on, the day of the period that is shown."""

    first: int
    days: Places


def block_days(period: int) -> int:
    """Give the days of a block for a period of so many days."""
    return max(1, round(math.cbrt(period)))


def keeps_weekdays(period: int) -> bool:
    """Tell whether a period of so many days is long enough to draw each weekday from its own."""
    return period >= 2 * WEEK


def draw(rng: np.random.Generator, first: int, period: int, length: int) -> Draw:
    """Draw a copy of *length* days from a *period* of so many days that begins with day *first*."""
    block = block_days(period)
    days: list[int] = []
    while len(days) < length:
        starts = np.arange(first, first + period)
        if keeps_weekdays(period):
            starts = starts[(starts - first) % WEEK == len(days) % WEEK]
        start = int(rng.choice(starts))
        days += range(start, min(start + block, first + period))
    return Draw(first, np.array(days[:length], np.intp))


def day_of(values: Floats, times: Floats, drawn: Draw, number: int) -> tuple[Floats, Floats]:
    """Give the readings of day *number* of a copy, of one series; *times* must not go back."""
    shown = int(drawn.days[number])
    begin, end = np.searchsorted(times, (shown * DAY_SECONDS, (shown + 1) * DAY_SECONDS))
    moved: Floats = times[begin:end] + (drawn.first + number - shown) * DAY_SECONDS
    return values[begin:end], moved
