"""ADWIN finds what river's own finds reading by reading, however readings are cut and whose they are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river._river_rust.drift import AdaptiveWindowing

from schemas.policy import Adwin as Settings
from stream.detectors import adwin
from stream.detectors.adwin import CLOCK, Adwin, State
from stream.detectors.runs import runs_of
from tests.checks.rivers_own import RiversAdwin

DELTA = 0.5
"""Finds something in about a third of what is tested."""

Values = NDArray[np.float64]

TRIED = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)

SIZES = st.lists(
    st.one_of(st.sampled_from((0, 1, 5, 31, 32, 33, 64, 700)), st.integers(0, 100)), min_size=2, max_size=40
).filter(any)
"""Readings that a slot has in one batch after the other; again from the first, where there are more."""


class FormerAdwin:
    """Shows a window each reading as it comes, and writes the rows of before."""

    def __init__(self) -> None:
        self._n = 0
        self._window = self._new()

    def update(self, values: Values) -> None:
        for value in values.tolist():
            self._n += 1
            if self._window.update(value):
                self._n, self._window = 0, self._new()

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode([self._n, self._window.__getstate__()])

    def _new(self) -> AdaptiveWindowing:
        return AdaptiveWindowing(DELTA, CLOCK, adwin.MAX_BUCKETS, adwin.MIN_WINDOW_LENGTH, adwin.GRACE_PERIOD)


def made(seed: int, length: int) -> Values:
    """Give readings whose mean wanders."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=length) + np.repeat(rng.normal(0, 2.0, length // 70 + 1), 70)[:length]


def bank_of(number: int) -> Adwin:
    bank = Adwin(Settings(delta=DELTA))
    bank.grow(number)
    for slot in range(number):
        bank.begin(slot, only_rise=False)
    return bank


def found_in(
    bank: Adwin, series: Sequence[Values], sizes: Sequence[Sequence[int]]
) -> list[list[tuple[int, int]]]:
    """Show each slot its series, of *sizes* a batch; give where the shifts of each are, and their latest."""
    found: list[list[tuple[int, int]]] = [[] for _ in series]
    done = [0] * len(series)
    turn = 0
    while any(at < len(one) for at, one in zip(done, series, strict=True)):
        parts = [
            one[at : at + own[turn % len(own)]] for one, at, own in zip(series, done, sizes, strict=True)
        ]
        slots = np.array([slot for slot, part in enumerate(parts) if len(part)][::-1], dtype=np.intp)
        turn += 1
        if not len(slots):
            continue
        runs = runs_of(slots, np.array([len(parts[slot]) for slot in slots]))
        for shift in bank.update(runs, np.concatenate([parts[slot] for slot in slots])):
            run = int(runs.starts.searchsorted(shift.place, side="right")) - 1
            slot = int(slots[run])
            found[slot].append((done[slot] + shift.place - int(runs.starts[run]), shift.latest))
        for slot in slots.tolist():
            done[slot] += len(parts[slot])
    return found


def rivers_own(values: Values) -> list[tuple[int, int]]:
    return [(shift.place, shift.latest) for shift in RiversAdwin(Settings(delta=DELTA)).update(values)]


@TRIED
@given(seed=st.integers(0, 2**32), sizes=st.lists(SIZES, min_size=1, max_size=7))
def test_what_is_found_and_written_is_that_of_river_reading_by_reading(
    seed: int, sizes: list[list[int]]
) -> None:
    """Some slots have long runs, some short ones, in the same batches."""
    series = [made(seed + slot, min(sum(own) * 3, 1_500)) for slot, own in enumerate(sizes)]
    bank = bank_of(len(series))
    found = found_in(bank, series, sizes)
    event(f"shifts: {min(sum(map(len, found)), 3)} or more")
    assert found == [rivers_own(one) for one in series]
    for slot, one in enumerate(series):
        alone = bank_of(1)
        found_in(alone, [one], [[1]])
        assert bank.snapshot(slot) == alone.snapshot(0)


@TRIED
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(SIZES, min_size=1, max_size=5),
    at=st.integers(0, 900),
    former=st.booleans(),
    more=st.integers(0, 40),
)
def test_what_is_restored_goes_on_as_if_nothing_had_happened(
    seed: int,
    sizes: list[list[int]],
    at: int,
    former: bool,  # noqa: FBT001 - as Hypothesis draws it
    more: int,
) -> None:
    """Rows of before, whose window was shown all, too; and rows that are written again soon after."""
    series = [made(seed + slot, at + slot + min(sum(own) * 3, 900)) for slot, own in enumerate(sizes)]
    bank = bank_of(len(series))
    wanted = [rivers_own(one) for one in series]
    for slot, one in enumerate(series):
        before = FormerAdwin() if former else Alone()
        before.update(one[: at + slot])
        bank.restore(slot, before.snapshot())
    rest = [one[at + slot :] for slot, one in enumerate(series)]
    found = found_in(bank, [one[:more] for one in rest], sizes)
    again = bank_of(len(series))
    for slot in range(len(series)):
        snapshot = bank.snapshot(slot)
        again.restore(slot, snapshot)
        assert again.snapshot(slot) == snapshot
    for slot, own in enumerate(found_in(again, [one[more:] for one in rest], sizes)):
        found[slot] += [(place + min(more, len(rest[slot])), latest) for place, latest in own]
        shifts = [(place - at - slot, latest) for place, latest in wanted[slot] if place >= at + slot]
        assert found[slot] == shifts
    event(f"shifts: {min(sum(map(len, found)), 3)} or more")


class Alone:
    """A bank that has one series."""

    def __init__(self) -> None:
        self._bank = bank_of(1)

    def update(self, values: Values) -> None:
        if len(values):
            self._bank.update(runs_of(np.array([0]), np.array([len(values)])), values)

    def snapshot(self) -> bytes:
        return self._bank.snapshot(0)


def test_a_row_of_before_is_written_with_no_reading_that_its_window_has_been_shown() -> None:
    former = FormerAdwin()
    former.update(made(1, 77))
    bank = bank_of(1)
    bank.restore(0, former.snapshot())
    bank.update(runs_of(np.array([0]), np.array([3])), np.array([0.1, 0.2, 0.3]))
    state = msgspec.msgpack.decode(bank.snapshot(0), type=State)
    assert np.frombuffer(state.waiting).tolist() == [0.1, 0.2, 0.3]
