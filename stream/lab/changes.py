"""The streams in which something changes, and when; a change falls anywhere in a block of readings.

Abrupt changes stay. Of the others, *gradual* is old and new in turns of ever longer runs of the new,
*incremental* a slow ramp, *recurring* a day of the new in every three, and *burst* a change that heals by
itself within hours.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.lab.families import Sort
from stream.lab.sources import DAY_READINGS, Floats, Moved, Places, Rate, Source

LEAD: Final = 10 * DAY_READINGS
"""Readings before the earliest change: ten days, longer than any detector here learns."""

JITTER: Final = 4_096
"""A change comes up to so many readings later, another number in each copy."""

PATIENCE: Final = 10_000
"""Readings for which an abrupt change may go unseen until it counts as missed."""

_TURN: Final = 200
_SPAN: Final = 5 * DAY_READINGS
_RAMP: Final = 10 * DAY_READINGS
_RECUR: Final = 3 * DAY_READINGS
_BURST: Final = DAY_READINGS // 12


class Step(NamedTuple):
    """An abrupt change: a rate from *before* to *after*, or the (mean, spread) of normal numbers."""

    before: float | tuple[float, float]
    after: float | tuple[float, float]

    @property
    def sort(self) -> Sort:
        """What kind of series changes."""
        return Sort.ERROR if isinstance(self.before, float) else Sort.NUMBER


class Shape(NamedTuple):
    """A change of an error rate that is not abrupt and for good; *readings* is how long it is watched."""

    before: float
    after: float
    readings: int


STEPS: Final = {
    "error .05 -> .08": Step(0.05, 0.08),
    "error .2 -> .3": Step(0.2, 0.3),
    "error .2 -> .25": Step(0.2, 0.25),
    "mean 0 -> .5 sd": Step((0.0, 1.0), (0.5, 1.0)),
    "mean 0 -> 1 sd": Step((0.0, 1.0), (1.0, 1.0)),
    "spread 1 -> 1.5": Step((0.0, 1.0), (0.0, 1.5)),
}

SHAPES: Final = {
    "gradual": Shape(0.2, 0.3, 2 * _SPAN),
    "incremental": Shape(0.2, 0.3, _RAMP + _SPAN),
    "recurring": Shape(0.2, 0.3, 5 * _RECUR),
    "burst that heals": Shape(0.2, 0.5, _SPAN),
}


def onsets(rng: np.random.Generator, copies: int) -> Places:
    """Give the reading at which each copy begins to change, shape (copies,)."""
    return LEAD + rng.integers(0, JITTER, copies).astype(np.intp)


def stepping(step: Step, rng: np.random.Generator, at: Places) -> Source:
    """Give a source whose copies change for good at *at*."""
    before, after = step.before, step.after
    if isinstance(before, float):
        return Rate(rng, len(at), lambda place: np.where(place >= at[:, None], after, before))
    old, new = np.array(before), np.array(after)

    def moments(place: Places) -> tuple[Floats, Floats]:
        changed = place >= at[:, None]
        return np.where(changed, new[0], old[0]), np.where(changed, new[1], old[1])

    return Moved(rng, len(at), moments)


def shaped(name: str, rng: np.random.Generator, at: Places) -> Source:
    """Give a source whose copies change as the shape *name* says, from *at* on."""
    shape = SHAPES[name]

    def chance(place: Places) -> Floats:
        part = strength(name, place - at[:, None])
        return shape.before + (shape.after - shape.before) * part

    return Rate(rng, len(at), chance)


def strength(name: str, since: NDArray[np.intp]) -> Floats:
    """Give how much of the change *name* is there *since* readings after its onset: 0 is none, 1 all."""
    if name == "gradual":
        grown = np.clip(since / _SPAN, 0.0, 1.0)
        return ((since >= 0) & (since % _TURN < grown * _TURN)).astype(np.float64)
    if name == "incremental":
        return np.clip(since / _RAMP, 0.0, 1.0)
    if name == "recurring":
        return ((since >= 0) & (since % _RECUR < DAY_READINGS)).astype(np.float64)
    if name == "burst that heals":
        return ((since >= 0) & (since < _BURST)).astype(np.float64)
    raise ValueError(f"no change is called {name!r}: {', '.join(SHAPES)} are")
