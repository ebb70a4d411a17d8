"""ADWIN: what is no row of its is refused, and takes nothing; what a slot had, the next one does not see."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from river._river_rust.drift import AdaptiveWindowing

from schemas.policy import Adwin as Settings
from stream.core.errors import UnreadableRowError
from stream.detectors.adwin import CLOCK, GRACE_PERIOD, LOT, MAX_BUCKETS, MIN_WINDOW_LENGTH, Adwin, State
from stream.detectors.runs import runs_of


def _bank() -> Adwin:
    bank = Adwin(Settings(delta=0.002))
    bank.grow(2)
    bank.begin(0, only_rise=False)
    bank.begin(1, only_rise=False)
    return bank


def _show(bank: Adwin, slot: int, *values: float) -> None:
    bank.update(runs_of(np.array([slot]), np.array([len(values)])), np.array(values))


def _state(readings: int) -> State:
    bank = _bank()
    _show(bank, 0, *np.random.default_rng(3).normal(size=readings).tolist())
    return msgspec.msgpack.decode(bank.snapshot(0), type=State)


def _former(readings: int) -> bytes:
    """Give the row of a version that showed each reading as it came."""
    window = AdaptiveWindowing(0.002, CLOCK, MAX_BUCKETS, MIN_WINDOW_LENGTH, GRACE_PERIOD)
    for value in np.random.default_rng(3).normal(size=readings).tolist():
        window.update(value)
    return msgspec.msgpack.encode([readings, window.__getstate__()])


def _floats(*values: float) -> bytes:
    return np.array(values).tobytes()


def test_the_readings_since_the_last_test_wait_beside_the_window() -> None:
    state = _state(2 * CLOCK + 5)
    values = np.random.default_rng(3).normal(size=2 * CLOCK + 5)
    assert np.frombuffer(state.waiting).tolist() == values[-5:].tolist()
    assert state.n == 2 * CLOCK + 5


@pytest.mark.parametrize(
    "changed",
    [
        {"waiting": _floats(*[0.0] * 6)},
        {"waiting": _floats(*[0.0] * 4)},
        {"waiting": _floats(*[0.0] * (CLOCK + 5))},
        {"waiting": b""},
        {"waiting": _floats(0.0, 0.0, 0.0, 0.0, np.nan)},
        {"waiting": _floats(0.0, 0.0, 0.0, 0.0, np.inf)},
        {"waiting": bytes(5 * 8 - 1)},
        {"n": 2 * CLOCK + 4},
        {"n": 3 * CLOCK + 5},
        {"n": -1},
        {"n": 5},
        {"n": 2**63},
    ],
    ids=repr,
)
def test_a_row_whose_parts_do_not_fit_together_is_refused_and_takes_nothing(
    changed: dict[str, object],
) -> None:
    state = _state(2 * CLOCK + 5)
    bank = _bank()
    _show(bank, 0, 1.0, 2.0)
    before = bank.snapshot(0)
    with pytest.raises(UnreadableRowError, match="adwin"):
        bank.restore(0, msgspec.msgpack.encode(msgspec.structs.replace(state, **changed)))
    assert bank.snapshot(0) == before
    bank.restore(0, msgspec.msgpack.encode(state))


def test_a_row_of_before_with_more_readings_than_its_window_was_shown_is_refused() -> None:
    state = _state(CLOCK + 5)
    with pytest.raises(UnreadableRowError, match="adwin"):
        _bank().restore(0, msgspec.msgpack.encode([state.n, state.window]))


def test_a_row_of_which_more_waits_than_can_is_refused() -> None:
    window = msgspec.msgpack.decode(_former(CLOCK - 1), type=State).window
    with pytest.raises(UnreadableRowError, match="adwin"):
        _bank().restore(0, msgspec.msgpack.encode(State(CLOCK, window, _floats(0.0))))


def test_a_slot_that_begins_anew_has_nothing_of_what_was_there() -> None:
    empty = _bank().snapshot(0)
    bank = _bank()
    for restored in (_former(CLOCK + 5), msgspec.msgpack.encode(_state(CLOCK + 8))):
        bank.restore(0, restored)
        _show(bank, 0, 1.0, 2.0, 3.0)
        bank.end(0)
        bank.begin(0, only_rise=False)
        assert bank.snapshot(0) == empty
        alone = _bank()
        for each in (bank, alone):
            for _ in range(CLOCK):
                _show(each, 0, 1.0, 2.0, 3.0)
        assert bank.snapshot(0) == alone.snapshot(0)
        bank.end(0)


def test_room_for_more_slots_leaves_what_waits_where_it_is() -> None:
    bank = _bank()
    values = np.arange(CLOCK + 7.0) / 10.0
    _show(bank, 1, *values[:20].tolist())
    _show(bank, 0, *values[:CLOCK].tolist())
    bank.grow(5)
    _show(bank, 1, *values[20:].tolist())
    bank.begin(4, only_rise=False)
    _show(bank, 4, *values.tolist())
    assert bank.snapshot(1) == bank.snapshot(4)


def test_slots_whose_rows_become_full_at_once_are_all_shown_whatever_their_number() -> None:
    number, steps = 2 * LOT + 3, CLOCK // 8 * 3
    rng = np.random.default_rng(7)
    values = rng.normal(size=(steps, number, 8)) + rng.normal(0, 3.0, (steps, 1, 1))
    bank = Adwin(Settings(delta=0.9))
    bank.grow(number)
    runs = runs_of(np.arange(number), np.full(number, 8))
    shifts = [shift for step in values for shift in bank.update(runs, step.reshape(-1))]
    assert len(shifts) > number
    for slot in range(number):
        alone = Adwin(Settings(delta=0.9))
        alone.grow(1)
        alone.update(runs_of(np.array([0]), np.array([steps * 8])), values[:, slot].reshape(-1))
        assert bank.snapshot(slot) == alone.snapshot(0)
