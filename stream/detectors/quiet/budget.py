"""The user's knob: how many false alarms a model may raise in 30 days, and what each series has of them.

A model's budget F is shared out by what an alarm is worth: performance .6 (half of it to segments, where
there are any), drift .25, data quality .15; the series of a pool share it equally. What a pool without
series would have is not spent. A series with the share s that has E readings in 30 days may raise lambda =
F s / E false alarms a reading. E is what the series had lately: readings and time both fade over 30 days,
so that the budget follows the traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np

from stream.detectors.quiet.records import BLOCK, DAY, Columns, Floats, Places
from stream.detectors.quiet.spec import Pool

PERIOD_SECONDS: Final = 30 * DAY

PARTS: Final[Mapping[Pool, float]] = {
    Pool.PERFORMANCE: 0.6,
    Pool.SEGMENT: 0.3,
    Pool.OUTPUT: 0.05,
    Pool.DRIFT: 0.25,
    Pool.QUALITY: 0.15,
    Pool.USAGE: 0.02,
    Pool.FEEDBACK: 0.03,
}
"""What each pool has of a budget unless told otherwise; that of segments is taken from performance."""


class Accounts:
    """Counts the series of every account's pools; an account lives as long as it has a series.

    *parts* says what each pool has of the budget.
    """

    def __init__(self, parts: Mapping[Pool, float] = PARTS) -> None:
        self._parts = parts
        self._members: Counter[tuple[str, Pool]] = Counter()

    def enter(self, account: str, pool: Pool) -> None:
        """Count one more series."""
        self._members[account, pool] += 1

    def leave(self, account: str, pool: Pool) -> None:
        """Count one series less."""
        self._members[account, pool] -= 1
        if not self._members[account, pool]:
            del self._members[account, pool]

    def share(self, account: str, pool: Pool) -> float:
        """Give the share of the account's budget that one series of *pool* has now."""
        part = self._parts[pool]
        if pool is Pool.PERFORMANCE and self._members[account, Pool.SEGMENT]:
            part -= self._parts[Pool.SEGMENT]
        return part / max(self._members[account, pool], 1)


def count_traffic(columns: Columns, places: Places, first: Floats, last: Floats) -> None:
    """Count a block of each series at *places* that ran from *first* to *last*, in seconds.

    Times that go back count as no time at all.
    """
    new = columns.seen[places] == 0.0
    if new.any():
        columns.began[places[new]] = first[new]
        columns.latest[places[new]] = first[new]
    before = columns.latest[places]
    now = np.maximum(before, last)
    passed = now - before
    fade = PERIOD_SECONDS / (PERIOD_SECONDS + passed)
    columns.latest[places] = now
    columns.seen[places] += BLOCK
    columns.lately[places] = columns.lately[places] * fade + BLOCK
    columns.lately_seconds[places] = columns.lately_seconds[places] * fade + passed


def allowed(columns: Columns, places: Places, false_alarms: float) -> Floats:
    """Give lambda, the false alarms a reading that each series at *places* may raise."""
    seconds = np.maximum(columns.lately_seconds[places], 1.0)
    monthly = columns.lately[places] * (PERIOD_SECONDS / seconds)
    result: Floats = false_alarms * columns.share[places] / monthly
    return result
