"""Where simulated readings come from: each source gives the next readings of many copies of one series.

A source is asked chunk after chunk, in order, and keeps what it needs of its past. What it gives follows from
its generator alone: the same seed and the same chunks give the same readings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

STEP_SECONDS: Final = 10.0
"""Between two readings of a simulated series."""

DAY_SECONDS: Final = 86_400.0
DAY_READINGS: Final = 8_640

START: Final = 1_767_225_600.0
"""When simulated series begin, in seconds since the epoch: a Thursday, midnight in UTC."""


def times_of(start: int, n: int, every: float = STEP_SECONDS) -> Floats:
    """Give the times of readings *start* to *start + n*, *every* so many seconds."""
    times: Floats = START + every * (start + np.arange(n, dtype=np.float64))
    return times


class Source(Protocol):
    """Gives the readings of several copies of one series."""

    def chunk(self, start: int, n: int) -> Floats:
        """Give readings *start* to *start + n* of each copy, shape (copies, n)."""


Begin = Callable[[np.random.Generator, int], Source]
"""Makes a source of so many copies."""


class Independent:
    """Readings that know nothing of each other."""

    def __init__(
        self, rng: np.random.Generator, copies: int, draw: Callable[[np.random.Generator, int, int], Floats]
    ) -> None:
        self._rng = rng
        self._copies = copies
        self._draw = draw

    def chunk(self, _start: int, n: int) -> Floats:
        """Give *n* more readings of each copy."""
        return self._draw(self._rng, self._copies, n)


class Autoregressive:
    """AR(1) with a standard normal margin: x' = phi x + sqrt(1 - phi^2) e."""

    def __init__(self, rng: np.random.Generator, copies: int, phi: float) -> None:
        self._rng = rng
        self._phi = phi
        self._now: Floats = rng.standard_normal(copies)

    def chunk(self, _start: int, n: int) -> Floats:
        """Give *n* more readings of each copy."""
        now = self._now
        rows = self._rng.standard_normal((n, len(now))) * np.sqrt(1.0 - self._phi * self._phi)
        for row in rows:
            now = self._phi * now + row
            row[:] = now
        self._now = now
        return np.ascontiguousarray(rows.T)


class Above:
    """1 where another source is above a level, else 0."""

    def __init__(self, source: Source, level: float) -> None:
        self._source = source
        self._level = level

    def chunk(self, start: int, n: int) -> Floats:
        """Give *n* more readings of each copy."""
        return (self._source.chunk(start, n) > self._level).astype(np.float64)


class Rate:
    """0 and 1 with a chance that depends on the place; *chance* gives it, shape (n,) or (copies, n)."""

    def __init__(self, rng: np.random.Generator, copies: int, chance: Callable[[Places], Floats]) -> None:
        self._rng = rng
        self._copies = copies
        self._chance = chance

    def chunk(self, start: int, n: int) -> Floats:
        """Give *n* more readings of each copy."""
        chance = self._chance(start + np.arange(n))
        return (self._rng.random((self._copies, n)) < chance).astype(np.float64)


class Moved:
    """Normal readings whose mean and spread depend on the place; *moments* gives both for each."""

    def __init__(
        self, rng: np.random.Generator, copies: int, moments: Callable[[Places], tuple[Floats, Floats]]
    ) -> None:
        self._rng = rng
        self._copies = copies
        self._moments = moments

    def chunk(self, start: int, n: int) -> Floats:
        """Give *n* more readings of each copy."""
        mean, spread = self._moments(start + np.arange(n))
        drawn: Floats = mean + spread * self._rng.standard_normal((self._copies, n))
        return drawn


def bernoulli(p: float) -> Begin:
    """Give 1 with the chance *p*, else 0."""
    return lambda rng, copies: Independent(
        rng, copies, lambda rng, copies, n: (rng.random((copies, n)) < p).astype(np.float64)
    )


def normal() -> Begin:
    """Give standard normal numbers."""
    return lambda rng, copies: Independent(
        rng, copies, lambda rng, copies, n: rng.standard_normal((copies, n))
    )


def lognormal(sigma: float) -> Begin:
    """Give numbers whose logarithm is normal with the spread *sigma*."""
    return lambda rng, copies: Independent(
        rng, copies, lambda rng, copies, n: np.exp(sigma * rng.standard_normal((copies, n)))
    )


def autoregressive(phi: float) -> Begin:
    """Give an AR(1) with the coefficient *phi*."""
    return lambda rng, copies: Autoregressive(rng, copies, phi)


def dependent_errors(phi: float, level: float) -> Begin:
    """Give 1 where an AR(1) is above *level*: errors that come in clusters."""
    return lambda rng, copies: Above(Autoregressive(rng, copies, phi), level)


def seasonal(mean: float, by_day: float, by_week: float) -> Begin:
    """Give 1 with a chance that swings by *by_day* over the day and by *by_week* over the week."""

    def chance(place: Places) -> Floats:
        seconds = START + STEP_SECONDS * place
        day = 2.0 * np.pi * (seconds % DAY_SECONDS) / DAY_SECONDS
        week = 2.0 * np.pi * (seconds % (7 * DAY_SECONDS)) / (7 * DAY_SECONDS)
        swung: Floats = mean + by_day * np.sin(day) + by_week * np.sin(week)
        return swung

    return lambda rng, copies: Rate(rng, copies, chance)
