"""A baseline is exchanged for another one, because somebody said so: never by itself.

What was found to have changed may be accepted for the new normal. The new baseline then begins with what was
read since the window that showed the change began, and grows as any other does; it settles, and is tested
against, once it is as large and as old as a series has to be. Of a change that was told again as much worse,
that is the window that showed it last: what came before it is no part of what is accepted.

What tests knew of the noise is kept, for it is counted in the spread of the baseline that there is. What came
lately is not, for a change that grew over days has made noise of itself before it was found; nor is what was
held back since. The season is kept, moved to the new level.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.detectors.quiet import noise, season, settled, told
from stream.detectors.quiet.bins import REMAINDER
from stream.detectors.quiet.records import BLOCK, WATCHING, Columns, Floats

LOSS_LARGEST: Final = 0.5
"""The largest mean of a bounded loss that fits its unit. Choice: from the unit on errors count as 1; where
the mean is half of that, most of them do."""


def accept(columns: Columns, place: int, *, cells: bool) -> bool:
    """Begin a new baseline of the series at *place* with what its open change shows.

    False, and nothing is done, where that does not fit what was learned to count it by: the unit of a loss,
    the cells of numbers, or a season of cells that is not known yet.
    """
    start = -1 - int(columns.joined[place])  # see :func:`changed`
    n = float(BLOCK * (int(columns.blocks[place]) - start))
    if columns.alarmed[place] == WATCHING or start <= 0 or n <= 0.0:
        return False
    total = columns.total[place] - columns.joined_total[place]
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
    columns.began[place], columns.seen[place] = columns.changed_at[place], n
    columns.healed[place] = start
    columns.alarmed[place], columns.calm[place] = WATCHING, 0
    columns.frozen[place] = 0
    told.forget(columns, place)
    settled.none_of(columns, place)
    noise.hold(columns, place)
    noise.begin_rows(columns, place)
    return True


def changed(columns: Columns, place: int, since: int, before: Floats, at: float) -> None:
    """Note that a series changed *at* this time, after *since* blocks, whose readings add up to *before*.

    Nothing joins a baseline while a change is open. So what says how much has joined, and what the total was
    then, says until it is over where the change began, as -1 less that number of blocks.
    """
    columns.joined[place] = -1 - since
    columns.joined_total[place] = before
    columns.changed_at[place] = at
