"""What is kept of recent readings is what a plain histogram keeps reading by reading, however cut."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.detectors.cut import BLOCK, History
from stream.detectors.recent import CLIP, PER_LEVEL, WAITING_MAX, Recent, Scale
from stream.detectors.runs import runs_of

Values = NDArray[np.float64]
Bucket = tuple[float, float, float, float]


class Plain:
    """The histogram of one series, as the paper has it: a bucket at a time."""

    def __init__(self, mean: float, sd: float) -> None:
        self._mean, self._sd = mean, sd
        self._open: list[float] = []
        self._start = 0.0
        self._levels: list[deque[Bucket]] = []

    def add(self, value: float, time: float) -> None:
        if not self._open:
            self._start = time
        self._open.append(value)
        if len(self._open) < BLOCK:
            return
        scaled = [self._scaled(one) for one in self._open]
        total = square = summed = None
        for one, z in zip(self._open, scaled, strict=True):
            total = one if total is None else total + one
            summed = z if summed is None else summed + z
            square = z * z if square is None else square + z * z
        assert summed is not None
        assert square is not None
        assert total is not None
        self._push(0, (summed, square, total, self._start))
        self._open = []

    def history(self) -> History:
        levels = [level for level, kept in enumerate(self._levels) for _ in kept][::-1]
        buckets = [bucket for kept in reversed(self._levels) for bucket in kept]
        sums, squares, totals, starts = ([bucket[column] for bucket in buckets] for column in range(4))
        scaled = [self._scaled(one) for one in self._open]
        return History(levels, sums, squares, totals, starts, scaled, self._open, self._start)

    def _push(self, level: int, bucket: Bucket) -> None:
        if level == len(self._levels):
            self._levels.append(deque())
        kept = self._levels[level]
        kept.append(bucket)
        if len(kept) > PER_LEVEL:
            older, other = kept.popleft(), kept.popleft()
            merged = (older[0] + other[0], older[1] + other[1], older[2] + other[2], older[3])
            self._push(level + 1, merged)

    def _scaled(self, value: float) -> float:
        return min(max((value - self._mean) / self._sd, -CLIP), CLIP)


def plain(values: Values, mean: float, sd: float) -> History:
    own = Plain(mean, sd)
    for time, value in enumerate(values.tolist()):
        own.add(value, float(time))
    return own.history()


SIZES = st.lists(
    st.one_of(st.sampled_from((1, 5, 15, 16, 17, 32, 112, 700)), st.integers(0, 50)), min_size=1, max_size=9
)
"""Readings that a slot has in one batch after the other; again from the first, where there are more."""


@settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(SIZES, min_size=1, max_size=9),
    batches=st.integers(1, 60),
    asked=st.sets(st.integers(0, 59), max_size=5),
)
def test_what_is_kept_is_that_of_a_plain_histogram(
    seed: int, sizes: list[list[int]], batches: int, asked: set[int]
) -> None:
    """Slots with long runs and with short ones, now in one batch, and asked for their history in between."""
    rng = np.random.default_rng(seed)
    lengths = np.array([[own[turn % len(own)] for own in sizes] for turn in range(batches)])
    series = [rng.normal(0.0, 4.0, total) for total in lengths.sum(axis=0)]
    mean, sd = rng.normal(size=len(sizes)), rng.uniform(0.2, 2.0, len(sizes))
    kept = Recent()
    kept.grow(len(sizes))
    done = np.zeros(len(sizes), dtype=np.intp)
    for turn, own in enumerate(lengths):
        slots = np.flatnonzero(own)[::-1]
        if len(slots):
            runs = runs_of(slots, own[slots])
            values = np.concatenate([series[slot][done[slot] : done[slot] + own[slot]] for slot in slots])
            times = np.concatenate([np.arange(done[slot], done[slot] + own[slot]) for slot in slots])
            kept.add(runs, values, times.astype(np.float64), Scale(mean[slots], sd[slots]))
        done += own
        if turn in asked:
            slot = turn % len(sizes)
            assert kept.history(slot, mean[slot], sd[slot]) == plain(
                series[slot][: done[slot]], mean[slot], sd[slot]
            )
    event(f"readings of the longest: {min(done.max() // 1_000, 5)},000 or more")
    for slot, one in enumerate(series):
        assert kept.history(slot, mean[slot], sd[slot]) == plain(one, mean[slot], sd[slot])


def test_blocks_of_more_slots_than_may_wait_are_kept_as_of_one() -> None:
    number = WAITING_MAX + 5
    values = np.random.default_rng(5).normal(size=(number, 7 * 50))
    kept = Recent()
    kept.grow(number)
    scale = Scale(np.zeros(number), np.ones(number))
    runs = runs_of(np.arange(number), np.full(number, 7))
    for first in range(0, values.shape[1], 7):
        times = np.tile(np.arange(first, first + 7.0), number)
        kept.add(runs, values[:, first : first + 7].reshape(-1), times, scale)
    for slot in (0, 1, WAITING_MAX // 2, WAITING_MAX, number - 1):
        assert kept.history(slot, 0.0, 1.0) == plain(values[slot], 0.0, 1.0)
