"""Detect: readings to findings, by the detectors that the policy chose for each series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import isnan
from typing import NamedTuple

import msgspec
import numpy as np

from schemas.baselines import PublishedBaseline
from schemas.events import LifecycleKind
from schemas.policy import Detectors, Policy, Signals, Task
from stream.core.baselines import Exchanged
from stream.core.columns import Arrivals, Batch
from stream.core.errors import UnreadableRowError
from stream.core.forms import Forms
from stream.core.nouns import Explanation, Finding, Healed, Readings, SeriesKey, Tally, Watched
from stream.core.observe import Observer
from stream.core.ports import Bank, DetectorFactory
from stream.core.reading import Reader, Source
from stream.core.rows import UNREADABLE, Moment, Number
from stream.core.sheets import Places, Sheet, Values


class SeriesRow(msgspec.Struct, array_like=True):
    """The state of one series as it is kept: its direction, its newest time, its detectors' snapshot.

    *number* counts its baselines.
    """

    only_rise: bool
    clock: Moment
    snapshot: bytes
    number: Number = 1


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(SeriesRow).decode


class _Runs(NamedTuple):
    """Where the readings of each series stand: from *starts* to before *stops*; slots are distinct."""

    slots: Places
    starts: Places
    stops: Places


class Watch:
    """Keeps what is known of every series of a bank beside its detectors, by its slot there.

    That is its clock, the newest event time in seconds since the epoch, the mean of the readings that came
    last, and how many baselines it has had.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._clock: Values = np.zeros(0)
        self._mean: Values = np.zeros(0)
        self._only_rise = np.zeros(0, dtype=np.bool_)
        self._is_changed = np.zeros(0, dtype=np.bool_)
        self._number: Places = np.zeros(0, dtype=np.intp)

    def watch(self, sheet: Sheet, batch: Batch, tally: Tally) -> list[Watched]:
        """Show all of *sheet*, which is of *batch*, to the bank at once; give what has to be followed.

        Those are the series in which something was found, and those with an open incident. The times of what
        is given are the series' clock: a reading of an older event has the newest time.
        """
        slots = self._slots(sheet)
        bounds = np.concatenate(([0], (slots[1:] != slots[:-1]).nonzero()[0] + 1, [len(slots)]))
        starts = bounds[:-1]
        runs = _Runs(slots[starts], starts, bounds[1:])
        times = self._clocked(sheet.times, runs)
        found: dict[int, list[Finding | Healed]] = {}
        order = batch.seqs[sheet.place[sheet.stand]]
        for _, finding in self._bank.update(slots, sheet.values, times, order):
            run = int(starts.searchsorted(finding.index, side="right")) - 1
            found.setdefault(run, []).append(replace(finding, index=finding.index - int(starts[run])))
        self._mean[runs.slots] = np.add.reduceat(sheet.values, starts) / (runs.stops - starts)
        self._is_changed[runs.slots] = True
        watched: list[Watched] = []
        for run in sorted({*found, *self._alarming(sheet.lanes, runs)}):
            start, stop = int(starts[run]), int(runs.stops[run])
            observer, column = sheet.series(int(sheet.cell[start]))
            spec = observer.spec(column)
            for finding in found.get(run, ()):
                if isinstance(finding, Healed):
                    continue
                tally.count("findings_total", spec.key.model, spec.key.signal, finding.detector)
            at = Arrivals(batch, sheet.place[sheet.stand[start:stop]])
            readings = Readings(values=sheet.values[start:stop], times=times[start:stop], at=at)
            watched.append(Watched(spec=spec, readings=readings, findings=found.get(run, ())))
        return watched

    def means(self, observer: Observer) -> dict[str, float]:
        """Give the mean of the readings that came last, of each series of a version that has been read."""
        means = self._mean[list(observer.series.values())].tolist()
        return {signal: mean for signal, mean in zip(observer.series, means, strict=True) if not isnan(mean)}

    def explain(self, observer: Observer) -> list[tuple[SeriesKey, Explanation]]:
        """Say how every series of a version is watched now, in order."""
        return [
            (observer.key(signal), replace(self._bank.explain(slot), number=int(self._number[slot])))
            for signal, slot in sorted(observer.series.items())
        ]

    def published(self, observer: Observer) -> Iterator[PublishedBaseline]:
        """Give the baselines of a version's series as they can be published, those that are large enough."""
        for signal, slot in sorted(observer.series.items()):
            if (one := self._bank.published(slot, observer.key(signal))) is not None:
                yield one

    def exchange(self, slot: int, kind: LifecycleKind, given: PublishedBaseline | None) -> Exchanged:
        """Do to the baseline of a series what a lifecycle event of that *kind* says: *given*, if any."""
        before, is_new = self._bank.baseline(slot), False
        if kind is LifecycleKind.BASELINE_ACCEPTED:
            is_new = self._bank.accept(slot)
        elif kind is LifecycleKind.BASELINE_RESET:
            self._bank.relearn(slot)
            is_new = True
        elif given is not None:
            is_new = self._bank.take(slot, given)
        elif kind is LifecycleKind.BASELINE_FROZEN:
            self._bank.freeze(slot)
        self._is_changed[slot] = True
        self._number[slot] += is_new
        return Exchanged(before, self._bank.baseline(slot), int(self._number[slot]), is_new)

    def forget(self, observer: Observer) -> list[SeriesKey]:
        """Drop every series of a version; give their keys, in order."""
        for slot in observer.series.values():
            self._bank.drop(slot)
            self._is_changed[slot] = False
        return [observer.key(signal) for signal in sorted(observer.series)]

    def rows(self, observer: Observer) -> dict[SeriesKey, bytes]:
        """Give the state of those series of a version that changed since the last call, in order."""
        slots = np.fromiter(observer.series.values(), dtype=np.intp, count=len(observer.series))
        is_changed = self._is_changed[slots].tolist()
        self._is_changed[slots] = False
        changed = [signal for signal, is_own in zip(observer.series, is_changed, strict=True) if is_own]
        return {observer.key(signal): self._row(observer.series[signal]) for signal in sorted(changed)}

    def restore(self, row: bytes) -> int:
        """Take the state of one series, give its slot; raises UnreadableRowError where it cannot be read."""
        try:
            kept = _decode(row)
        except UNREADABLE as error:
            raise UnreadableRowError(str(error)) from error
        slot = self._bank.restore(kept.snapshot, only_rise=kept.only_rise)
        self._begin(slot, only_rise=kept.only_rise, clock=kept.clock)
        self._number[slot] = kept.number
        return slot

    def _row(self, slot: int) -> bytes:
        only_rise, clock = bool(self._only_rise[slot]), float(self._clock[slot])
        return _encode(SeriesRow(only_rise, clock, self._bank.snapshot(slot), int(self._number[slot])))

    def _begin(self, slot: int, *, only_rise: bool, clock: float = 0.0) -> None:
        if slot >= len(self._clock):
            more = max(slot + 1, 2 * len(self._clock)) - len(self._clock)
            self._clock = np.append(self._clock, np.zeros(more))
            self._mean = np.append(self._mean, np.zeros(more))
            self._only_rise = np.append(self._only_rise, np.zeros(more, dtype=np.bool_))
            self._is_changed = np.append(self._is_changed, np.zeros(more, dtype=np.bool_))
            self._number = np.append(self._number, np.zeros(more, dtype=np.intp))
        self._clock[slot], self._mean[slot] = clock, np.nan
        self._only_rise[slot], self._number[slot] = only_rise, 1

    def _slots(self, sheet: Sheet) -> Places:
        """Give the slot of each reading; a series that has none yet gets one."""
        slots = sheet.slots[sheet.cell]
        if slots.min() >= 0:
            return slots
        for cell in np.unique(sheet.cell[slots < 0]).tolist():
            observer, column = sheet.series(cell)
            spec = observer.spec(column)
            slot = self._bank.add(only_rise=spec.only_rise, spec=spec)
            self._begin(slot, only_rise=spec.only_rise)
            if (published := observer.begins_with(spec.key)) is not None:
                self._bank.take(slot, published)
            observer.add(column, slot)
            sheet.slots[cell] = slot
        return sheet.slots[sheet.cell]

    def _alarming(self, lanes: Iterable[Observer], runs: _Runs) -> list[int]:
        """Give the runs of series with an open incident."""
        slots = [slot for lane in lanes if lane.alarming for slot in lane.alarming_slots()]
        if not slots:
            return []
        marks = np.zeros_like(self._is_changed)
        marks[slots] = True
        alarming: list[int] = marks[runs.slots].nonzero()[0].tolist()
        return alarming

    def _clocked(self, times: Values, runs: _Runs) -> Values:
        """Make the times of each series never go back, nor before its clock, which goes on with them."""
        clocks = self._clock[runs.slots]
        is_back = times[1:] < times[:-1]
        is_back[runs.starts[1:] - 1] = False
        if is_back.any():
            times = _risen(times, runs)
        if (times[runs.starts] < clocks).any():
            times = np.maximum(times, clocks.repeat(runs.stops - runs.starts))
        self._clock[runs.slots] = times[runs.stops - 1]
        return times


