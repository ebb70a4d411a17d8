"""A baseline is exchanged for another one, because somebody said so: never by itself.

What was found to have changed may be accepted for the new normal. The new baseline then begins with what was
read since the window that showed the change began, and grows as any other does; it settles, and is tested
against, once it is as large and as old as a series has to be. Of a change that was told again as much worse,
that is the window that showed it last: what came before it is no part of what is accepted. Nor is what came
while a change still grew: as long as the two halves of what was read since differ, the first one is left out.

What tests knew of the noise is kept, for it is counted in the spread of the baseline that there is. What came
lately is not, for a change that grew over days has made noise of itself before it was found; nor is what was
held back since. The season is kept, moved to the new level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import noise, season, settled, told
from stream.detectors.quiet.baseline import LEAST
from stream.detectors.quiet.bins import REMAINDER
from stream.detectors.quiet.records import BLOCK, LEVELS, RUNGS, WATCHING, Columns, Floats

LOSS_LARGEST: Final = 0.5
"""The largest mean of a bounded loss that fits its unit. Choice: from the unit on errors count as 1; where
the mean is half of that, most of them do."""


DIFFERS: Final = 3.0
"""Standard deviations of q, in the noise, above its mean of 1 from where on two halves differ. Choice: fewer
than any window needs to alarm, so that the baseline that begins is not at odds with its own beginning."""


class Mark(NamedTuple):
    """A place in a series: so many blocks into it, what they add up to, and its time."""

    block: int
    total: Floats
    at: float


def accept(columns: Columns, place: int, *, cells: bool) -> bool:
    """Begin a new baseline of the series at *place* with what its open change shows.

    False, and nothing is done, where that does not fit what was learned to count it by: the unit of a loss,
    the cells of numbers, or a season of cells that is not known yet.
    """
    start = -1 - int(columns.joined[place])  # see :func:`changed`
    if columns.alarmed[place] == WATCHING or start <= 0 or start >= columns.blocks[place]:
        return False
    since = Mark(start, columns.joined_total[place].copy(), float(columns.changed_at[place]))
    since = _steady(columns, place, since, cells=cells)
    n = float(BLOCK * (int(columns.blocks[place]) - since.block))
    total = columns.total[place] - since.total
    level = total / n
    if cells:
        count = int(columns.cells[place])
        if season.is_new(columns, np.array([place]))[0] or level[:count].min() < REMAINDER:
            return False
    elif level[0] < 0.0 or (columns.loss[place] and level[0] > LOSS_LARGEST):
        return False
    season.move(columns, place, level - columns.base[place] / columns.base_n[place])
    columns.base_n[place], columns.base[place] = n, total
    columns.joined[place], columns.joined_total[place] = columns.blocks[place], columns.total[place]
    columns.began[place], columns.seen[place] = since.at, n
    columns.healed[place] = since.block
    columns.alarmed[place], columns.calm[place] = WATCHING, 0
    columns.frozen[place] = 0
    told.forget(columns, place)
    settled.none_of(columns, place)
    noise.hold(columns, place)
    noise.begin_rows(columns, place)
    return True


def _steady(columns: Columns, place: int, since: Mark, *, cells: bool) -> Mark:
    """Give from where on, *since* or later, the two halves of what was read are alike."""
    marks = sorted(_marks(columns, place), key=lambda mark: mark.block)
    blocks, now = int(columns.blocks[place]), columns.total[place]
    free = int(columns.cells[place]) - 1 if cells else 1
    for mark in marks:
        if 2 * (blocks - mark.block) > blocks - since.block:
            continue
        n, rest = float(BLOCK * (blocks - mark.block)), float(BLOCK * (mark.block - since.block))
        if n < LEAST:
            break
        rung = min(math.ceil(math.log2(n / BLOCK)), RUNGS - 1)
        apart = (now - mark.total) / n - (mark.total - since.total) / rest
        scale = noise.spread((now - since.total) / (n + rest), cells=cells)
        q = float((apart * apart / scale).sum()) / (free * (1.0 / n + 1.0 / rest))
        if q <= columns.inflation[place, rung + 1] * (1.0 + DIFFERS * math.sqrt(2.0 / free)):
            break
        since = mark
    return since


def _marks(columns: Columns, place: int) -> Iterator[Mark]:
    """Give the blocks up to which the running total of one series is kept."""
    kept, blocks = columns.bounds.shape[2], int(columns.blocks[place])
    for scale in range(LEVELS):
        last = blocks >> scale
        for number in range(max(last - kept + 1, 1), last + 1):
            at = place, scale, number % kept
            yield Mark(number << scale, columns.bounds[at], float(columns.bound_times[at]))


def changed(columns: Columns, place: int, since: int, before: Floats, at: float) -> None:
    """Note that a series changed *at* this time, after *since* blocks, whose readings add up to *before*.

    Nothing joins a baseline while a change is open. So what says how much has joined, and what the total was
    then, says until it is over where the change began, as -1 less that number of blocks.
    """
    columns.joined[place] = -1 - since
    columns.joined_total[place] = before
    columns.changed_at[place] = at
