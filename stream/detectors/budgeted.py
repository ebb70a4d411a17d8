"""Budgeted: quiet's bank as the core asks for it; series join their model's budget in the log's order.

The first readings of a series are held until they show what it is (:mod:`.forms`); with the last of them it
joins its model's budget, and every other series of the model has less of it from then on. That happens at a
place in the log: a batch in which series join is shown to quiet in turns, the readings up to there and those
from there on, so that no threshold depends on how the log was cut into batches.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.core.errors import UnreadableRowError
from stream.core.nouns import (
    Baseline,
    Explanation,
    Finding,
    Healed,
    SeriesSpec,
    Smallest,
    Stage,
    Standing,
)
from stream.core.ports import Found
from stream.detectors.forms import Form, Nature, form_of, nature_of, spec_of
from stream.detectors.quiet import Change, Family, QuietBank, Sight
from stream.detectors.runs import group, grown

NAME: Final = "quiet"

HELD: Final = 512
"""Readings that show what a series is: as many as quiet learns the cells of numbers from."""

DAYS: Final = (1.0, 7.0, 30.0)
"""The times for which the smallest change is told that is seen in them."""

_FEWEST: Final = 16
_CHECKSUM_BYTES: Final = 4
_LEARNING: Final = -1
_LARGEST: Final = 1e150
"""What a larger reading counts as: what is read off it must stay finite."""

Places = NDArray[np.intp]
Values = NDArray[np.float64]


class State(msgspec.Struct, array_like=True):
    """All there is to know of a series: held readings and their times, or its form and quiet's snapshot."""

    bank: str
    nature: Nature
    values: bytes
    times: bytes
    form: Form | None
    quiet: bytes


