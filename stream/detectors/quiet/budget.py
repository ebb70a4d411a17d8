"""The user's knob: how many false alarms a model may raise in 30 days, and what each series has of them.

A model's budget F is shared out by what an alarm is worth: performance .6 (half of it to segments, where
there are any), features .15, score and output .05, data quality .15, usage .02, feedback .03, or as a policy
says; the series of a pool share it equally. What a pool without series would have is not spent. A series
with the share s that has E readings in 30 days may raise lambda = F s / E false alarms a reading. E is what
the series had lately: readings and time both fade over 30 days, so that the budget follows the traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet.records import BLOCK, DAY, Columns, Floats, Places
from stream.detectors.quiet.spec import Pool

PERIOD_SECONDS: Final = 30 * DAY

# Choice: what an alarm is worth to those who get it; errors first, then what may lead to them.
PARTS: Final[Mapping[Pool, float]] = {
    Pool.PERFORMANCE: 0.6,
    Pool.SEGMENT: 0.3,
    Pool.OUTPUT: 0.05,
    Pool.DRIFT: 0.15,
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


class Traffic(NamedTuple):
    """The time and the traffic of a stretch after each block, shape (series, blocks)."""

    latest: Floats
    seen: Floats
    lately: Floats
    lately_seconds: Floats

    def keep(self, columns: Columns, places: Places, stop: Places) -> None:
        """Keep what it was after block *stop* of each series."""
        at = np.arange(len(stop)), stop
        columns.latest[places] = self.latest[at]
        columns.seen[places] = self.seen[at]
        columns.lately[places] = self.lately[at]
        columns.lately_seconds[places] = self.lately_seconds[at]


def traffic(columns: Columns, places: Places, first: Floats, last: Floats) -> Traffic:
    """Count blocks of each series at *places* that ran from *first* to *last*, in seconds.

    Times that go back count as no time at all.
    """
    new = columns.seen[places] == 0.0
    if np.count_nonzero(new):
        columns.began[places[new]] = first[new, 0]
        columns.latest[places[new]] = first[new, 0]
    latest = np.maximum.accumulate(np.concatenate((columns.latest[places][:, None], last), 1), 1)
    passed = latest[:, 1:] - latest[:, :-1]
    fade = PERIOD_SECONDS / (PERIOD_SECONDS + passed)
    seen = columns.seen[places][:, None] + BLOCK * np.arange(1.0, last.shape[1] + 1.0)
    # Two numbers of each series fade, one block after the other.
    was = np.array((columns.lately[places], columns.lately_seconds[places]))
    added = np.empty((last.shape[1], *was.shape))
    added[:, 0], added[:, 1] = BLOCK, passed.T
    result = np.empty_like(added)
    for after, by, more in zip(result, np.ascontiguousarray(fade.T), added, strict=True):
        was = np.multiply(was, by, out=after)
        was += more
    return Traffic(latest[:, 1:], seen, result[:, 0].T, result[:, 1].T)


def allowed(columns: Columns, places: Places, lately: Traffic, false_alarms: float) -> Floats:
    """Give lambda, the false alarms a reading that each series may raise, shape (series, blocks)."""
    monthly = lately.lately * (PERIOD_SECONDS / np.maximum(lately.lately_seconds, 1.0))
    result: Floats = false_alarms * columns.share[places][:, None] / monthly
    return result


def allowed_now(columns: Columns, place: int, false_alarms: float) -> float:
    """Give lambda, the false alarms a reading that the series at *place* may raise now."""
    seconds = max(float(columns.lately_seconds[place]), 1.0)
    monthly = float(columns.lately[place]) * PERIOD_SECONDS / seconds
    return false_alarms * float(columns.share[place]) / monthly
