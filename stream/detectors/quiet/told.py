"""Told: how far from normal a series in an incident is known to be; what goes much further is told again.

The first window to show a change is the smallest that can, and mostly of before. So what a change is known to
be is what alarmed, or where that is more, what the first 512 readings after it show. Later windows that are
twice as far from normal, and a surprise to who knew that, are told; and so on from there.
"""

from __future__ import annotations

import numpy as np

from stream.detectors.quiet.cells import stability_index
from stream.detectors.quiet.rates import Hit
from stream.detectors.quiet.records import (
    BLOCK,
    CATCH_UP_SCALE,
    CATCHES_UP,
    WATCHING,
    Bools,
    Columns,
    Places,
    caught_up_at,
)


def keep(columns: Columns, place: int, hit: Hit) -> None:
    """Keep what is told of one series now."""
    columns.told[place] = hit.observed - hit.expected
    columns.told_at[place] = columns.blocks[place]
    if columns.bounds.shape[-1] > 1:
        columns.told_share[place] = hit.total / hit.n


def forget(columns: Columns, place: int) -> None:
    """Forget what was told of one series."""
    columns.told[place], columns.told_at[place] = 0.0, 0
    if columns.bounds.shape[-1] > 1:
        columns.told_share[place] = 0.0


def are_due(columns: Columns, places: Places, number: Places) -> Bools:
    """Tell after which blocks, by *number* and shape (series, blocks), a change is caught up with."""
    due = caught_up_at(columns.told_at[places])
    result: Bools = (columns.alarmed[places] != WATCHING)[:, None] & (number == due[:, None])
    return result


def catch_up(columns: Columns, place: int) -> None:
    """Take what came since a change was told for what is known of it, where that is more."""
    blocks = int(columns.blocks[place]) - CATCHES_UP
    kept = columns.bounds.shape[2]
    inside = columns.total[place] - columns.bounds[place, CATCH_UP_SCALE, (blocks >> CATCH_UP_SCALE) % kept]
    n = float(BLOCK * CATCHES_UP)
    told, past_n = float(columns.told[place]), float(columns.settled_base_n[place])
    past = columns.settled_base[place]
    if columns.bounds.shape[-1] > 1:
        count = int(columns.cells[place])
        noisy = float(columns.inflation[place, CATCH_UP_SCALE + 3])
        seen = stability_index(inside[:count], n, past[:count], past_n, noisy)
        if seen > told:
            columns.told[place], columns.told_share[place] = seen, inside / n
        return
    seen = float(inside[0]) / n - float(past[0]) / past_n
    if seen * np.sign(told) > abs(told):
        columns.told[place] = seen