class Joining(msgspec.Struct):
    """A series whose last held reading is in this batch, at *place*, of the event numbered *order*."""

    slot: int
    place: int
    order: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Budgeted:
    """Watches series by quiet, which *quiet* does for those whose form is known."""

    def __init__(self, quiet: QuietBank) -> None:
        self._quiet = quiet
        self._natures: dict[int, Nature] = {}
        self._forms: dict[int, Form] = {}
        self._held: dict[int, tuple[Values, Values]] = {}
        self._own: dict[int, int] = {}
        self._is_taken = np.zeros(0, dtype=np.bool_)
        self._inner: Places = np.zeros(0, dtype=np.intp)
        self._low: Values = np.zeros(0)
        self._unit: Values = np.ones(0)
        self._differs = np.zeros(0, dtype=np.bool_)
        self._free: list[int] = []

    def add(self, *, only_rise: bool, spec: SeriesSpec | None = None) -> int:
        """Take a new series; give its slot. With *only_rise* it stays silent about a fall."""
        return self._add(nature_of(spec, only_rise=only_rise))

    def drop(self, slot: int) -> None:
        """Forget the series of *slot*; its part of the budget is the others' from now on."""
        self._check_one(slot)
        if slot in self._forms:
            inner = int(self._inner[slot])
            self._quiet.drop(inner)
            del self._forms[slot], self._own[inner]
        self._held.pop(slot, None)
        del self._natures[slot]
        self._is_taken[slot] = False
        self._free.append(slot)

    def update(
        self, slots: Places, values: Values, times: Values, order: NDArray[np.int64] | None = None
    ) -> list[Found]:
        """Take readings of many series, all of shape (n,); give what was found, by its place in them.

        Raises ValueError where a value or a time is not finite, IndexError where no series has a slot, before
        anything is taken.
        """
        if not np.isfinite(values).all() or not np.isfinite(times).all():
            raise ValueError("a detector takes finite readings only")
        if not len(slots):
            return []
        if slots.min() < 0 or slots.max() >= len(self._is_taken) or not self._is_taken[slots].all():
            raise IndexError("no series has this slot")
        values = np.minimum(np.maximum(values, -_LARGEST), _LARGEST)
        is_held = self._inner[slots] == _LEARNING
        if not is_held.any():
            return self._sorted(self._show(slots, values, times, np.arange(len(slots))))
        joining = self._hold(slots, values, times, order, is_held)
        turns = np.zeros(len(slots), dtype=np.intp)
        of_turn: dict[int, list[int]] = {}
        if joining:
            turns = self._turns(joining, slots, order, of_turn)
        found: list[Found] = []
        for turn in range(max(of_turn, default=0) + 1):
            for slot in of_turn.get(turn, ()):
                self._join(slot)
            places = np.flatnonzero(~is_held & (turns == turn))
            if len(places):
                found += self._show(slots[places], values[places], times[places], places)
        return self._sorted(found)

    def explain(self, slot: int) -> Explanation:
        """Say how the series of *slot* is watched now."""
        self._check_one(slot)
        form = self._forms.get(slot)
        if form is None:
            held = len(self._held[slot][0])
            return Explanation(watched_by=NAME, stage=Stage.LEARNING, readings=held)
        inner = int(self._inner[slot])
        stands, share = self._quiet.sight(inner), self._quiet.share(inner)
        stage = Stage.WATCHING if stands.is_learned else Stage.LEARNING
        only_rise = self._natures[slot].only_rise or form.differs
        sees = [self._quiet.smallest(inner, days * stands.per_day) for days in DAYS]
        shown = next((change for change in sees if change is not None), None)
        return Explanation(
            watched_by=f"{NAME}: {form.family}",
            stage=Stage.CHANGED if self._quiet.is_open(inner) else stage,
            readings=int(stands.readings),
            per_day=stands.per_day,
            share=share,
            false_alarms=share * self._quiet.false_alarms,
            normal=_in_units(form, stands.normal),
            threshold=None if shown is None else shown.threshold,
            window=None if shown is None else shown.window,
            smallest=tuple(
                _smallest(days, form, stands, change, only_rise=only_rise)
                for days, change in zip(DAYS, sees, strict=True)
            ),
            baseline=self.baseline(slot),
        )

    def baseline(self, slot: int) -> Baseline | None:
        """Give what the series of *slot* is compared with; None while there is nothing yet."""
        self._check_one(slot)
        if slot not in self._forms:
            return None
        inner = int(self._inner[slot])
        own = self._quiet.printed(inner)
        if not own.readings:
            return None
        is_learned = self._quiet.sight(inner).is_learned
        standing = Standing.FROZEN if own.is_frozen else Standing.GROWING if is_learned else Standing.LEARNING
        return Baseline(standing=standing, readings=own.readings, since=own.began, digest=own.digest)

    def accept(self, slot: int) -> bool:
        """Take the open change of *slot* for its new normal; False where there is none.

        A rate of 0 and 1 begins with what was read since it changed, and so does a loss that still fits its
        unit and a number that still fills its cells; what does not is learned anew, from its form on.
        """
        self._check_one(slot)
        form = self._forms.get(slot)
        if form is None or not self._quiet.is_open(int(self._inner[slot])):
            return False
        is_plain = form.family is not Family.RATE or (form.low, form.unit, form.differs) == (0.0, 1.0, False)
        if not (is_plain and self._quiet.accept(int(self._inner[slot]))):
            self.relearn(slot)
        return True

    def relearn(self, slot: int) -> None:
        """Forget what is normal for the series of *slot*; until its form is known again it has no budget."""
        self._check_one(slot)
        if self._forms.pop(slot, None) is not None:
            inner = int(self._inner[slot])
            self._quiet.drop(inner)
            del self._own[inner]
        self._inner[slot] = _LEARNING
        self._held[slot] = (np.empty(0), np.empty(0))

    def freeze(self, slot: int) -> None:
        """Let the baseline of *slot* grow no more; one that has none yet learns it first."""
        self._check_one(slot)
        if slot in self._forms:
            self._quiet.freeze(int(self._inner[slot]))

    def snapshot(self, slot: int) -> bytes:
        """Give all there is to know of *slot*, as bytes, behind their checksum."""
        self._check_one(slot)
        form = self._forms.get(slot)
        values, times = self._held.get(slot, (np.empty(0), np.empty(0)))
        quiet = b"" if form is None else self._quiet.snapshot(int(self._inner[slot]))
        state = _encode(State(NAME, self._natures[slot], values.tobytes(), times.tobytes(), form, quiet))
        return zlib.crc32(state).to_bytes(_CHECKSUM_BYTES) + state

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        """Take a series back; give its slot. Raises UnreadableRowError where the snapshot cannot be read.

        How large the budget was and how it was shared out is not part of it: a policy may change that.
        """
        state = _read(snapshot)
        if state.nature.only_rise is not only_rise:
            raise UnreadableRowError(f"made with only_rise {state.nature.only_rise}, now {only_rise}")
        if state.form is None:
            slot = self._add(state.nature)
            self._held[slot] = (np.frombuffer(state.values), np.frombuffer(state.times))
            return slot
        inner = self._quiet.restore(state.quiet, only_rise=only_rise or state.form.differs)
        slot = self._add(state.nature)
        self._give(slot, inner, state.form)
        return slot

    def _add(self, nature: Nature) -> int:
        if not self._free:
            size = len(self._is_taken)
            capacity = max(2 * size, _FEWEST)
            self._is_taken, self._inner = grown(self._is_taken, capacity), grown(self._inner, capacity)
            self._low, self._unit = grown(self._low, capacity), grown(self._unit, capacity)
            self._differs = grown(self._differs, capacity)
            self._free += range(capacity - 1, size - 1, -1)
        slot = self._free.pop()
        self._is_taken[slot], self._inner[slot] = True, _LEARNING
        self._natures[slot] = nature
        self._held[slot] = (np.empty(0), np.empty(0))
        return slot

    def _give(self, slot: int, inner: int, form: Form) -> None:
        self._inner[slot], self._own[inner], self._forms[slot] = inner, slot, form
        self._low[slot], self._unit[slot], self._differs[slot] = form.low, form.unit, form.differs
        self._held.pop(slot, None)

    def _check_one(self, slot: int) -> None:
        if not 0 <= slot < len(self._is_taken) or not self._is_taken[slot]:
            raise IndexError("no series has this slot")

    def _hold(
        self,
        slots: Places,
        values: Values,
        times: Values,
        order: NDArray[np.int64] | None,
        is_held: NDArray[np.bool_],
    ) -> list[Joining]:
        """Hold readings of series whose form is not known; give those of which it is known now.

        In *is_held* is left what was held: what comes behind the last one of a series is to be shown.
        """
        joining: list[Joining] = []
        all_places = np.flatnonzero(is_held)
        runs, by_slot = group(slots[all_places])
        if by_slot is not None:
            all_places = all_places[by_slot]
        for slot, start, length in zip(
            runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist(), strict=True
        ):
            places = all_places[start : start + length]
            kept, kept_times = self._held[slot]
            count = min(HELD - len(kept), len(places))
            taken = places[:count]
            self._held[slot] = np.append(kept, values[taken]), np.append(kept_times, times[taken])
            is_held[places[count:]] = False
            if len(kept) + count == HELD:
                last = int(taken[-1])
                joining.append(Joining(slot, last, last if order is None else int(order[last])))
        return joining

    def _turns(
        self,
        joining: Sequence[Joining],
        slots: Places,
        order: NDArray[np.int64] | None,
        of_turn: dict[int, list[int]],
    ) -> Places:
        """Give the turn in which each reading is shown; note in *of_turn* which slots join before each.

        The turns of a model begin with the events with which series of its own join.
        """
        where = np.arange(len(slots)) if order is None else order
        begins: dict[str, list[int]] = {}
        for one in sorted(joining, key=lambda each: each.order):
            of_account = begins.setdefault(self._natures[one.slot].account, [])
            if not of_account or of_account[-1] != one.order:
                of_account.append(one.order)
            of_turn.setdefault(len(of_account), []).append(one.slot)
        turns = np.zeros(len(slots), dtype=np.intp)
        accounts = {slot: self._natures[slot].account for slot in np.unique(slots).tolist()}
        for account, starts in begins.items():
            own = np.array([slot for slot, name in accounts.items() if name == account])
            at = np.flatnonzero(np.isin(slots, own))
            turns[at] = np.searchsorted(np.array(starts), where[at], side="right")
        return turns

    def _join(self, slot: int) -> None:
        """Let a series join its budget, and show quiet what was held of it."""
        values, times = self._held[slot]
        nature = self._natures[slot]
        form = form_of(values, nature)
        inner = self._quiet.add(only_rise=nature.only_rise or form.differs, spec=spec_of(nature, form))
        self._give(slot, inner, form)
        self._show(np.full(HELD, slot), values, times, np.zeros(HELD, dtype=np.intp))

    def _show(self, slots: Places, values: Values, times: Values, places: Places) -> list[Found]:
        """Show quiet readings of series that joined; give what it finds, at the *places* of the readings."""
        low = self._low[slots]
        shown = np.where(self._differs[slots], values != low, (values - low) / self._unit[slots])
        said = self._quiet.update(self._inner[slots], shown, times)
        found = [
            Found(self._own[slot], self._in_units(self._own[slot], finding, int(places[finding.index])))
            for slot, finding in said
        ]
        found += [
            Found(self._own[slot], Healed(index=int(places[index]), detector=NAME))
            for slot, index in self._quiet.healed()
        ]
        return found

    def _in_units(self, slot: int, finding: Finding, index: int) -> Finding:
        """Put a finding into the units of its series."""
        form = self._forms[slot]
        observed, expected = _in_units(form, finding.observed), _in_units(form, finding.expected)
        return replace(finding, index=index, observed=observed, expected=expected, lasts=True)

    def _sorted(self, found: Iterable[Found]) -> list[Found]:
        return sorted(found, key=lambda one: (one.finding.index, one.slot))