class Banks:
    """The banks of one pipeline: one for all series whose detectors have the same settings."""

    def __init__(self, factory: DetectorFactory) -> None:
        self._factory = factory
        self._forms = Forms()
        self._watches: dict[Detectors, Watch] = {}
        self._sights: dict[tuple[Detectors, Signals, Task], Sight] = {}

    def of(self, policy: Policy) -> Sight:
        """Give the sight of models under *policy*."""
        chosen = policy.detectors
        if chosen not in self._watches:
            self._watches[chosen] = Watch(self._factory.bank(chosen))
        key = chosen, policy.signals, policy.task
        if key not in self._sights:
            reader = Reader(policy.signals, policy.task, self._forms)
            self._sights[key] = Sight(reader, self._watches[chosen])
        return self._sights[key]


class Sight(NamedTuple):
    """What models of the same signals and detectors share: all of theirs is one sheet."""

    reader: Reader
    watch: Watch

    def see(self, sources: Sequence[Source], tally: Tally) -> dict[str, list[Watched]]:
        """Read what *sources* give, which is of one batch; give by model what has to be followed."""
        by_model: dict[str, list[Watched]] = {}
        if (sheet := self.reader.read(sources, tally)) is not None:
            for part in self.watch.watch(sheet, sources[0].events.batch, tally):
                by_model.setdefault(part.spec.key.model, []).append(part)
        return by_model


def _risen(times: Values, runs: _Runs) -> Values:
    """Give for each reading the newest of the times of its series up to it."""
    order = np.argsort(times, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(times))
    before = np.arange(len(runs.starts)) * len(times)
    rank += before.repeat(runs.stops - runs.starts)
    newest: Values = times[order[np.maximum.accumulate(rank) % len(times)]]
    return newest
