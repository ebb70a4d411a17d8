"""What happens when blocks are full, in order: this file is the table of contents of the detector.

A round is one block of each of some series, taken by array operations over all of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from stream.core.nouns import Finding
from stream.detectors.quiet import baseline, bins, budget, cells, noise, rates, season, windows
from stream.detectors.quiet.blocks import Blocks, cut
from stream.detectors.quiet.rates import Hit
from stream.detectors.quiet.records import BLOCK, WATCHING, Bools, Columns, Floats, Places, layout
from stream.detectors.quiet.spec import Family, Pool, Spec

NAME: Final = "quiet"

STRIDES_TO_RESOLVE: Final = 4
"""Looks in a row at the alarming scale that have to be calm before an incident is over."""

_FEWEST: Final = 16


class Round(NamedTuple):
    """One block of each series: values and times have shape (n, 32), *total* (n, width)."""

    place: Places
    total: Floats
    times: Floats
    last: Places
    clock: season.Clock | None


class Engine:
    """Watches series of one shape: rates (one number a block), or cells (ten)."""

    def __init__(self, *, cells_of: bool, false_alarms: float) -> None:
        self._cells = cells_of
        self._false_alarms = false_alarms
        width, kept = (bins.CELLS, cells.KEPT) if cells_of else (1, rates.KEPT)
        kind = layout(width=width, kept=kept, season=not cells_of)
        self.columns = Columns(kind, _FEWEST)
        self.learning = bins.Learning()
        self.specs: dict[int, Spec] = {}
        self._free: list[int] = []
        self._used = 0

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
        self.columns.seasonal[place] = spec.season and not self._cells
        self.columns.psi[place] = spec.psi
        return place

    def only_rise(self, place: int) -> bool:
        """Tell whether a series is silent about a fall."""
        return not self.columns.both[place]

    def drop(self, place: int) -> None:
        """Forget a series."""
        del self.specs[place]
        self.learning.held.pop(place, None)
        self._free.append(place)

    def update(
        self, places: Places, values: Floats, times: Floats, index: Places
    ) -> list[tuple[int, Finding]]:
        """Take readings, shape (n,) each, in log order; give the findings with their series' places."""
        blocks = cut(self.columns, places, values, times, index)
        if self._cells:
            blocks = self._learn(blocks)
            totals = bins.count(self.columns, blocks.place, blocks.values)
            clock = None
        else:
            totals = blocks.values.sum(1)[:, None]
            clock = (
                season.clock_of(blocks.values, blocks.times)
                if self.columns.seasonal[blocks.place].any()
                else None
            )
        found: list[tuple[int, Finding]] = []
        ends = np.flatnonzero(np.diff(blocks.round, append=-1)) + 1
        start = 0
        for end in ends.tolist():
            part = slice(start, end)
            there = None if clock is None else clock.at(part)
            found += self._step(
                Round(blocks.place[part], totals[part], blocks.times[part], blocks.last[part], there)
            )
            start = end
        return found

    def _step(self, now: Round) -> list[tuple[int, Finding]]:
        columns, place, total = self.columns, now.place, now.total
        budget.count_traffic(columns, place, now.times[:, 0], now.times[:, -1])
        if now.clock is not None:
            total = self._without_season(place, total, now.clock)
        windows.add(columns, place, total, now.times[:, 0])
        growing = baseline.grows(columns, place)
        if growing.all():
            baseline.join(columns, place, total)
        else:
            baseline.join(columns, place[growing], total[growing])
        watched = baseline.is_learned(columns, place)
        ended = windows.nodes(columns, place)
        freedom = columns.cells[place] - 1.0 if self._cells else np.ones(len(place))
        noise.learn(columns, place, ended, growing, watched, freedom, cells=self._cells)
        noise.estimate(columns, ended.place, ended.scale)
        findings: list[tuple[int, Finding]] = []
        calm = columns.alarmed[place] == WATCHING
        tested = watched & calm
        if tested.any():
            findings = self._look(now, ended, tested)
        windows.keep(columns, ended)
        self._resolve(place[~calm])
        if now.clock is not None:
            self._refresh_seasons(place, now.clock)
        return findings

    def _look(self, now: Round, ended: windows.Nodes, tested: Bools) -> list[tuple[int, Finding]]:
        columns, place = self.columns, now.place
        allowed = budget.allowed(columns, place, self._false_alarms)
        if self._cells:
            watched = ended._replace(ends=ended.ends & tested[ended.row])
            hits = cells.look(columns, watched, allowed)
        else:
            rows = np.flatnonzero(tested)
            hits = [
                hit._replace(row=int(rows[hit.row]))
                for hit in rates.look(columns, place[rows], allowed[rows])
            ]
        return [(int(place[hit.row]), self._alarm(now, hit)) for hit in hits]

    def _alarm(self, now: Round, hit: Hit) -> Finding:
        """Open an incident: its window is no part of the baseline, which stands still from now on."""
        columns, place = self.columns, int(now.place[hit.row])
        columns.base_n[place] = hit.past_n
        columns.base[place] = hit.past
        columns.joined[place] = -1
        columns.alarmed[place] = max(hit.scale, 1)
        columns.calm[place] = 0
        noise.hold(columns, place)
        return Finding(
            index=int(now.last[hit.row]),
            detector=NAME,
            observed=hit.observed,
            expected=hit.expected,
            statistic=hit.statistic,
            threshold=hit.threshold,
            n=hit.n,
            window_start=hit.since,
            window_end=float(columns.latest[place]),
        )

    def _resolve(self, places: Places) -> None:
        """Look whether incidents are over."""
        columns = self.columns
        for place in places.tolist():
            scale, count = int(columns.alarmed[place]), int(columns.blocks[place])
            quarter = count >> scale
            if count % (1 << scale) or quarter < 4:
                continue
            before = columns.bounds[place, scale, (quarter - 4) % columns.bounds.shape[2]]
            total, n = columns.total[place] - before, float(4 * BLOCK << scale)
            if self._cells:
                calm = cells.is_calm(columns, place, n, total)
            else:
                calm = rates.is_calm(columns, place, n, float(total[0]))
            columns.calm[place] = columns.calm[place] + 1 if calm else 0
            if columns.calm[place] >= STRIDES_TO_RESOLVE:
                noise.release(columns, place)
                windows.begin(columns, place)

    def _without_season(self, place: Places, total: Floats, clock: season.Clock) -> Floats:
        rows = np.flatnonzero(self.columns.seasonal[place])
        here = clock.at(rows)
        total = total.copy()
        total[rows, 0] = season.take_out(self.columns, place[rows], total[rows, 0], here)
        return total

    def _refresh_seasons(self, place: Places, clock: season.Clock) -> None:
        due = season.are_due(self.columns, place, clock) & (self.columns.seasonal[place] > 0)
        for row in np.flatnonzero(due).tolist():
            season.refresh(self.columns, int(place[row]), int(clock.day[row]))

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
        return blocks.at(counted)
