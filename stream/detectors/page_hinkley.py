"""Page-Hinkley: the cumulative deviation from the running mean (Page, 1954), many readings at a time.

What river's test computes one reading after the other,

    S = alpha S + (x - mean) -+ delta,   alarm where S has moved `threshold` away from its extreme,

is, up to a factor, a sum of deviations weighted by alpha^-k: a running sum, which numpy does for a whole
batch. The weights grow, therefore the sum starts anew every BLOCK readings. The alarms are river's, index by
index; a test compares them.

Numpy is fast where it is called seldom. A slot with many readings goes along time, a block at a time; slots
with few go side by side, the first reading of each, then the second; a batch that is small in both ways goes
reading by reading, without numpy. It is the same arithmetic, to the last bit: which way was taken does not
show.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import PageHinkley as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.cut import Cut
from stream.detectors.runs import Places, Runs, grown

ALPHA: Final = 1.0 - 0.0001
"""River's forgetting factor."""

BLOCK: Final = 1_024
"""Readings after which the weighted sum starts anew."""

FEW: Final = 30
"""Readings that take as long one by one as a call of numpy's for all of them."""

_POWER = np.cumprod(np.concatenate(((1.0,), np.full(BLOCK, ALPHA))))
_INVERSE = 1.0 / _POWER
_GEOMETRIC = np.add.accumulate(np.concatenate(((0.0,), _POWER[:-1])))
_POWERS, _INVERSES, _GEOMETRICS = _POWER.tolist(), _INVERSE.tolist(), _GEOMETRIC.tolist()
_NUMBERS = np.arange(BLOCK + 1, dtype=np.float64)

Values = NDArray[np.float64]


class State(msgspec.Struct, array_like=True):
    """What there is to know of a test since its last alarm.

    *n* readings with their *total*; *k* of them in this block, whose weighted deviations are *inner*; *base*
    and *weight* are what the blocks before left of the deviations and of the weights. The extremes are those
    of the two cumulative sums.
    """

    n: int
    total: float
    k: int
    inner: float
    base: float
    weight: float
    lowest: float
    highest: float


