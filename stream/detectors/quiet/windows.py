"""Windows of many scales that end now, as differences of a running total.

At scale i the running total is kept at the last few multiples of 2**i blocks. A run of 2**j blocks that
ends now (a node of the binary counter) and a window that began at a kept boundary are both one
subtraction.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, LEVELS, RUNGS, WATCHING, Bools, Columns, Floats, Places

_LOG2: Final = np.zeros(1 << RUNGS, np.intp)
for _exponent in range(RUNGS):
    _LOG2[1 << _exponent] = _exponent


class Nodes(NamedTuple):
    """Pairs of a series and a scale, flat: *row* is the place in the round, *place* in the columns.

    *ends* tells where a node of the scale ends now; the others are the next scale of each series, whose
    noise is estimated from the one below. *total* is the node's sum, shape (pairs, width).
    """

    row: Places
    place: Places
    scale: Places
    ends: Bools
    size: Floats
    total: Floats

    def at(self, which: Places) -> Nodes:
        """Give some of them."""
        return Nodes(
            self.row[which],
            self.place[which],
            self.scale[which],
            self.ends[which],
            self.size[which],
            self.total[which],
        )


def add(columns: Columns, places: Places, totals: Floats, first: Floats) -> None:
    """Add a block of each series at *places*, that begins at *first* (seconds), to its running total."""
    new = columns.blocks[places] == 0
    if new.any():
        columns.bound_times[places[new], :, 0] = first[new, None]
    columns.blocks[places] += 1
    columns.total[places] += totals


def nodes(columns: Columns, places: Places) -> Nodes:
    """Give the nodes that end with the newest block of each series at *places*."""
    count = columns.blocks[places]
    lowest = _LOG2[np.minimum(count & -count, 1 << (RUNGS - 1))]
    sizes = np.minimum(lowest + 2, RUNGS)
    row = np.repeat(np.arange(len(places)), sizes)
    scale = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place, ends = places[row], scale <= lowest[row]
    kept = np.minimum(scale, LEVELS - 1)
    slot = ((count[row] >> kept) - (1 << (scale - kept))) % columns.bounds.shape[2]
    total = columns.total[place] - columns.bounds[place, kept, slot]
    return Nodes(row, place, scale, ends, BLOCK * (1 << scale).astype(np.float64), total)


def keep(columns: Columns, ended: Nodes) -> None:
    """Keep the running total where a node ends."""
    here = ended.ends & (ended.scale < LEVELS)
    place, scale = ended.place[here], ended.scale[here]
    slot = (columns.blocks[place] >> scale) % columns.bounds.shape[2]
    columns.bounds[place, scale, slot] = columns.total[place]
    columns.bound_times[place, scale, slot] = columns.latest[place]


def begin(columns: Columns, place: int) -> None:
    """Begin the windows of one series anew: what came before is in none of them."""
    columns.healed[place] = columns.blocks[place]
    columns.alarmed[place] = WATCHING
    columns.calm[place] = 0
