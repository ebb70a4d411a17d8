"""Detectors as the laboratory sees them: many copies of a model's series go in, alarms come out.

Every watcher is shown the same readings in the same chunks. ``quiet`` is the default detector and tells by
itself how long what it found lasts. For the others an episode lasts until a day has gone by without an alarm,
as an incident does. ``always`` and ``never`` are there to show that the measures work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.policy import Detectors
from stream.core.ports import Bank
from stream.detectors.quiet import Family, Pool, QuietBank, Spec
from stream.detectors.registry import Registry, parts_of
from stream.lab.families import Sort
from stream.lab.sources import DAY_SECONDS, Floats

RECOVERY_SECONDS: Final = DAY_SECONDS
"""An episode of a detector that only alarms is over after so long without an alarm: the policy's default."""

POLICY: Final = Detectors()
"""What a policy that says nothing of its detectors has."""

FALSE_ALARMS: Final = POLICY.false_alarms
"""False alarms that a model may raise in 30 days."""

_PARTS: Final = parts_of(POLICY.shares)

SHARE: Final = {
    Sort.ERROR: _PARTS[Pool.PERFORMANCE],
    Sort.NUMBER: _PARTS[Pool.DRIFT],
    Sort.QUALITY: _PARTS[Pool.QUALITY],
}
"""The part of a model's budget that series of each sort have together."""

Bools = NDArray[np.bool_]


class Alarms(NamedTuple):
    """What was raised in a chunk: shape (m,) each, in order of *place*, which is the reading in the chunk."""

    copy: NDArray[np.intp]
    series: NDArray[np.intp]
    place: NDArray[np.intp]


class Watching(Protocol):
    """Watches the same series of several copies of a model."""

    def take(self, values: Sequence[Floats], times: Floats) -> Alarms:
        """Take a chunk of each series, shape (copies, n), and its times, shape (n,), in seconds."""

    def open(self, now: float) -> Bools:
        """Tell what lasts at *now*, seconds since the epoch; shape (copies, series)."""


class Watcher(NamedTuple):
    """A detector by its key: *begin* makes it watch; *fits* says of which series it knows something.

    *declares* is the false alarms of a model in 30 days that it promises, None where it promises nothing.
    *readings* is how many it takes at most, where it is too slow for a long run.
    """

    key: str
    says: str
    begin: Callable[[Sequence[Sort], int], Watching]
    fits: frozenset[Sort] = frozenset(Sort)
    declares: float | None = None
    readings: int | None = None


class _Lasting:
    """How long alarms last of a detector that does not say: until a day has gone by without one."""

    def __init__(self, copies: int, series: int) -> None:
        self._latest = np.full((copies, series), -np.inf)

    def saw(self, alarms: Alarms, times: Floats) -> None:
        """Take what was raised."""
        self._latest[alarms.copy, alarms.series] = times[alarms.place]  # in order: the last one stays

    def open(self, now: float) -> Bools:
        """Tell what lasts at *now*."""
        return self._latest > now - RECOVERY_SECONDS


class OfQuiet:
    """The default detector, each copy with a budget of its own."""

    def __init__(self, sorts: Sequence[Sort], copies: int, false_alarms: float) -> None:
        self._bank = QuietBank(false_alarms=false_alarms, parts=_PARTS)
        specs = {
            Sort.ERROR: Spec(season=True),
            Sort.NUMBER: Spec(family=Family.NUMBER, pool=Pool.DRIFT),
            Sort.QUALITY: Spec(pool=Pool.QUALITY),
        }
        self._slots = np.empty((copies, len(sorts)), np.intp)
        where: dict[int, tuple[int, int]] = {}
        for copy in range(copies):
            for series, sort in enumerate(sorts):
                like = specs[sort]
                own = Spec(
                    family=like.family,
                    pool=like.pool,
                    account=str(copy),
                    season=like.season,
                    psi=like.psi,
                )
                slot = self._bank.add(only_rise=sort is not Sort.NUMBER, spec=own)
                self._slots[copy, series] = slot
                where[slot] = copy, series
        self._where = where

    def take(self, values: Sequence[Floats], times: Floats) -> Alarms:
        """Take a chunk of each series."""
        copies, n = values[0].shape
        slots = np.repeat(self._slots.T.ravel(), n)
        found = self._bank.update(
            slots, np.concatenate([one.ravel() for one in values]), np.tile(times, copies * len(values))
        )
        return _in_order([(*self._where[one.slot], one.finding.index % n) for one in found])

    def open(self, _now: float) -> Bools:
        """Tell what lasts."""
        lasts = [[self._bank.is_open(slot) for slot in row] for row in self._slots.tolist()]
        return np.array(lasts, np.bool_)