def _in_units(form: Form, value: float) -> float:
    """Put what quiet says of a level into the units of a series; of one that was constant it is a rate."""
    if form.differs or form.family is Family.NUMBER:
        return value
    return form.low + form.unit * value


def _smallest(days: float, form: Form, stands: Sight, change: Change | None, *, only_rise: bool) -> Smallest:
    """Say what of a series is seen within *days*.

    A normal whose mean moves by d standard deviations has a population stability index of d squared.
    """
    if change is None:
        return Smallest(days=days, rise=None, fall=None)
    away = change.level - stands.normal
    if form.family is Family.NUMBER:
        away = math.sqrt(change.level) * stands.spread
    lower = stands.normal - away
    is_seen = not only_rise and (form.family is Family.NUMBER or lower >= 0.0)
    return Smallest(
        days=days,
        rise=_in_units(form, stands.normal + away),
        fall=_in_units(form, lower) if is_seen else None,
    )


def _read(snapshot: bytes) -> State:
    checksum, body = snapshot[:_CHECKSUM_BYTES], snapshot[_CHECKSUM_BYTES:]
    if checksum != zlib.crc32(body).to_bytes(_CHECKSUM_BYTES):
        raise UnreadableRowError("the checksum is wrong")
    try:
        state = _decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableRowError(str(error)) from error
    if state.bank != NAME:
        raise UnreadableRowError(f"made with {state.bank}, now {NAME}")
    if len(state.values) != len(state.times) or len(state.values) % 8 or len(state.values) >= 8 * HELD:
        raise UnreadableRowError(f"{len(state.values)} bytes of held readings")
    return state
