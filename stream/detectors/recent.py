"""What series were like lately: exponential histograms of their readings, fine where they are young.

A detector says that a change happened; where it happened, and from what to what, is read off here. The
histogram is that of ADWIN (Bifet and Gavalda, 2007, section 4), with blocks of readings for single ones: each
level keeps a few buckets, and where there is one more the two oldest become one of the next level, which has
twice the size. When buckets are merged makes no difference to what they become, only their order does:
whatever a batch brings is merged level by level, for all series at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.detectors.cut import BLOCK, History
from stream.detectors.runs import Places, Runs, grown, ranges

PER_LEVEL: Final = 6
"""Buckets of one size that are kept; one more, and the two oldest of them become one of twice the size."""

LEVELS: Final = 16
"""Sizes that are kept: at the bound the oldest bucket is dropped, after some three million readings."""

CLIP: Final = 10.0
"""Standard deviations beyond which a reading says no more than that it lies far out."""

LONG: Final = 4 * BLOCK
"""Readings a run, on average, from which on each run is taken by itself."""

WAITING_MAX: Final = 2_048
"""Full blocks that wait to be filed."""

LOT: Final = 1_024
"""Blocks that are summed at a time: they stay in the cache."""

_SUM, _SQUARE, _TOTAL, _START = range(4)
_NONE: Final = 0
_IN_LEVEL = np.arange(PER_LEVEL)

Values = NDArray[np.float64]


class Scale(NamedTuple):
    """What readings are measured by: a mean and a standard deviation for each, shape (n,) both.

    Beyond *clip* standard deviations a reading says no more than that it lies far out.
    """

    mean: Values
    sd: Values
    clip: float = CLIP

    def of(self, values: Values) -> Values:
        """Give standardised *values*, shape (n,) or (n, k)."""
        with np.errstate(over="ignore"):
            scaled = values.T - self.mean
            scaled /= self.sd
        np.maximum(scaled, -self.clip, out=scaled)
        np.minimum(scaled, self.clip, out=scaled)
        return scaled.T

    def at(self, places: Places) -> Scale:
        """Give the scale of those at *places*."""
        return Scale(self.mean[places], self.sd[places], self.clip)


class _Filled(NamedTuple):
    """Blocks that are full and not filed yet: of which slots, when each began, and what it is measured by."""

    slots: Places
    blocks: Values
    begins: Values
    scale: Scale


class Recent:
    """Keeps, for every slot, the readings of the open block and the buckets of those before.

    A level's buckets are a page; a slot has pages for the levels that it has reached. Full blocks are filed
    when somebody asks, at most :data:`WAITING_MAX` wait: many at once cost little more than one. *clip* is
    that of the scales.
    """

    def __init__(self, clip: float = CLIP) -> None:
        self._clip = clip
        self._open: Values = np.zeros((0, BLOCK))
        self._open_count = np.zeros(0, dtype=np.int8)
        self._open_start: Values = np.zeros(0)
        self._counts = np.zeros((0, LEVELS), dtype=np.int8)
        self._page = np.zeros((0, LEVELS), dtype=np.int32)
        self._pages: Values = np.zeros((1, PER_LEVEL, 4))  # the first is nobody's
        self._pages_used = 1
        self._free: list[int] = []
        self._waiting: list[_Filled] = []
        self._waiting_blocks = 0

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""
        self._open = grown(self._open, capacity)
        self._open_count = grown(self._open_count, capacity)
        self._open_start = grown(self._open_start, capacity)
        self._counts = grown(self._counts, capacity)
        self._page = grown(self._page, capacity)

    def clear(self, slot: int) -> None:
        """Forget what *slot* was like."""
        self._settle()
        self._free += [page for page in self._page[slot].tolist() if page != _NONE]
        self._page[slot] = _NONE
        self._counts[slot] = 0
        self._open_count[slot] = 0
        self._open_start[slot] = 0.0

    def add(self, runs: Runs, values: Values, times: Values, scale: Scale) -> None:
        """Take *runs* of finite *values* and their *times*, shape (n,), after those taken before.

        *scale*, shape (m,), is what each of the m runs is measured by.
        """
        taken = self._open_count[runs.slots].astype(np.intp)
        filled = taken + runs.lengths
        blocks = filled // BLOCK
        self._open_count[runs.slots] = filled - blocks * BLOCK
        if len(values) < LONG * len(runs):
            self._add_short(runs, taken, blocks, (values, times), scale)
        else:
            self._add_long(runs, taken, blocks, (values, times), scale)

    def _add_long(
        self, runs: Runs, taken: Places, blocks: Places, readings: tuple[Values, Values], scale: Scale
    ) -> None:
        """Take each run by itself: whole blocks of it at once."""
        full: Values = np.empty((int(blocks.sum()), BLOCK))
        begins: Values = np.empty(len(full))
        columns = (runs.slots, runs.starts, runs.lengths, taken, blocks, blocks.cumsum() - blocks)
        for slot, start, length, before, number, first in zip(*(c.tolist() for c in columns), strict=True):
            values, times = (column[start : start + length] for column in readings)
            whole = number * BLOCK - before
            if number:
                own = full[first : first + number].reshape(-1)
                own[:before] = self._open[slot, :before]
                own[before:] = values[:whole]
                begins[first] = self._open_start[slot] if before else times[0]
                begins[first + 1 : first + number] = times[BLOCK - before : whole : BLOCK]
                values, times = values[whole:], times[whole:]
                self._open_start[slot] = times[0] if len(times) else begins[first + number - 1]
            elif not before:
                self._open_start[slot] = times[0]
            offset = 0 if number else before
            self._open[slot, offset : offset + len(values)] = values
        if len(full):
            self._file(runs.slots, blocks, full, begins, scale)

    def _add_short(
        self, runs: Runs, taken: Places, blocks: Places, readings: tuple[Values, Values], scale: Scale
    ) -> None:
        """Take all runs together, reading by reading."""
        values, times = readings
        to = runs.slots * BLOCK + taken
        left = runs.lengths
        begun = taken == 0
        full = np.flatnonzero(blocks)
        if len(full):
            left = left.copy()
            left[full] -= self._close(runs, taken, blocks, full, readings, scale)
            to[full] = runs.slots[full] * BLOCK
            begun[full] = True
            begun &= left > 0
            rest = runs.starts + runs.lengths - left
            self._open.reshape(-1)[ranges(to, left)] = values[ranges(rest, left)]
        else:
            rest = runs.starts
            self._open.reshape(-1)[ranges(to, left)] = values
        self._open_start[runs.slots[begun]] = times[rest[begun]]

    def history(self, slot: int, mean: float, sd: float) -> History:
        """Give all there is to know of *slot*, whose readings are measured by *mean* and *sd*."""
        self._settle()
        counts = self._counts[slot].tolist()
        pages = self._page[slot].tolist()
        levels: list[int] = []
        buckets: list[list[float]] = []
        for level in reversed(range(LEVELS)):
            if counts[level]:
                levels += [level] * counts[level]
                buckets += self._pages[pages[level]].tolist()[: counts[level]]
        sums, squares, totals, starts = map(list, zip(*buckets, strict=True)) if buckets else ([], [], [], [])
        values = self._open[slot].tolist()[: self._open_count[slot]]
        scaled = [min(max((value - mean) / sd, -self._clip), self._clip) for value in values]
        start = float(self._open_start[slot])
        return History(levels, sums, squares, totals, starts, scaled, values, start)

    def restore(self, slot: int, history: History) -> None:
        """Take the *history* of *slot*, which is clear; raises ValueError where it cannot be one."""
        self._settle()
        levels, counts = history.levels, [history.levels.count(level) for level in range(LEVELS)]
        if levels != sorted(levels, reverse=True) or max(counts) > PER_LEVEL or sum(counts) != len(levels):
            raise ValueError(f"buckets of levels {levels}")
        if len(history.open_values) >= BLOCK:
            raise ValueError(f"{len(history.open_values)} readings in an open block")
        columns = (history.sums, history.squares, history.totals, history.starts)
        buckets = list(zip(levels, *columns, strict=True))
        reached = sorted(set(levels))
        for level, page in zip(reached, self._new_pages(len(reached)), strict=True):
            self._page[slot, level] = page
            self._pages[page, : counts[level]] = [bucket for of, *bucket in buckets if of == level]
        self._counts[slot] = counts
        self._open[slot, : len(history.open_values)] = history.open_values
        self._open_count[slot] = len(history.open_values)
        self._open_start[slot] = history.open_start

    def _close(
        self,
        runs: Runs,
        taken: Places,
        blocks: Places,
        full: Places,
        readings: tuple[Values, Values],
        scale: Scale,
    ) -> Places:
        """Make buckets of the *blocks* that the *full* runs fill; give how many readings of each that took.

        They are filled by what was open, *taken* readings, and by the first ones of the run.
        """
        values, times = readings
        slots, starts, before, numbers = runs.slots[full], runs.starts[full], taken[full], blocks[full]
        used = numbers * BLOCK - before
        first = numbers.cumsum() - numbers
        lines: Values = np.empty((int(numbers.sum()), BLOCK))
        lines[first] = self._open[slots]
        lines.reshape(-1)[ranges(first * BLOCK + before, used)] = values[ranges(starts, used)]
        at = np.arange(len(lines))
        at -= first.repeat(numbers)
        at *= BLOCK
        at += (starts - before).repeat(numbers)
        was_open = before > 0
        at[first[was_open]] = 0
        begins = times[at]
        begins[first[was_open]] = self._open_start[slots[was_open]]
        self._open_start[slots] = begins[first + numbers - 1]
        self._file(runs.slots, blocks, lines, begins, scale)
        return used

    def _file(self, slots: Places, blocks: Places, full: Values, begins: Values, scale: Scale) -> None:
        """Let *full* blocks wait to be filed, *blocks* of each slot, with when each *begins*."""
        of = np.arange(len(blocks)).repeat(blocks)
        self._waiting.append(_Filled(slots[of], full, begins, scale.at(of)))
        self._waiting_blocks += len(full)
        if self._waiting_blocks >= WAITING_MAX:
            self._settle()

    def _settle(self) -> None:
        """File what waits: the blocks of a slot in their order."""
        if not self._waiting:
            return
        slots, full, begins, scale = _joined(self._waiting)
        self._waiting, self._waiting_blocks = [], 0
        buckets: Values = np.empty((len(slots), 4))
        buckets[:, _START] = begins
        for first in range(0, len(slots), LOT):
            part = slice(first, first + LOT)
            _sum(full[part], Scale(scale.mean[part], scale.sd[part], scale.clip), buckets[part])
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        firsts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
        self._push(ordered[firsts], np.diff(firsts, append=len(ordered)), buckets[order])

    def _push(self, slots: Places, numbers: Places, buckets: Values) -> None:
        """Put *numbers* of *buckets*, shape (sum, 4), behind those of each slot; merge what is too much."""
        for level in range(LEVELS):
            kept = self._counts[slots, level].astype(np.intp)
            pages = self._pages_of(slots, level)
            together = kept + numbers
            has_room = together <= PER_LEVEL
            if has_room.any():
                own = np.flatnonzero(has_room)
                rows = ranges(pages[own] * PER_LEVEL + kept[own], numbers[own])
                self._pages.reshape(-1, 4)[rows] = buckets[has_room.repeat(numbers)]
                self._counts[slots[own], level] = together[own]
                is_over = ~has_room
                buckets = buckets[is_over.repeat(numbers)]
                slots, pages, kept, numbers = (each[is_over] for each in (slots, pages, kept, numbers))
            if not len(slots):
                return
            if level == LEVELS - 1:
                self._merge(level, slots, pages, kept, numbers, buckets)
            elif len(buckets) == len(slots):
                buckets = self._merge_one(level, slots, pages, buckets)
            else:
                numbers, buckets = self._merge(level, slots, pages, kept, numbers, buckets)

    def _merge_one(self, level: int, slots: Places, pages: Places, buckets: Values) -> Values:
        """Put one of *buckets* behind the PER_LEVEL ones of each slot; give what the two oldest merge to."""
        kept = self._pages[pages]
        merged = kept[:, 0]
        merged[:, :_START] += kept[:, 1, :_START]
        self._pages[pages, : PER_LEVEL - 2] = kept[:, 2:]
        self._pages[pages, PER_LEVEL - 2] = buckets
        self._counts[slots, level] = PER_LEVEL - 1
        return merged

    def _merge(
        self, level: int, slots: Places, pages: Places, kept: Places, numbers: Places, buckets: Values
    ) -> tuple[Places, Values]:
        """Put *numbers* of *buckets* behind the *kept* ones of each slot; give how many merge, and to what.

        On the last level the oldest are dropped.
        """
        together = kept + numbers
        begins = together.cumsum() - together
        line: Values = np.empty((int(together.sum()), 4))
        there = kept[:, None] > _IN_LEVEL
        line[(begins[:, None] + _IN_LEVEL)[there]] = self._pages[pages][there]
        line[ranges(begins + kept, numbers)] = buckets
        pairs = (together - PER_LEVEL + 1) // 2
        gone = together - PER_LEVEL if level == LEVELS - 1 else 2 * pairs
        stays = np.minimum((begins + gone)[:, None] + _IN_LEVEL, len(line) - 1)
        self._pages[pages] = line[stays]
        self._counts[slots, level] = together - gone
        older = ranges(begins, 2 * pairs)[::2]
        merged = line[older]
        merged[:, :_START] += line[older + 1, :_START]
        return pairs, merged

    def _pages_of(self, slots: Places, level: int) -> Places:
        """Give the page of each of *slots* for *level*; those that have none get one."""
        pages: Places = self._page[slots, level].astype(np.intp)
        without = np.flatnonzero(pages == _NONE)
        if len(without):
            pages[without] = self._new_pages(len(without))
            self._page[slots, level] = pages
        return pages

    def _new_pages(self, number: int) -> list[int]:
        """Give so many pages that nobody has, first those that were given back."""
        again = [self._free.pop() for _ in range(min(len(self._free), number))]
        used, self._pages_used = self._pages_used, self._pages_used + number - len(again)
        if self._pages_used > len(self._pages):
            self._pages = grown(self._pages, max(2 * len(self._pages), self._pages_used))
        return [*again, *range(used, self._pages_used)]


def _joined(waiting: list[_Filled]) -> _Filled:
    """Give all blocks that wait together."""
    if len(waiting) == 1:
        return waiting[0]
    slots, blocks, begins, scales = zip(*waiting, strict=True)
    means, sds, clips = zip(*scales, strict=True)
    scale = Scale(np.concatenate(means), np.concatenate(sds), clips[0])
    return _Filled(np.concatenate(slots), np.concatenate(blocks), np.concatenate(begins), scale)


def _sum(blocks: Values, scale: Scale, buckets: Values) -> None:
    """Put the sums of *blocks*, shape (n, BLOCK), measured by *scale*, into *buckets*, shape (n, 4)."""
    readings = np.ascontiguousarray(blocks.T)
    scaled = scale.of(readings.T).T
    for column, summed in ((_SUM, scaled), (_SQUARE, scaled * scaled), (_TOTAL, readings)):
        # One after the other, never by halves: a sum must not depend on how many blocks are summed.
        total = summed[0].copy()
        for reading in summed[1:]:
            total += reading
        buckets[:, column] = total
