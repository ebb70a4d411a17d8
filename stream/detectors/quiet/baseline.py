"""What a series is like when all is well: the sum of the blocks that were neither alarming nor too late.

Each block joins at once and a test takes the window out again, so that nothing is lost between them. A
baseline of 10,000 readings and 28 days is complete: from then on a slow change cannot become the norm.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, DAY, WATCHING, Bools, Columns, Floats, Places

COMPLETE_READINGS: Final = 10_000
COMPLETE_SECONDS: Final = 28 * DAY

LEARNING_READINGS: Final = 2_000
LEARNING_SECONDS: Final = 3 * DAY
LEARNING_READINGS_MAX: Final = 20_000

LEAST: Final = 256
"""Readings without which a baseline is compared with nothing."""


class Past(NamedTuple):
    """The baseline of each of some windows, without the window: readings, and their sum."""

    n: Floats
    total: Floats


def grows(columns: Columns, places: Places) -> Bools:
    """Tell which series' baselines take another block."""
    age = columns.latest[places] - columns.began[places]
    complete = (columns.base_n[places] >= COMPLETE_READINGS) & (age >= COMPLETE_SECONDS)
    result: Bools = (columns.alarmed[places] == WATCHING) & ~complete
    return result


def is_learned(columns: Columns, places: Places) -> Bools:
    """Tell which series may be tested."""
    seen = columns.seen[places]
    age = columns.latest[places] - columns.began[places]
    result: Bools = (seen >= LEARNING_READINGS) & (
        (age >= LEARNING_SECONDS) | (seen >= LEARNING_READINGS_MAX)
    )
    return result


def join(columns: Columns, places: Places, totals: Floats) -> None:
    """Let the newest block of each series, which its windows hold already, join its baseline."""
    columns.base_n[places] += BLOCK
    columns.base[places] += totals
    columns.joined[places] = columns.blocks[places]
    columns.joined_total[places] = columns.total[places]


def without(columns: Columns, places: Places, since: Places, before: Floats) -> Past:
    """Give the baselines at *places* without what joined since block *since*, when the total was *before*."""
    overlap = columns.joined[places] - since
    inside = overlap > 0
    shared = np.where(inside[:, None], columns.joined_total[places] - before, 0.0)
    return Past(columns.base_n[places] - BLOCK * np.maximum(overlap, 0), columns.base[places] - shared)
