"""Budgeted: quiet's bank as the core asks for it; series join their model's budget in the log's order.

The first readings of a series are held until they show what it is (:mod:`.forms`); with the last of them it
joins its model's budget, and every other series of the model has less of it from then on. That happens at a
place in the log: a batch in which series join is shown to quiet in turns, the readings up to there and those
from there on, so that no threshold depends on how the log was cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.baselines import Counted, PublishedBaseline
from stream.core.errors import UnreadableRowError
from stream.core.nouns import (
    Baseline,
    Explanation,
    Finding,
    Healed,
    SeriesKey,
    SeriesSpec,
    Stage,
    Standing,
)
from stream.core.ports import Found
from stream.detectors.forms import LARGEST, Form, Nature, Shown, form_given, form_of, nature_of, spec_of
from stream.detectors.quiet import Family, QuietBank
from stream.detectors.quiet.baseline import LEARNING_READINGS, LEARNING_READINGS_MAX, LEARNING_SECONDS
from stream.detectors.quiet.printed import digest_of
from stream.detectors.runs import group, grown
from stream.detectors.states import State, given_in, packed, unpacked, written
from stream.detectors.units import in_units, smallest

NAME: Final = "quiet"

HELD: Final = 512
"""Readings that show what a series is: as many as quiet learns the cells of numbers from."""

DAYS: Final = (1.0, 7.0, 30.0)
"""The times for which the smallest change is told that is seen in them."""

_FEWEST: Final = 16
_LEARNING: Final = -1

Places = NDArray[np.intp]
Values = NDArray[np.float64]


class Joining(msgspec.Struct):
    """A series whose last held reading is in this batch, at *place*, of the event numbered *order*."""

    slot: int
    place: int
    order: int


class Budgeted:
    """Watches series by quiet, which *quiet* does for those whose form is known."""

    def __init__(self, quiet: QuietBank) -> None:
        self._quiet = quiet
        self._natures: dict[int, Nature] = {}
        self._forms: dict[int, Form] = {}
        self._held: dict[int, tuple[Values, Values]] = {}
        self._given: dict[int, PublishedBaseline] = {}
        self._own: dict[int, int] = {}
        self._is_taken = np.zeros(0, dtype=np.bool_)
        self._inner: Places = np.zeros(0, dtype=np.intp)
        self._shown = Shown()
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
        self._given.pop(slot, None)
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
        values = np.minimum(np.maximum(values, -LARGEST), LARGEST)
        is_held = self._inner[slots] == _LEARNING
        if not np.count_nonzero(is_held):
            return self._sorted(self._show(slots, values, times, None))
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
            held, needed = len(self._held[slot][0]), LEARNING_READINGS
            return Explanation(watched_by=NAME, stage=Stage.LEARNING, readings=held, needed=needed)
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
            normal=in_units(form, stands.normal),
            threshold=None if shown is None else shown.threshold,
            window=None if shown is None else shown.window,
            smallest=tuple(
                smallest(days, form, stands, change, only_rise=only_rise)
                for days, change in zip(DAYS, sees, strict=True)
            ),
            baseline=self.baseline(slot),
            needed=LEARNING_READINGS if stands.readings < LEARNING_READINGS else LEARNING_READINGS_MAX,
            at_latest=self._quiet.printed(inner).began + LEARNING_SECONDS
            if stands.readings >= LEARNING_READINGS
            else None,
        )

    def baseline(self, slot: int) -> Baseline | None:
        """Give what the series of *slot* is compared with; None while there is nothing yet."""
        self._check_one(slot)
        if (given := self._given.get(slot)) is not None:
            digest, since = digest_of(given.readings, given.sums, given.edges), given.since.timestamp()
            return Baseline(
                standing=Standing.GROWING, readings=int(given.readings), since=since, digest=digest
            )
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
        self._given.pop(slot, None)
        self._inner[slot] = _LEARNING
        self._held[slot] = (np.empty(0), np.empty(0))

    def published(self, slot: int, key: SeriesKey) -> PublishedBaseline | None:
        """Give the baseline of *slot*, the series *key*, to be published; None where that cannot be."""
        self._check_one(slot)
        form = self._forms.get(slot)
        fields = None if form is None else self._quiet.published(int(self._inner[slot]))
        if form is None or fields is None:
            return None
        try:
            return PublishedBaseline(
                signal=key.signal,
                segment=key.segment,
                counted=Counted(form.family.value),
                low=form.low,
                unit=form.unit,
                differs=form.differs,
                **fields,
            )
        except ValueError:  # it began with a published one of absurd numbers, and has outgrown what may be
            return None

    def take(self, slot: int, baseline: PublishedBaseline) -> bool:
        """Let the series of *slot* go on with a published baseline; False where that is of another kind.

        It joins its budget with the next reading.
        """
        self._check_one(slot)
        nature = self._natures[slot]
        if baseline.counted is not Counted.RATE and (
            nature.is_rate or nature.only_rise is not (baseline.counted is Counted.LOSS)
        ):
            return False
        self.relearn(slot)
        self._given[slot] = baseline
        return True

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
        given, held = written(self._given.get(slot)), (values.tobytes(), times.tobytes())
        return packed(State(NAME, self._natures[slot], *held, form, quiet, given))

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        """Take a series back; give its slot. Raises UnreadableRowError where the snapshot cannot be read.

        How large the budget was and how it was shared out is not part of it: a policy may change that.
        """
        state = unpacked(snapshot, NAME, 8 * HELD)
        if state.nature.only_rise is not only_rise:
            raise UnreadableRowError(f"made with only_rise {state.nature.only_rise}, now {only_rise}")
        given = given_in(state)
        if state.form is None:
            slot = self._add(state.nature)
            self._held[slot] = (np.frombuffer(state.values), np.frombuffer(state.times))
            if given is not None:
                self._given[slot] = given
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
            self._shown.grow(capacity)
            self._free += range(capacity - 1, size - 1, -1)
        slot = self._free.pop()
        self._is_taken[slot], self._inner[slot] = True, _LEARNING
        self._natures[slot] = nature
        self._held[slot] = (np.empty(0), np.empty(0))
        return slot

    def _give(self, slot: int, inner: int, form: Form) -> None:
        self._inner[slot], self._own[inner], self._forms[slot] = inner, slot, form
        self._shown.give(slot, form)
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
            enough = 1 if slot in self._given else HELD
            count = min(enough - len(kept), len(places))
            taken = places[:count]
            self._held[slot] = np.append(kept, values[taken]), np.append(kept_times, times[taken])
            is_held[places[count:]] = False
            if len(kept) + count == enough:
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
        nature, given = self._natures[slot], self._given.pop(slot, None)
        form = form_of(values, nature) if given is None else form_given(given)
        inner = self._quiet.add(only_rise=nature.only_rise or form.differs, spec=spec_of(nature, form))
        if given is not None:
            self._quiet.take(inner, given, float(times[0]))
        self._give(slot, inner, form)
        self._show(np.full(len(values), slot), values, times, np.zeros(len(values), dtype=np.intp))

    def _show(self, slots: Places, values: Values, times: Values, places: Places | None) -> list[Found]:
        """Show quiet readings of series that joined; give what it finds, at the *places* of the readings.

        None where they are those of the batch.
        """
        said = self._quiet.update(self._inner[slots], self._shown.of(slots, values), times)
        healed = self._quiet.healed()
        if not (said or healed):
            return []
        at = np.arange(len(slots)) if places is None else places
        found = [
            Found(self._own[slot], self._in_units(self._own[slot], finding, int(at[finding.index])))
            for slot, finding in said
        ]
        found += [
            Found(self._own[slot], Healed(index=int(at[index]), detector=NAME)) for slot, index in healed
        ]
        return found

    def _in_units(self, slot: int, finding: Finding, index: int) -> Finding:
        """Put a finding into the units of its series."""
        form = self._forms[slot]
        observed, expected = in_units(form, finding.observed), in_units(form, finding.expected)
        return replace(finding, index=index, observed=observed, expected=expected, lasts=True)

    def _sorted(self, found: Iterable[Found]) -> list[Found]:
        return sorted(found, key=lambda one: (one.finding.index, one.slot))
