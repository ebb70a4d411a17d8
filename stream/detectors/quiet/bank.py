"""The bank: detectors of many series, one slot each, that find changes at windows of many scales."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.baselines import PublishedBaseline
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding
from stream.detectors.quiet import bins, budget, published, renewal, sight
from stream.detectors.quiet.blocks import Readings, grouped
from stream.detectors.quiet.budget import PARTS, Accounts
from stream.detectors.quiet.engine import Engine
from stream.detectors.quiet.printed import Printed, printed
from stream.detectors.quiet.records import BLOCK, FORMAT, WATCHING, Places
from stream.detectors.quiet.sight import Change, Sight
from stream.detectors.quiet.spec import Pool, Spec
from stream.detectors.runs import Runs
from stream.detectors.sealed import sealed, unsealed

FALSE_ALARMS: Final = 0.3
"""False alarms that a model may raise in 30 days, unless told otherwise. Choice: one in a hundred days, what
those on call put up with."""

LARGEST: Final = 1e150

_SPEC: Final = Spec()


class Found(NamedTuple):
    """What was found in the series of *slot*."""

    slot: int
    finding: Finding


class State(msgspec.Struct, array_like=True):
    """All there is to know of a series; while it holds readings to learn from, its record is compressed.

    What is not learned yet is zeros, and takes next to nothing then.
    """

    format: int
    spec: Spec
    only_rise: bool
    record: bytes
    learning: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class QuietBank:
    """Finds changes in many series, and spends no more false alarms than it was allowed.

    *false_alarms* is what each account may raise in 30 days, over all its series: a number above 0; *parts*
    is what each pool has of it. An even slot is a rate or a loss, an odd one is counted into cells.
    """

    def __init__(self, *, false_alarms: float = FALSE_ALARMS, parts: Mapping[Pool, float] = PARTS) -> None:
        if not false_alarms > 0.0:
            raise ValueError(f"false_alarms is {false_alarms}: no test is sure enough never to be wrong")
        self.false_alarms = false_alarms
        self._engines = (
            Engine(cells_of=False, false_alarms=false_alarms),
            Engine(cells_of=True, false_alarms=false_alarms),
        )
        self._accounts = Accounts(parts)
        self._stale = False

    def add(self, *, only_rise: bool, spec: Spec = _SPEC) -> int:
        """Begin to watch a series; with *only_rise* a rate stays silent about a fall. Gives its slot."""
        kind = int(spec.has_cells)
        self._accounts.enter(spec.account, spec.pool)
        self._stale = True
        return 2 * self._engines[kind].add(spec, only_rise=only_rise) + kind

    def drop(self, slot: int) -> None:
        """Forget a series; its part of the budget is the others' from now on."""
        engine, place = self._at(slot)
        spec = engine.specs[place]
        engine.drop(place)
        self._accounts.leave(spec.account, spec.pool)
        self._stale = True

    def update(
        self, slots: NDArray[np.intp], values: NDArray[np.float64], times: NDArray[np.float64]
    ) -> Sequence[Found]:
        """Take readings, shape (n,) each, finite; those of one slot in log order, times in seconds.

        Gives what was found, by place in the arrays. Raises ValueError where a value or a time is not finite
        or a slot is not in use, before anything is taken.
        """
        if not len(slots):
            return []
        if not np.isfinite(values).all() or not np.isfinite(times).all():
            raise ValueError("a detector takes finite readings only")
        if (lowest := int(slots.min())) < 0:
            raise ValueError(f"slot {lowest} is not in use: add() gives the slots that are")
        runs, order = grouped(slots)
        self._check(runs.slots)
        self._share_out()
        found: list[Found] = []
        given = Readings(values, times, order)
        for kind, engine in enumerate(self._engines):
            own = ((runs.slots & 1) == kind).nonzero()[0]
            if not len(own):
                continue
            places = Runs(runs.slots[own] >> 1, runs.starts[own], runs.lengths[own])
            limits = (-LARGEST, LARGEST) if kind else (0.0, 1.0)
            found += [
                Found(2 * place + kind, finding) for place, finding in engine.update(places, given, limits)
            ]
        return sorted(found, key=lambda one: one.finding.index)

    def healed(self) -> list[tuple[int, int]]:
        """Give the slots in which a change turned out to be over, and at which place of the last update."""
        return [
            (2 * place + kind, index)
            for kind, engine in enumerate(self._engines)
            for place, index in engine.take_healed()
        ]

    def share(self, slot: int) -> float:
        """Give the part of its account's budget that a series has now."""
        spec = self._at(slot)[0].specs[slot >> 1]
        return self._accounts.share(spec.account, spec.pool)

    def sight(self, slot: int) -> Sight:
        """Say how a series stands."""
        engine, place = self._at(slot)
        return sight.sight_of(engine.columns, place, cells=bool(slot & 1))

    def printed(self, slot: int) -> Printed:
        """Give the baseline that a series is compared with, as it is now."""
        engine, place = self._at(slot)
        return printed(engine.columns, place, cells=bool(slot & 1))

    def smallest(self, slot: int, readings: float) -> Change | None:
        """Give the smallest change that so many *readings* of a series show, None where they show none."""
        self._share_out()
        engine, place = self._at(slot)
        if not engine.columns.seen[place]:
            return None
        allowed = budget.allowed_now(engine.columns, place, engine.false_alarms)
        of = sight.of_cells if slot & 1 else sight.of_rate
        return of(engine.columns, place, allowed, readings)

    def is_open(self, slot: int) -> bool:
        """Tell whether what was found in a series still lasts."""
        engine, place = self._at(slot)
        return bool(engine.columns.alarmed[place] != WATCHING)

    def accept(self, slot: int) -> bool:
        """Take the open change of a series for its new normal; False where it has to learn that from anew."""
        engine, place = self._at(slot)
        return renewal.accept(engine.columns, place, cells=bool(slot & 1))

    def published(self, slot: int) -> dict[str, Any] | None:
        """Give what of a series' published baseline is quiet's; None where its baseline is too small."""
        engine, place = self._at(slot)
        return published.given(engine.columns, place, cells=bool(slot & 1))

    def take(self, slot: int, baseline: PublishedBaseline, at: float) -> None:
        """Begin a series, of which nothing was read yet, with a published baseline; it is read from *at*."""
        engine, place = self._at(slot)
        published.take(engine.columns, place, baseline, at, cells=bool(slot & 1))

    def freeze(self, slot: int) -> None:
        """Let nothing more join the baseline of a series."""
        engine, place = self._at(slot)
        engine.columns.frozen[place] = 1

    def snapshot(self, slot: int) -> bytes:
        """Give all there is to know of a series, as bytes behind their checksum."""
        engine, place = self._at(slot)
        record = engine.columns.records[place : place + 1].copy()
        record["share"] = 0.0
        learning = engine.learning.held.get(place, np.empty(0)).tobytes()
        kept = zlib.compress(record.tobytes()) if learning else record.tobytes()
        state = _encode(State(FORMAT, engine.specs[place], engine.only_rise(place), kept, learning))
        return sealed(state)

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        """Go on where the series that gave *snapshot* stopped; give its slot.

        Raises UnreadableRowError where the snapshot is damaged, foreign or of another kind of series.
        """
        state = _read(snapshot)
        if state.only_rise is not only_rise:
            raise UnreadableRowError(f"made with only_rise {state.only_rise}, now {only_rise}")
        engine = self._engines[state.spec.has_cells]
        size = engine.kind_of(state.format).itemsize
        record = _unfolded(state.record, size) if state.learning else state.record
        if len(record) != size:
            raise UnreadableRowError(f"a record of {len(record)} bytes")
        if len(state.learning) % (8 * BLOCK) or len(state.learning) >= 8 * BLOCK * bins.LEARNED_BLOCKS:
            raise UnreadableRowError(f"{len(state.learning)} bytes of readings to learn from")
        slot = self.add(only_rise=only_rise, spec=state.spec)
        place = slot >> 1
        engine.take(place, record, state.format)
        if state.learning:
            engine.learning.held[place] = np.frombuffer(state.learning, np.float64)
        return slot

    def _at(self, slot: int) -> tuple[Engine, int]:
        return self._engines[slot & 1], slot >> 1

    def _check(self, slots: Places) -> None:
        for slot in slots.tolist():
            if slot >> 1 not in self._engines[slot & 1].specs:
                raise ValueError(f"slot {slot} is not in use: add() gives the slots that are")

    def _share_out(self) -> None:
        """Give every series its part of the budget anew, where series came or went."""
        if not self._stale:
            return
        for engine in self._engines:
            for place, spec in engine.specs.items():
                engine.columns.share[place] = self._accounts.share(spec.account, spec.pool)
        self._stale = False


def _unfolded(record: bytes, size: int) -> bytes:
    """Give a record that was compressed, or as much as is too long for one of *size* bytes."""
    try:
        return zlib.decompressobj().decompress(record, size + 1)
    except zlib.error as error:
        raise UnreadableRowError(f"a record that cannot be unfolded: {error}") from error


def _read(snapshot: bytes) -> State:
    body = unsealed(snapshot)
    try:
        state = _decode(body)
    except msgspec.DecodeError as error:
        raise UnreadableRowError(str(error)) from error
    if not 1 <= state.format <= FORMAT:
        raise UnreadableRowError(f"format {state.format}, known are 1 to {FORMAT}")
    return state
