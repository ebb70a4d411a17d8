"""Settled: the baseline and the noise that tests use, which know nothing of what came lately.

A change that grows over days would become the norm, and the noise, of what it is compared with. So tests use
baseline and noise as they were a while ago. They are kept twice, as they settled and as they come next: at
each turn what comes next settles, and what has joined until now comes next. What is settled is then one to
two turns old, and no readings are lost, but late.

The incident of a series that healed by itself was none of these changes: with its end, all settles. So it
does when a season is first known, of which nothing that settled before knew, and of a baseline that somebody
published. Of a baseline that is exchanged for another one nothing stays. One that is frozen settles as far as
it had joined, and is then always the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.detectors.quiet import noise
from stream.detectors.quiet.baseline import COMPLETE_READINGS
from stream.detectors.quiet.records import (
    AGES,
    BLOCK,
    DAY,
    KEPT_TWICE,
    WATCHING,
    Bools,
    Columns,
    Floats,
    Places,
)

PART: Final = 0.25
"""The time to the next turn, as a part of a series' age. Choice: what is settled is then never less than six
tenths of what was seen, which costs a test little, and a change may take a fifth of a series' life."""

LONGEST_SECONDS: Final = 7 * DAY
LONGEST_READINGS: Final = COMPLETE_READINGS / 4
"""The time to the next turn at most: the longer of a week and these readings. Choice: a week, with every
weekday in it; and a quarter of the readings of the least complete baseline."""

SHORTEST_SECONDS: Final = 1.0
"""The same at least: of readings that all came at one time none is older than another."""


class Past(NamedTuple):
    """The baseline of each of some windows, without the window: readings, and their sum."""

    n: Floats
    total: Floats


class Settled(NamedTuple):
    """The baselines of the series of a stretch that tests use, shape (series[, width])."""

    n: Floats
    total: Floats
    joined: Places
    joined_total: Floats

    def without(self, row: Places, since: Places, before: Floats) -> Past:
        """Give baselines without what joined since block number *since*, when the total was *before*."""
        overlap, n, total = self.joined[row] - since, self.n[row], self.total[row]
        if len(some := (overlap > 0).nonzero()[0]):
            n[some] -= BLOCK * overlap[some]
            total[some] -= self.joined_total[row[some]] - before[some]
        return Past(n, total)


def baselines(columns: Columns, places: Places) -> Settled:
    """Give the baselines that tests use."""
    return Settled(
        columns.settled_base_n[places],
        columns.settled_base[places],
        columns.settled_joined[places],
        columns.settled_joined_total[places],
    )


def ladder_of(columns: Columns, place: int) -> noise.Ladder:
    """Give the noise that tests of one series use, or would use now if it were tested."""
    if not columns.turn[place]:
        return noise.present(columns, place)
    n, q, qq = (getattr(columns, f"settled_{name}")[place] for name in ("rung_n", "rung_q", "rung_qq"))
    return noise.ladder(columns, place, n, q, qq)


def baseline_of(columns: Columns, place: int) -> tuple[float, Floats]:
    """Give the readings and the sum of the baseline that tests of one series use, or would use now."""
    prefix = "settled_" if columns.turn[place] else ""
    total: Floats = getattr(columns, f"{prefix}base")[place]
    return float(getattr(columns, f"{prefix}base_n")[place]), total


def are_due(columns: Columns, places: Places, watched: Bools, latest: Floats) -> Bools:
    """Tell after which blocks it is a series' turn, shape (series, blocks); never in an incident."""
    calm = (columns.alarmed[places] == WATCHING)[:, None]
    result: Bools = watched & calm & (latest >= columns.turn[places][:, None])
    return result


def turn(columns: Columns, places: Places) -> None:
    """Let what comes next settle, and what has joined until now come next; the first time, all settles."""
    first = columns.turn[places] == 0.0
    for name in KEPT_TWICE:
        now, coming = getattr(columns, name), getattr(columns, f"coming_{name}")
        settled = getattr(columns, f"settled_{name}")
        settled[places] = coming[places]
        coming[places] = now[places]
        settled[places[first]] = now[places[first]]
    _work_out(columns, places)


def all_of(columns: Columns, places: Places) -> None:
    """Let all that has joined settle at once; of a series of which nothing settled yet, nothing does."""
    places = places[columns.turn[places] > 0.0]
    for name in KEPT_TWICE:
        for age in AGES:
            getattr(columns, f"{age}_{name}")[places] = getattr(columns, name)[places]
    _work_out(columns, places)


def none_of(columns: Columns, place: int) -> None:
    """Let nothing be settled of one series, until its first turn: its baseline is another one now.

    The noise begins with what tests knew of it.
    """
    if columns.turn[place]:
        for name in KEPT_TWICE:
            if name.startswith("rung"):
                getattr(columns, name)[place] = getattr(columns, f"settled_{name}")[place]
    for name in KEPT_TWICE:
        for age in AGES:
            getattr(columns, f"{age}_{name}")[place] = 0
    columns.turn[place] = 0.0


def leave_out(columns: Columns, place: int, since: int, before: Floats) -> None:
    """Take what joined since block number *since* out of all baselines of one series, for an incident."""
    for prefix in ("", *(f"{age}_" for age in AGES)):
        n, total = getattr(columns, f"{prefix}base_n"), getattr(columns, f"{prefix}base")
        joined = getattr(columns, f"{prefix}joined")
        overlap = int(joined[place]) - since
        if overlap > 0:
            n[place] -= BLOCK * overlap
            total[place] -= getattr(columns, f"{prefix}joined_total")[place] - before
        joined[place] = -1


def _work_out(columns: Columns, places: Places) -> None:
    """Work out the noise that tests use, and when the next turn is."""
    n, q = columns.settled_rung_n[places], columns.settled_rung_q[places]
    has_cells = columns.bounds.shape[-1] > 1
    columns.inflation[places], _ = noise.inflation(n, q, columns.loss[places] > 0, cells=has_cells)
    latest = columns.latest[places]
    seconds = columns.lately_seconds[places] / np.maximum(columns.lately[places], 1.0)
    longest = np.maximum(LONGEST_SECONDS, LONGEST_READINGS * seconds)
    period = np.minimum(PART * (latest - columns.began[places]), longest)
    columns.turn[places] = latest + np.maximum(period, SHORTEST_SECONDS)
