"""What happens when blocks are full, in order: this file is the table of contents of the detector.

A stretch is some blocks in a row of each of some series, taken by array operations over all of them. Each
series takes its part of it up to the first block after which something else has to happen: an alarm, the
end of an incident, a new profile of its season.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from stream.core.nouns import Finding
from stream.detectors.quiet import (
    baseline,
    bins,
    budget,
    cells,
    formerly,
    noise,
    rates,
    renewal,
    scan,
    season,
    settled,
    told,
    windows,
)
from stream.detectors.quiet.blocks import Blocks, Readings, cut, starts
from stream.detectors.quiet.rates import Hit
from stream.detectors.quiet.records import BLOCK, FORMAT, WATCHING, Bools, Columns, Floats, Places, layout
from stream.detectors.quiet.spec import Family, Pool, Spec
from stream.detectors.runs import Runs

NAME: Final = "quiet"

STRIDES_TO_RESOLVE: Final = 4
"""Looks in a row at the alarming scale that have to be calm before an incident is over. Choice: a whole
window that shares nothing with the first of them."""

LONGEST: Final = 128
MOST_AT_ONCE: Final = 8_192
"""Blocks of a series, and numbers of all series, in a stretch: arrays that the processor's cache holds."""

_FEWEST: Final = 16
_NONE: Final = np.empty(0, np.intp)


class Stretch(NamedTuple):
    """Blocks in a row, shape (series, blocks[, width]): sums, when they begin and end, their last reading.

    *seasonal* are the rows with a season, and *dates* those of their blocks. *rest* (series,) is the last
    block that is one; what follows it only fills up the array.
    """

    place: Places
    total: Floats
    first: Floats
    ends: Floats
    last: Places
    seasonal: Places
    dates: season.Dates | None
    rest: Places