_N, _TOTAL, _K, _INNER, _BASE, _WEIGHT, _LOWEST, _HIGHEST = range(8)
_BEFORE_ANY = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e308, -1.0])

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class PageHinkley:
    """Signals when the cumulative deviation of a slot has moved ``threshold`` away from its extreme."""

    name = "page_hinkley"

    def __init__(self, settings: Settings) -> None:
        self._threshold = settings.threshold
        self._delta = settings.delta
        self._least = settings.min_instances
        self._only_rise = np.zeros(0, dtype=np.bool_)
        self._states: Values = np.zeros((8, 0))

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""
        self._only_rise = grown(self._only_rise, capacity)
        self._states = grown(self._states, capacity, axis=1)

    def begin(self, slot: int, *, only_rise: bool) -> None:
        """Begin anew in *slot*; with *only_rise* a fall is none of its business."""
        self._states[:, slot] = _BEFORE_ANY
        self._only_rise[slot] = only_rise

    def end(self, slot: int) -> None:
        """Do nothing: a slot holds numbers only."""

    def update(self, runs: Runs, values: Values) -> list[Shift]:
        """Take *runs* of standardised *values*, shape (n,); give the shifts by their place there."""
        shifts: list[Shift] = []
        order = np.argsort(-runs.lengths, kind="stable")
        lengths = runs.lengths[order]
        # So many of the longest runs go along time as makes for the fewest calls: one for each of them, and
        # one for each reading of the longest that is left.
        costs = np.arange(len(order) + 1)
        costs[:-1] += lengths
        along = int(costs.argmin())
        if len(values) < FEW * costs[along]:
            self._one_by_one(runs, values, shifts)
            return shifts
        for run in order[:along].tolist():
            self._along(runs, run, values, shifts)
        side_by_side = order[along:]
        self._side_by_side(
            runs.slots[side_by_side], runs.starts[side_by_side], lengths[along:], values, shifts
        )
        return shifts

    def threshold(self, _slot: int, _cut: Cut) -> float:
        """Give what the cumulative deviation had to exceed, in standard deviations."""
        return self._threshold

    def snapshot(self, slot: int) -> bytes:
        """Give the state of *slot* as bytes."""
        n, total, k, *rest = self._states[:, slot].tolist()
        return _encode(State(int(n), total, int(k), *rest))

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Take the state of *slot* back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            if not 0 <= state.k <= BLOCK or state.n < 0:
                raise ValueError(f"k is {state.k}, n is {state.n}")
            self._states[:, slot] = msgspec.structs.astuple(state)

    def _one_by_one(self, runs: Runs, values: Values, shifts: list[Shift]) -> None:
        """Take every reading by itself, by the arithmetic of the other two ways."""
        powers, inverses, geometrics = _POWERS, _INVERSES, _GEOMETRICS
        threshold, delta, least = self._threshold, self._delta, self._least
        where = zip(runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist(), strict=True)
        for slot, start, length in where:
            both = not self._only_rise[slot]
            n, total, block, inner, base, weight, lowest, highest = self._states[:, slot].tolist()
            k = int(block)
            for place, value in enumerate(values[start : start + length].tolist(), start):
                if k == BLOCK:
                    base = powers[BLOCK] * (base + inner)
                    weight = powers[BLOCK] * weight + geometrics[BLOCK]
                    inner, k = 0.0, 0
                n += 1.0
                k += 1
                total += value
                inner += (value - total / n) * inverses[k]
                middle = powers[k] * (base + inner)
                drift = delta * (powers[k] * weight + geometrics[k])
                rise = middle - drift
                if rise < lowest:  # noqa: PLR1730 - min() costs as much as all the rest
                    lowest = rise
                fall = middle + drift
                if fall > highest:  # noqa: PLR1730 - as above
                    highest = fall
                if (rise - lowest > threshold or (both and highest - fall > threshold)) and n >= least:
                    shifts.append(_shift(place, n, rise - lowest, highest - fall, only_rise=not both))
                    n, total, block, inner, base, weight, lowest, highest = _BEFORE_ANY.tolist()
                    k = 0
            self._states[:, slot] = n, total, k, inner, base, weight, lowest, highest

    def _side_by_side(
        self, slots: Places, starts: Places, lengths: Places, values: Values, shifts: list[Shift]
    ) -> None:
        """Take the readings from *starts* on, *lengths* of each, the longest first: a round for each."""
        if not len(slots):
            return
        states = self._states[:, slots]
        both = ~self._only_rise[slots]
        rounds = int(lengths[0])
        sizes = np.searchsorted(-lengths, -np.arange(rounds), side="left")
        for number, size in enumerate(sizes.tolist()):
            moved, alarms = self._step(states[:, :size], values[starts[:size] + number], both[:size])
            for place in np.flatnonzero(alarms).tolist():
                rise, fall = float(moved[0][place]), float(moved[1][place])
                at = int(starts[place]) + number
                n = float(states[_N, place])
                shifts.append(_shift(at, n, rise, fall, only_rise=not both[place]))
                states[:, place] = _BEFORE_ANY
        self._states[:, slots] = states

    def _step(
        self, state: Values, values: Values, both: NDArray[np.bool_]
    ) -> tuple[tuple[Values, Values], NDArray[np.bool_]]:
        """Take one reading for each column of *state*; give how far each has moved, and who is to alarm."""
        n, total, block, inner, base, weight, lowest, highest = state
        for column in np.flatnonzero(block == BLOCK).tolist():
            _begin_block(state[:, column])
        n += 1.0
        block += 1.0
        total += values
        k = block.astype(np.intp)
        power = _POWER[k]
        inner += (values - total / n) * _INVERSE[k]
        middle = power * (base + inner)
        drift = self._delta * (power * weight + _GEOMETRIC[k])
        rises, falls = middle - drift, middle + drift
        np.minimum(lowest, rises, out=lowest)
        np.maximum(highest, falls, out=highest)
        moved = (rises - lowest, highest - falls)
        alarms = moved[0] > self._threshold
        alarms |= (moved[1] > self._threshold) & both
        alarms &= n >= self._least
        return moved, alarms

    def _along(self, runs: Runs, run: int, values: Values, shifts: list[Shift]) -> None:
        """Take the readings of one run, a block at a time."""
        slot, place = int(runs.slots[run]), int(runs.starts[run])
        end = place + int(runs.lengths[run])
        while place < end:
            place += self._block(slot, place, values[place:end], shifts)

    def _block(self, slot: int, place: int, values: Values, shifts: list[Shift]) -> int:
        """Take values up to an alarm or the block's end; give how many."""
        state, only_rise = self._states[:, slot], bool(self._only_rise[slot])
        if state[_K] == BLOCK:
            _begin_block(state)
        n, total, k, inner_before, base, weight, lowest_before, highest_before = state.tolist()
        count = min(len(values), BLOCK - int(k))
        values, block = values[:count], slice(int(k) + 1, int(k) + count + 1)
        totals = np.add.accumulate(np.concatenate(((total,), values)))[1:]
        deviations = values - totals / (_NUMBERS[1 : count + 1] + n)
        inner = np.add.accumulate(np.concatenate(((inner_before,), deviations * _INVERSE[block])))[1:]
        middle = _POWER[block] * (base + inner)
        drift = self._delta * (_POWER[block] * weight + _GEOMETRIC[block])
        rises, falls = middle - drift, middle + drift
        lowest = np.minimum(np.minimum.accumulate(rises), lowest_before)
        highest = np.maximum(np.maximum.accumulate(falls), highest_before)
        alarms = rises - lowest > self._threshold
        if not only_rise:
            alarms |= highest - falls > self._threshold
        alarms[: max(0, self._least - 1 - int(n))] = False
        first = int(alarms.argmax())
        last = first if alarms[first] else count - 1
        taken = last + 1
        state[_N], state[_K] = n + taken, k + taken
        state[_TOTAL], state[_INNER] = totals[last], inner[last]
        state[_LOWEST], state[_HIGHEST] = lowest[last], highest[last]
        if alarms[first]:
            rise, fall = float(rises[last] - lowest[last]), float(highest[last] - falls[last])
            shifts.append(_shift(place + last, n + taken, rise, fall, only_rise=only_rise))
            state[:] = _BEFORE_ANY
        return taken


def _shift(place: int, n: float, rise: float, fall: float, *, only_rise: bool) -> Shift:
    rose = only_rise or rise >= fall
    return Shift(place, latest=int(n), rise=rose, statistic=rise if rose else fall)


def _begin_block(state: Values) -> None:
    """Begin a new block in *state*, shape (8,)."""
    state[_BASE] = _POWER[BLOCK] * (state[_BASE] + state[_INNER])
    state[_WEIGHT] = _POWER[BLOCK] * state[_WEIGHT] + _GEOMETRIC[BLOCK]
    state[_INNER] = state[_K] = 0.0
