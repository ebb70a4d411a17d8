"""How late a change is found: abrupt ones against the oracle, others by delay, episodes and time in alarm."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream.lab import oracle
from stream.lab.changes import JITTER, LEAD, PATIENCE, SHAPES, STEPS, onsets, shaped, stepping, strength
from stream.lab.families import Sort
from stream.lab.job import Job, Result
from stream.lab.sources import DAY_READINGS, Floats, Places, Source, times_of
from stream.lab.stationary import CHUNK
from stream.lab.watchers import FALSE_ALARMS, SHARE, Watcher

ORACLE: Final = "oracle CUSUM"

MONTH_READINGS: Final = 30 * DAY_READINGS


class _Seen:
    """What a detector did on the copies of one series, reading by reading and chunk by chunk."""

    def __init__(self, at: Places) -> None:
        self.at = at
        self.first = np.full(len(at), -1, np.intp)
        self.early = 0
        self.alarms = 0
        self.episodes = 0

    def take(self, copies: Places, places: Places, was_open: Floats) -> None:
        fresh = was_open == 0
        for copy, place in zip(copies.tolist(), places.tolist(), strict=True):
            if place < self.at[copy]:
                self.early += 1
                continue
            self.alarms += 1
            if fresh[copy]:
                self.episodes += 1
                fresh[copy] = False
            if self.first[copy] < 0:
                self.first[copy] = place

    def delays(self, most: int) -> list[int | None]:
        late = (self.first - self.at + 1).tolist()
        return [
            delay if first >= 0 and delay <= most else None
            for delay, first in zip(late, self.first.tolist(), strict=True)
        ]


def run_step(job: Job, watcher: Watcher | None) -> Result:
    """Let a series of each copy change for good; None for the watcher is the oracle."""
    step = STEPS[job.stream]
    rng = job.rng()
    at = onsets(rng, job.copies)
    source = stepping(step, rng, at)
    n = LEAD + JITTER + PATIENCE
    if watcher is None:
        return {"delays": _of_oracle(job, source, at, n), "early": None, "months_before": None}
    seen, _ = _watch(watcher, step.sort, source, at, n)
    return {
        "delays": seen.delays(PATIENCE),
        "early": seen.early,
        "months_before": float(at.sum()) / MONTH_READINGS,
    }


def run_shape(job: Job, watcher: Watcher) -> Result:
    """Let an error rate of each copy change slowly, again and again, or for a while."""
    shape = SHAPES[job.stream]
    rng = job.rng()
    at = onsets(rng, job.copies)
    source = shaped(job.stream, rng, at)
    n = LEAD + JITTER + shape.readings
    seen, opens = _watch(watcher, Sort.ERROR, source, at, n)
    ends = np.array([end for end, _ in opens])
    is_open = np.array([lasts for _, lasts in opens], np.float64).T
    there = strength(job.stream, ends[None, :] - at[:, None]) > 0
    after = (ends[None, :] >= at[:, None]) & ~there
    before = ends[None, :] < at[:, None]
    return {
        "delays": seen.delays(shape.readings),
        "early": seen.early,
        "months_before": float(at.sum()) / MONTH_READINGS,
        "alarms": seen.alarms,
        "episodes": seen.episodes,
        "copies": job.copies,
        "open_while_changed": _share(is_open, there),
        "open_afterwards": _share(is_open, after),
        "open_before": _share(is_open, before),
    }


def _watch(
    watcher: Watcher, sort: Sort, source: Source, at: Places, n: int
) -> tuple[_Seen, list[tuple[int, Any]]]:
    watching = watcher.begin([sort], len(at))
    seen = _Seen(at)
    was_open = np.zeros(len(at))
    opens: list[tuple[int, Any]] = []
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        times = times_of(start, size)
        alarms = watching.take([source.chunk(start, size)], times)
        seen.take(alarms.copy, start + alarms.place, was_open)
        was_open = watching.open(float(times[-1]))[:, 0].astype(np.float64)
        opens.append((start + size - 1, was_open.tolist()))
    return seen, opens


def _of_oracle(job: Job, source: Source, at: Places, n: int) -> list[int | None]:
    """Give the oracle's delays; the source is asked in the chunks of everybody else."""
    step = STEPS[job.stream]
    kept: list[Floats] = []
    skipped = 0
    for start in range(0, n, CHUNK):
        values = source.chunk(start, min(CHUNK, n - start))
        if start + values.shape[1] > LEAD:
            kept.append(values)
        else:
            skipped += values.shape[1]
    tail = np.concatenate(kept, 1)
    places = (at - skipped)[:, None] + np.arange(PATIENCE)
    from_change = np.take_along_axis(tail, np.minimum(places, tail.shape[1] - 1), 1)
    threshold = oracle.level(step, MONTH_READINGS / (FALSE_ALARMS * SHARE[step.sort]))
    late = oracle.delays(step, from_change, threshold)
    return [None if np.isinf(delay) else int(delay) for delay in late]


def _share(is_open: Floats, where: NDArray[np.bool_]) -> float | None:
    return float(is_open[where].mean()) if where.any() else None
