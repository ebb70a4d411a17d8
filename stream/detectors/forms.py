"""Forms: what the first readings of a series show it to be, and how quiet is shown those that follow.

A reading x is shown as (x - low) / unit. What quiet says of a rate or a loss is put back into the units of
the series; numbers are shown as they are.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.baselines import PublishedBaseline
from stream.core.nouns import SeriesSpec
from stream.detectors.quiet import Family, Pool, Spec
from stream.detectors.runs import grown

Values = NDArray[np.float64]

LARGEST: Final = 1e150
"""What a larger reading counts as: what is read off it must stay finite."""

LOSS_QUANTILE: Final = 0.9
LOSS_UNITS: Final = 4.0
"""An error counts as 1 from four times the 90 % quantile of the first ones on: of the absolute value of
normal errors none is so large, of heavy tails few are, and those say no more than that they are large."""

OUTPUT_PSI: Final = 0.05
PSI: Final = 0.10
"""Least population stability index that counts as a change; by custom .10 is small and .25 is large."""

_POOLS: Final = {
    Kind.PERFORMANCE: Pool.PERFORMANCE,
    Kind.DRIFT: Pool.OUTPUT,
    Kind.DATA_QUALITY: Pool.QUALITY,
    Kind.USAGE: Pool.USAGE,
    Kind.FEEDBACK: Pool.FEEDBACK,
}

_SEASONAL: Final = {Pool.PERFORMANCE, Pool.SEGMENT, Pool.OUTPUT, Pool.DRIFT, Pool.FEEDBACK}
"""Pools whose series follow the day and the week; a fault that does so is a fault all the same."""


class Nature(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What is known of a series before its first reading: whose budget it draws on, whether it is 0 and 1."""

    account: str = ""
    pool: Pool = Pool.OUTPUT
    is_rate: bool = False
    only_rise: bool = False


class Form(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """How the readings of a series are shown to quiet.

    With *differs* a reading is shown as whether it is another number than *low*.
    """

    family: Family
    low: float = 0.0
    unit: float = 1.0
    differs: bool = False


def nature_of(spec: SeriesSpec | None, *, only_rise: bool) -> Nature:
    """Say what is known of a series; of one without a *spec* next to nothing is."""
    if spec is None:
        return Nature(only_rise=only_rise)
    pool = _POOLS.get(spec.kind, Pool.QUALITY)
    if spec.kind is Kind.DRIFT and spec.key.signal.startswith("feature:"):
        pool = Pool.DRIFT
    if spec.kind is Kind.PERFORMANCE and spec.key.segment:
        pool = Pool.SEGMENT
    signal = spec.key.signal
    is_rate = pool is Pool.QUALITY or signal == "thumbs_down" or signal.startswith("output:")
    return Nature(account=spec.key.model, pool=pool, is_rate=is_rate, only_rise=only_rise)


def form_of(values: NDArray[np.float64], nature: Nature) -> Form:
    """Say how a series is shown whose first readings are *values*, shape (n,).

    What tells 0 from 1 is a rate, and so is what was one of two numbers, or always the same one: then a rate
    of those that differ. An error of quantities, of which only rises count, is a bounded loss. All else are
    numbers.
    """
    seen = np.unique(values).tolist()
    if nature.is_rate or (nature.only_rise and set(seen) <= {0.0, 1.0}):
        return Form(family=Family.RATE)
    if nature.only_rise:
        usual = float(np.sort(np.abs(values))[int(LOSS_QUANTILE * len(values))])
        return Form(family=Family.LOSS, unit=LOSS_UNITS * usual or max(map(abs, seen)) or 1.0)
    if len(seen) == 1:
        return Form(family=Family.RATE, low=seen[0], differs=True)
    if len(seen) == 2:
        return Form(family=Family.RATE, low=seen[0], unit=max(seen[1] - seen[0], np.finfo(np.float64).tiny))
    return Form(family=Family.NUMBER)


def form_given(baseline: PublishedBaseline) -> Form:
    """Say how a series is shown that begins with a published baseline."""
    return Form(
        family=Family(baseline.counted.value), low=baseline.low, unit=baseline.unit, differs=baseline.differs
    )


def spec_of(nature: Nature, form: Form) -> Spec:
    """Say what quiet has to know of the series."""
    return Spec(
        family=form.family,
        pool=nature.pool,
        account=nature.account,
        season=nature.pool in _SEASONAL,
        psi=OUTPUT_PSI if nature.pool is Pool.OUTPUT else PSI,
    )


class Shown:
    """How quiet is shown the readings of every slot: most as they are."""

    def __init__(self) -> None:
        self._low: Values = np.zeros(0)
        self._unit: Values = np.zeros(0)
        self._differs = np.zeros(0, dtype=np.bool_)
        self._is_scaled = np.zeros(0, dtype=np.bool_)

    def grow(self, capacity: int) -> None:
        """Make room for so many slots."""
        self._low, self._unit = grown(self._low, capacity), grown(self._unit, capacity)
        self._differs, self._is_scaled = grown(self._differs, capacity), grown(self._is_scaled, capacity)

    def give(self, slot: int, form: Form) -> None:
        """Let the readings of *slot* be shown as its *form* says."""
        self._low[slot], self._unit[slot], self._differs[slot] = form.low, form.unit, form.differs
        self._is_scaled[slot] = (form.low, form.unit, form.differs) != (0.0, 1.0, False)

    def of(self, slots: NDArray[np.intp], values: Values) -> Values:
        """Give *values*, shape (n,), as quiet is shown them, none beyond LARGEST."""
        if not self._is_scaled.any():
            return values
        own = np.flatnonzero(self._is_scaled[slots])
        slots, shown, values = slots[own], values.copy(), values[own]
        low = self._low[slots]
        with np.errstate(over="ignore"):  # two numbers may be as near as there are any, and a third far off
            scaled = np.clip((values - low) / self._unit[slots], -LARGEST, LARGEST)
        shown[own] = np.where(self._differs[slots], values != low, scaled)
        return shown
