"""KSWIN: the newest readings against a sample of those before (Raab, Heusinger and Schleif, 2020).

As river has it, reading by reading, with the same random samples, and without scipy: two samples of one size
are tested, for which the exact level of a Kolmogorov-Smirnov distance h / n is a finite sum (Gnedenko and
Korolyuk, 1951), so that the distance that is too large is known beforehand.
"""

from __future__ import annotations

import math
from random import Random
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import Kswin as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.cut import Cut

SEED: Final = 1
LEAST_DISTANCE: Final = 0.1
"""Part of the readings that have to lie differently, whatever the level: river's own."""


class State(msgspec.Struct, array_like=True):
    """What there is to know of a KSWIN: readings since the last detection, the window, the random samples."""

    n: int
    window: list[float]
    random: tuple[int, tuple[int, ...], float | None]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Kswin:
    """Compares the last *sample* readings of a window with as many drawn from the rest of it."""

    def __init__(self, settings: Settings) -> None:
        self._size, self._sample = settings.window, settings.sample
        self._critical = critical(settings.sample, settings.alpha)
        self._n = 0
        self._window: list[float] = []
        self._random = Random(SEED)  # noqa: S311 - a sample need not be unguessable, only the same again

    def threshold(self, _cut: Cut) -> float:
        """Give the largest distance that is not too large."""
        return (self._critical - 1) / self._sample

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        """Take standardised *values*, shape (n,); give the shifts among them."""
        shifts: list[Shift] = []
        older = self._size - self._sample
        for place, value in enumerate(values.tolist()):
            self._n += 1
            self._window.append(value)
            if len(self._window) < self._size:
                continue
            del self._window[: len(self._window) - self._size]
            drawn = [self._window[at] for at in self._random.sample(range(older), self._sample)]
            distance = _distance(drawn, self._window[older:])
            if distance >= self._critical:
                shifts.append(Shift(place, latest=self._n, statistic=distance / self._sample))
                # A detection forgets all with the next reading, what river keeps of the window included.
                self._n, self._window, self._random = 0, [], Random(SEED)  # noqa: S311 - as above
        return shifts

    def snapshot(self) -> bytes:
        """Give the state as bytes."""
        version, internal, spare = self._random.getstate()
        return _encode(State(self._n, self._window, (version, internal, spare)))

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring("kswin"):
            state = _decode(snapshot)
            self._n, self._window = state.n, state.window
            self._random.setstate(state.random)


def critical(n: int, alpha: float) -> int:
    """Give the least h for which two samples of *n* are as far apart as h / n with a chance of alpha at most.

    More than *n*, which they never are, where *alpha* is too small for so few.
    """
    for h in range(math.floor(LEAST_DISTANCE * n) + 1, n + 1):
        terms = ((-1) ** (j + 1) * math.comb(2 * n, n - j * h) for j in range(1, n // h + 1))
        if 2 * sum(terms) <= alpha * math.comb(2 * n, n):
            return h
    return n + 1


def _distance(one: list[float], other: list[float]) -> int:
    """Give n times the largest distance between the distribution functions of two samples of n."""
    first, second = sorted(one), sorted(other)
    n, i, j, largest = len(first), 0, 0, 0
    while i < n and j < n:
        at = min(first[i], second[j])
        while i < n and first[i] == at:
            i += 1
        while j < n and second[j] == at:
            j += 1
        largest = max(largest, abs(i - j))
    return largest
