"""The oracle: a CUSUM that knows what is before a change and what is after, with the same budget of alarms.

No detector that has the same false alarms finds the change sooner in the worst case (Lorden, 1971;
Moustakides, 1986): what a detector that has to learn is late, is late against this. The statistic is
W' = max(0, W + l(x)) with l the log-likelihood ratio of a reading; it begins at 0 when the change comes,
which is its worst case.

The threshold is the one at which the mean time between false alarms is what the budget buys (Brook and
Evans, 1972): W is put on a grid, and the run length solves (I - Q) t = 1 for Q the chances to go from state
to state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from stream.lab.changes import Step
from stream.lab.sources import Floats

_STATES: Final = 400
_HALVINGS: Final = 26
_LARGEST: Final = 40.0


def level(step: Step, run_length: float) -> float:
    """Give the threshold at which the CUSUM of *step* alarms falsely once in *run_length* readings."""
    low, high = 0.5, _LARGEST
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        too_long = _run_length(step, middle) > run_length
        low, high = (low, middle) if too_long else (middle, high)
    return high


def ratios(step: Step, values: Floats) -> Floats:
    """Give the log-likelihood ratio of each of *values*."""
    before, after = step.before, step.after
    if isinstance(before, float) and isinstance(after, float):
        return np.where(values > 0.0, math.log(after / before), math.log((1.0 - after) / (1.0 - before)))
    (mean, spread), (other_mean, other_spread) = _moments(before), _moments(after)
    old, new = (values - mean) / spread, (values - other_mean) / other_spread
    result: Floats = 0.5 * (old * old - new * new) + math.log(spread / other_spread)
    return result


def delays(step: Step, values: Floats, threshold: float) -> Floats:
    """Give after how many of *values*, shape (copies, n) from the change on, it alarms; inf is never."""
    path = np.cumsum(ratios(step, values), 1)
    above = path - np.minimum(np.minimum.accumulate(path, 1), 0.0) >= threshold
    return np.where(above.any(1), above.argmax(1) + 1.0, np.inf)


def _run_length(step: Step, threshold: float) -> float:
    if isinstance(step.before, float):
        system = _of_two_steps(step, threshold)
    else:
        system = _of_density(step, threshold)
    return float(np.linalg.solve(system, np.ones(len(system)))[0])


def _of_two_steps(step: Step, threshold: float) -> Floats:
    """Give I - Q where a reading is 0 or 1: a step that ends between two states is split between them."""
    width = threshold / _STATES
    states = (np.arange(_STATES) + 0.5) * width
    states[0] = 0.0
    system = np.eye(_STATES)
    rows = np.arange(_STATES)
    up, down = ratios(step, np.array((1.0, 0.0)))
    before = _chance(step.before)
    for size, chance in ((up, before), (down, 1.0 - before)):
        to = states + size
        stays = to < threshold
        grid = np.clip(to / width - 0.5, 0, _STATES - 1)
        floor = np.where(to <= 0, 0, np.floor(grid)).astype(np.intp)
        part = np.where(to <= 0, 0.0, grid - floor)
        np.add.at(system, (rows[stays], floor[stays]), -chance * (1.0 - part[stays]))
        np.add.at(system, (rows[stays], np.minimum(floor + 1, _STATES - 1)[stays]), -chance * part[stays])
    return system


def _of_density(step: Step, threshold: float) -> Floats:
    """Give I - Q where a reading is normal: the chances to end in a state's cell, from another's middle."""
    width = threshold / (_STATES - 0.5)
    below = _below(step)
    # State 0 is the point 0 and all that falls under half a cell; state j is the cell around j * width.
    edges = np.array([below((k + 0.5) * width) for k in range(-_STATES, _STATES)])
    states = np.arange(_STATES)
    upper = edges[states[None, :] - states[:, None] + _STATES]
    chances = np.diff(upper, axis=1, prepend=0.0)
    system: Floats = np.eye(_STATES) - chances
    return system


def _below(step: Step) -> Callable[[float], float]:
    """Give the distribution of the log-likelihood ratio while nothing has changed."""
    (mean, spread), (other_mean, other_spread) = _moments(step.before), _moments(step.after)
    if spread == other_spread:
        gap = (other_mean - mean) / spread
        centre, width = -0.5 * gap * gap, abs(gap)
        return lambda size: 0.5 * math.erfc(-(size - centre) / width / math.sqrt(2.0))
    if mean != other_mean:
        raise ValueError("the oracle knows a change of the mean or of the spread, not of both at once")
    offset = math.log(spread / other_spread)
    factor = 0.5 * (1.0 - (spread / other_spread) ** 2)

    def of_square(size: float) -> float:
        scaled = (size - offset) / factor
        inside = math.erf(math.sqrt(max(scaled, 0.0) / 2.0))
        return inside if factor > 0.0 else 1.0 - inside

    return of_square


def _moments(of: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(of, float):
        raise TypeError("a rate has no mean and spread of its own")
    return of


def _chance(of: float | tuple[float, float]) -> float:
    if isinstance(of, float):
        return of
    raise TypeError("normal numbers have no rate")