class OfBank:
    """A bank as policies choose it: what it watches does not know of budgets."""

    def __init__(self, bank: Bank, sorts: Sequence[Sort], copies: int) -> None:
        self._bank = bank
        self._slots = np.array(
            [[bank.add(only_rise=sort is not Sort.NUMBER) for sort in sorts] for _ in range(copies)], np.intp
        )
        self._where = {
            slot: (copy, series)
            for copy, row in enumerate(self._slots.tolist())
            for series, slot in enumerate(row)
        }
        self._lasting = _Lasting(copies, len(sorts))

    def take(self, values: Sequence[Floats], times: Floats) -> Alarms:
        """Take a chunk of each series."""
        copies, n = values[0].shape
        slots = np.repeat(self._slots.T.ravel(), n)
        found = self._bank.update(
            slots, np.concatenate([one.ravel() for one in values]), np.tile(times, copies * len(values))
        )
        alarms = _in_order([(*self._where[one.slot], one.finding.index % n) for one in found])
        self._lasting.saw(alarms, times)
        return alarms

    def open(self, now: float) -> Bools:
        """Tell what lasts at *now*."""
        return self._lasting.open(now)


class EveryTime:
    """Alarms at every reading, or at none."""

    def __init__(self, sorts: Sequence[Sort], copies: int, *, alarms: bool) -> None:
        self._shape = copies, len(sorts)
        self._alarms = alarms
        self._lasting = _Lasting(*self._shape)

    def take(self, values: Sequence[Floats], times: Floats) -> Alarms:
        """Take a chunk of each series."""
        copies, series = self._shape
        n = values[0].shape[1] if self._alarms else 0
        place, copy, of = np.meshgrid(np.arange(n), np.arange(copies), np.arange(series), indexing="ij")
        alarms = Alarms(copy.ravel(), of.ravel(), place.ravel())
        self._lasting.saw(alarms, times)
        return alarms

    def open(self, now: float) -> Bools:
        """Tell what lasts at *now*."""
        return self._lasting.open(now)


def _in_order(found: list[tuple[int, int, int]]) -> Alarms:
    ordered = sorted(found, key=lambda one: one[2])
    columns = np.array(ordered, np.intp).reshape(-1, 3).T
    return Alarms(columns[0], columns[1], columns[2])


def lasting(copies: int, series: int) -> _Lasting:
    """Give what remembers how long the alarms of a detector last that does not say."""
    return _Lasting(copies, series)


def quiet(false_alarms: float) -> Watcher:
    """Give the default detector with a budget of so many false alarms per model in 30 days."""
    return Watcher(
        key=f"quiet F={false_alarms:g}",
        says=f"the quiet detector with a budget of {false_alarms:g} false alarms per model in 30 days",
        begin=lambda sorts, copies: OfQuiet(sorts, copies, false_alarms),
        declares=false_alarms,
    )


def standardised(name: str, says: str) -> Watcher:
    """Give a detector that a policy can choose, on readings measured against their warm-up."""

    def begin(sorts: Sequence[Sort], copies: int) -> Watching:
        return OfBank(Registry().bank(Detectors(use=(name,))), sorts, copies)

    return Watcher(key=f"{name} (policy)", says=says, begin=begin)


ALWAYS: Final = Watcher(
    key="always fires",
    says="alarms at every reading",
    begin=lambda sorts, copies: EveryTime(sorts, copies, alarms=True),
)
NEVER: Final = Watcher(
    key="never fires",
    says="never alarms",
    begin=lambda sorts, copies: EveryTime(sorts, copies, alarms=False),
)