class Engine:
    """Watches series of one shape: rates (one number a block), or cells (ten)."""

    def __init__(self, *, cells_of: bool, false_alarms: float) -> None:
        self._cells = cells_of
        self.false_alarms = false_alarms
        self.columns = Columns(self.kind_of(FORMAT), _FEWEST)
        self.learning = bins.Learning()
        self.specs: dict[int, Spec] = {}
        self._free: list[int] = []
        self._used = 0
        self._healed: list[tuple[int, int]] = []

    def add(self, spec: Spec, *, only_rise: bool) -> int:
        """Begin to watch a series; give its place."""
        if self._free:
            place = self._free.pop()
        else:
            place, self._used = self._used, self._used + 1
            if place == len(self.columns.records):
                self.columns.grow()
        self.columns.clear(place)
        self.specs[place] = spec
        self.columns.loss[place] = spec.family is Family.LOSS
        self.columns.few[place] = spec.pool is Pool.QUALITY
        self.columns.both[place] = not only_rise
        self.columns.seasonal[place] = spec.season
        self.columns.psi[place] = spec.psi
        return place

    def kind_of(self, form: int) -> np.dtype[Any]:
        """Give the record of a series in the format *form*."""
        width, kept = (bins.CELLS, cells.KEPT) if self._cells else (1, scan.KEPT)
        return layout(width=width, kept=kept, cells=self._cells, form=form)

    def take(self, place: int, record: bytes, form: int) -> None:
        """Make *record*, of the format *form*, that of the series at *place*."""
        read = np.frombuffer(record, self.kind_of(form))
        if form != FORMAT:
            seen, latest = read["seen"][:, None], read["latest"][:, None]
            is_learned = baseline.is_learned(seen, latest, read["began"][:, None])
            read = formerly.renewed(read, self.columns.records.dtype, is_learned=bool(is_learned[0, 0]))
        self.columns.records[place] = read[0]

    def only_rise(self, place: int) -> bool:
        """Tell whether a series is silent about a fall."""
        return not self.columns.both[place]

    def drop(self, place: int) -> None:
        """Forget a series."""
        del self.specs[place]
        self.learning.held.pop(place, None)
        self._free.append(place)

    def take_healed(self) -> list[tuple[int, int]]:
        """Give the places whose incidents were over since the last call, and at which index each."""
        healed, self._healed = self._healed, []
        return healed

    def update(self, runs: Runs, given: Readings, limits: tuple[float, float]) -> list[tuple[int, Finding]]:
        """Take *runs* of the readings *given*, by place; give the findings with their series' places."""
        blocks = cut(self.columns, runs, given, limits)
        if not len(blocks.place):
            return []
        if self._cells:
            blocks = self._learn(blocks)
            cell = bins.cells_of(self.columns, blocks.place, blocks.values)
            totals = bins.count(cell)
        else:
            totals = blocks.values.sum(1)[:, None]
        clock, dated = None, np.zeros(len(blocks.place) + 1, np.intp)
        is_seasonal = self.columns.seasonal[blocks.place] > 0
        if len(own := is_seasonal.nonzero()[0]):
            np.add.accumulate(is_seasonal, out=dated[1:], dtype=np.intp)
            if self._cells:
                clock = season.clock_of_cells(cell[own], totals[own], blocks.times[own])
            else:
                clock = season.clock_of(blocks.values[own], blocks.times[own])
        found: list[tuple[int, Finding]] = []
        start = starts(blocks.place)
        end = np.concatenate((start[1:], [len(blocks.place)]))
        while len(some := (start < end).nonzero()[0]):
            start, end = start[some], end[some]
            widest = max(1, MOST_AT_ONCE // (len(start) * totals.shape[1]))
            rest = end - start - 1
            deep = min(int(rest.max()) + 1, LONGEST, widest)
            at = np.minimum(start[:, None] + np.arange(deep), end[:, None] - 1)
            seasonal, dates = _NONE, None
            if clock is not None and len(own := is_seasonal[start].nonzero()[0]):
                seasonal, dates = own, clock.during(dated[start[own]], rest[own], deep)
            now = Stretch(
                blocks.place[start],
                totals[at],
                blocks.times[:, 0][at],
                blocks.times[:, -1][at],
                blocks.last[at],
                seasonal,
                dates,
                rest,
            )
            taken, news = self._take(now)
            found += news
            start = start + taken
        return found

    def _take(self, now: Stretch) -> tuple[Places, list[tuple[int, Finding]]]:
        """Take a stretch; give how many blocks each series took of it, and the findings."""
        columns, places = self.columns, now.place
        stop = np.minimum(now.rest, now.total.shape[1] - 1)
        lately = budget.traffic(columns, places, now.first, now.ends)
        seasonal, seen = now.seasonal, None
        if now.dates is not None:
            seen = season.take_out(columns, places[seasonal], now.total[seasonal], now.dates)
            now.total[seasonal] = seen.total
        sums = windows.running(columns, places, now.total, now.first[:, 0])
        bases = baseline.grown(columns, sums, now.total, lately.latest)
        watched = baseline.learned(columns, places, lately.seen, lately.latest)
        ended = windows.nodes(columns, sums)
        turns = settled.are_due(columns, places, watched, lately.latest)
        disturbed = (columns.alarmed[places] != WATCHING).nonzero()[0].tolist()
        if disturbed:
            turns |= told.are_due(columns, places, sums.number)
        if now.dates is not None:
            turns[seasonal] |= season.are_due(columns, places[seasonal], now.dates.day, bases.n[seasonal])
        upto = np.arange(now.total.shape[1]) <= stop[:, None]
        is_turn = np.count_nonzero(turns & upto) > 0
        if is_turn:
            stop = np.where(turns.any(1), np.minimum(stop, turns.argmax(1)), stop)
            upto = np.arange(now.total.shape[1]) <= stop[:, None]
        hits = self._look(sums, ended, lately, watched & upto)
        for hit in hits:
            stop[hit.row] = hit.block
        over = [row for row in disturbed if self._is_over(sums, row, stop)]
        hits = [hit for hit in hits if hit.row not in over]
        lately.keep(columns, places, stop)
        if seen is not None:
            season.keep(columns, places[seasonal], seen, stop[seasonal])
        baseline.keep(columns, places, bases, stop)
        noise.learn(columns, sums, ended, bases, watched, stop, cells=self._cells)
        windows.keep(columns, sums, ended, lately.latest, stop)
        news = [(int(places[hit.row]), self._alarm(now, hit, sums)) for hit in hits]
        for row in over:
            self._resolve(int(places[row]))
            self._healed.append((int(places[row]), int(now.last[row, stop[row]])))
        if is_turn or disturbed:
            self._turn(now, stop, watched)
        return stop + 1, news

    def _turn(self, now: Stretch, stop: Places, watched: Bools) -> None:
        """Do what is due after block *stop* of each series, by what it is now: it may be another one."""
        columns, places, seasonal = self.columns, now.place, now.seasonal
        caught_up = told.are_due(columns, places, columns.blocks[places][:, None])
        for place in places[caught_up[:, 0]].tolist():
            told.catch_up(columns, place)
        turned = settled.are_due(columns, places, watched, columns.latest[places][:, None])
        turned &= np.arange(now.total.shape[1]) == stop[:, None]
        if np.count_nonzero(turned):
            settled.turn(columns, places[turned.any(1)])
        if now.dates is not None:
            days = now.dates.day[np.arange(len(seasonal)), stop[seasonal]][:, None]
            due = season.are_due(columns, places[seasonal], days, columns.base_n[places[seasonal]][:, None])
            for row in np.flatnonzero(due[:, 0]).tolist():
                place = int(places[seasonal[row]])
                season.refresh(columns, place, int(days[row, 0]), self._cells_at(place))

    def _look(
        self, sums: windows.Sums, ended: windows.Nodes, lately: budget.Traffic, tested: Bools
    ) -> list[Hit]:
        """Look for changes after the blocks that may be *tested*: of no series before anything settled."""
        columns, places = self.columns, sums.place
        # What a week may bring is not told a second time before the week is known.
        once = (columns.told_at[places] == 0) | ~season.is_new(columns, places)
        tested = tested & (once & (columns.turn[places] > 0.0))[:, None]
        if not tested.any():
            return []
        allowed = budget.allowed(columns, places, lately, self.false_alarms)
        normal = settled.baselines(columns, places)
        if self._cells:
            return cells.look(columns, sums, ended, normal, budget=allowed, tested=tested)
        return rates.look(columns, sums, normal, allowed, tested)

    def _cells_at(self, place: int) -> int:
        return int(self.columns.cells[place]) if self._cells else 0

    def _alarm(self, now: Stretch, hit: Hit, sums: windows.Sums) -> Finding:
        """Open an incident: its window is no part of the baseline, which stands still from now on.

        Of one that is open, tell that it is worse.
        """
        columns, place = self.columns, int(now.place[hit.row])
        is_worse = int(columns.alarmed[place]) != WATCHING
        told.keep(columns, place, hit)
        since = int(sums.number[hit.row, hit.block]) - hit.n // BLOCK
        before = sums.total[hit.row, hit.block + 1] - hit.total
        began = float(columns.bound_times[place, hit.scale, hit.slot])
        if not is_worse:
            settled.leave_out(columns, place, since, before)
            columns.alarmed[place] = max(hit.scale, 1)
            columns.calm[place] = 0
            noise.hold(columns, place)
        renewal.changed(columns, place, since, before, began)
        observed, expected = hit.observed, hit.expected
        if self.specs[place].family is Family.NUMBER:
            observed = bins.mean(columns, place, hit.total, hit.n)
            expected = bins.mean(columns, place, hit.past, hit.past_n)
        return Finding(
            index=int(now.last[hit.row, hit.block]),
            detector=NAME,
            observed=observed,
            expected=expected,
            statistic=hit.statistic,
            threshold=hit.threshold,
            n=hit.n,
            window_start=began,
            window_end=float(columns.latest[place]),
            is_worse=is_worse,
        )

    def _is_over(self, sums: windows.Sums, row: int, stop: Places) -> bool:
        """Look whether an incident ends in the stretch, and if so, stop there."""
        columns, place = self.columns, int(sums.place[row])
        scale = int(columns.alarmed[place])
        for block in range(int(stop[row]) + 1):
            count = int(sums.number[row, block])
            quarter = (count >> scale) - 4
            if count % (1 << scale) or quarter < 0:
                continue
            boundary = np.array([row]), np.array([quarter << scale]), np.array([scale])
            total = sums.total[row, block + 1] - sums.at(columns, *boundary)[0]
            n = float(4 * BLOCK << scale)
            if self._cells:
                calm = cells.is_calm(columns, place, n, total)
            else:
                calm = rates.is_calm(columns, place, n, float(total[0]))
            columns.calm[place] = columns.calm[place] + 1 if calm else 0
            if columns.calm[place] >= STRIDES_TO_RESOLVE:
                stop[row] = block
                return True
        return False

    def _resolve(self, place: int) -> None:
        """End an incident; windows begin anew, for what came before is in none of them."""
        columns = self.columns
        noise.release(columns, place)
        columns.healed[place] = columns.blocks[place]
        columns.alarmed[place] = WATCHING
        columns.calm[place] = 0
        settled.all_of(columns, np.array([place]))

    def _learn(self, blocks: Blocks) -> Blocks:
        """Let series without cells learn them; give the blocks that can be counted."""
        columns = self.columns
        new = columns.learned[blocks.place] < bins.LEARNED_BLOCKS
        if not new.any():
            return blocks
        counted = np.ones(len(blocks.place), np.bool_)
        for place in np.unique(blocks.place[new]).tolist():
            own = np.flatnonzero(blocks.place == place)[: bins.LEARNED_BLOCKS - int(columns.learned[place])]
            counted[own] = False
            columns.learned[place] += len(own)
            values = self.learning.take(place, blocks.values[own])
            if values is not None:
                numbers = self.specs[place].family is Family.NUMBER
                bins.fix(columns, place, bins.of_numbers(values) if numbers else bins.of_categories(values))
                columns.middles[place] = bins.middles(columns, place, values)
        return blocks.at(counted)
