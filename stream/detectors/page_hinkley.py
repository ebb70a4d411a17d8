"""Page-Hinkley: the cumulative deviation from the running mean (Page, 1954), a batch at a time.

What river's test computes one reading after the other,

    S = alpha S + (x - mean) -+ delta,   alarm where S has moved `threshold` away from its extreme,

is, up to a factor, a sum of deviations weighted by alpha^-k: a running sum, which numpy does for a whole
batch. The weights grow, therefore the sum starts anew every BLOCK readings. The alarms are river's, index by
index; a test compares them.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import PageHinkley as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.recent import Cut

ALPHA: Final = 1.0 - 0.0001
"""River's forgetting factor."""

BLOCK: Final = 1_024
"""Readings after which the weighted sum starts anew."""

FEW: Final = 64
"""Batches below this size go reading by reading: the same arithmetic, without numpy's cost of a call."""

_POWER = np.cumprod(np.concatenate(((1.0,), np.full(BLOCK, ALPHA))))
_INVERSE = 1.0 / _POWER
_GEOMETRIC = np.add.accumulate(np.concatenate(((0.0,), _POWER[:-1])))
_POWERS, _INVERSES, _GEOMETRICS = _POWER.tolist(), _INVERSE.tolist(), _GEOMETRIC.tolist()
_NUMBERS = np.arange(BLOCK + 1, dtype=np.float64)


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


_BEFORE_ANY = (0, 0.0, 0, 0.0, 0.0, 0.0, 1e308, -1.0)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class PageHinkley:
    """Signals when the cumulative deviation has moved ``threshold`` away from its extreme."""

    name = "page_hinkley"

    def __init__(self, settings: Settings, *, only_rise: bool) -> None:
        self._threshold = settings.threshold
        self._delta = settings.delta
        self._least = settings.min_instances
        self._only_rise = only_rise
        self._state = State(*_BEFORE_ANY)

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        """Take standardised *values*, shape (n,); give the shifts found."""
        shifts: list[Shift] = []
        if len(values) < FEW:
            self._few(values, shifts)
            return shifts
        place = 0
        while place < len(values):
            place += self._run(place, values[place:], shifts)
        return shifts

    def threshold(self, _cut: Cut) -> float:
        """Give what the cumulative deviation had to exceed, in standard deviations."""
        return self._threshold

    def snapshot(self) -> bytes:
        """Give the state as bytes."""
        return _encode(self._state)

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            if not 0 <= state.k <= BLOCK or state.n < 0:
                raise ValueError(f"k is {state.k}, n is {state.n}")
            self._state = state

    def _few(self, values: NDArray[np.float64], shifts: list[Shift]) -> None:
        """Take a few values, one after the other, by the arithmetic of :meth:`_run` to the last bit."""
        powers, inverses, geometrics = _POWERS, _INVERSES, _GEOMETRICS
        threshold, delta, least, both = self._threshold, self._delta, self._least, not self._only_rise
        n, total, k, inner, base, weight, lowest, highest = msgspec.structs.astuple(self._state)
        for place, value in enumerate(values.tolist()):
            if k == BLOCK:
                base = powers[BLOCK] * (base + inner)
                weight = powers[BLOCK] * weight + geometrics[BLOCK]
                inner, k = 0.0, 0
            n += 1
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
                shifts.append(self._shift(place, n, rise - lowest, highest - fall))
                n, total, k, inner, base, weight, lowest, highest = _BEFORE_ANY
        self._state = State(n, total, k, inner, base, weight, lowest, highest)

    def _shift(self, place: int, n: int, rise: float, fall: float) -> Shift:
        rose = self._only_rise or rise >= fall
        return Shift(place, latest=n, rise=rose, statistic=rise if rose else fall)

    def _run(self, place: int, values: NDArray[np.float64], shifts: list[Shift]) -> int:
        """Take values up to an alarm or the block's end; give how many."""
        state = self._state
        if state.k == BLOCK:
            self._begin_block(state)
        count = min(len(values), BLOCK - state.k)
        values, block = values[:count], slice(state.k + 1, state.k + count + 1)
        totals = np.add.accumulate(np.concatenate(((state.total,), values)))[1:]
        deviations = values - totals / (_NUMBERS[1 : count + 1] + state.n)
        inner = np.add.accumulate(np.concatenate(((state.inner,), deviations * _INVERSE[block])))[1:]
        middle = _POWER[block] * (state.base + inner)
        drift = self._delta * (_POWER[block] * state.weight + _GEOMETRIC[block])
        rises, falls = middle - drift, middle + drift
        lowest = np.minimum(np.minimum.accumulate(rises), state.lowest)
        highest = np.maximum(np.maximum.accumulate(falls), state.highest)
        alarms = rises - lowest > self._threshold
        if not self._only_rise:
            alarms |= highest - falls > self._threshold
        alarms[: max(0, self._least - 1 - state.n)] = False
        first = int(alarms.argmax())
        last = first if alarms[first] else count - 1
        state.n += last + 1
        state.k += last + 1
        state.total, state.inner = float(totals[last]), float(inner[last])
        state.lowest, state.highest = float(lowest[last]), float(highest[last])
        if alarms[first]:
            rise, fall = float(rises[last] - lowest[last]), float(highest[last] - falls[last])
            shifts.append(self._shift(place + last, state.n, rise, fall))
            self._state = State(*_BEFORE_ANY)
        return last + 1

    def _begin_block(self, state: State) -> None:
        state.base = _POWERS[BLOCK] * (state.base + state.inner)
        state.weight = _POWERS[BLOCK] * state.weight + _GEOMETRICS[BLOCK]
        state.inner, state.k = 0.0, 0
