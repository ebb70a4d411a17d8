"""Makers of banks for the checks to try, and the readings that they are tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.policy import Detectors
from stream.core.nouns import Finding, Readings
from stream.core.ports import Bank
from stream.detectors.registry import DETECTORS, Registry
from tests.checks import rivers_own

WARM_UP: Final = 200
"""Readings before which no detector of a maker speaks."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class OneSeries:
    """A series in a bank, as if it were alone there."""

    bank: Bank
    slot: int

    def update(self, readings: Readings) -> list[Finding]:
        """Give what is found in *readings*, by its place in them."""
        slots = np.full(len(readings), self.slot)
        found = self.bank.update(slots, readings.values, readings.times)
        assert all(one.slot == self.slot for one in found)
        return [one.finding for one in found if isinstance(one.finding, Finding)]

    def snapshot(self) -> bytes:
        return self.bank.snapshot(self.slot)


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes banks of one choice of detectors, and series in a bank of their own, new or from a snapshot."""

    name: str
    make_bank: Callable[[Detectors], Bank]
    chosen: Detectors
    only_rise: bool

    def many(self, readings: int) -> int:
        """Give how many readings to take where it takes many: a tenth where each is a call of Python's."""
        return readings if {*self.chosen.use} <= {"adwin", "page_hinkley"} else readings // 10

    def bank(self) -> Bank:
        return self.make_bank(self.chosen)

    def make(self) -> OneSeries:
        bank = self.bank()
        return OneSeries(bank, bank.add(only_rise=self.only_rise))

    def restore(self, snapshot: bytes) -> OneSeries:
        bank = self.bank()
        return OneSeries(bank, bank.restore(snapshot, only_rise=self.only_rise))


def _makers() -> Iterator[Maker]:
    kinds: Sequence[tuple[str, Callable[[Detectors], Bank]]] = (
        ("", Registry().bank),
        ("rivers_own:", rivers_own.bank),
    )
    for use in (*((name,) for name in DETECTORS), ("adwin", "page_hinkley")):
        chosen = Detectors(use=use, warm_up=WARM_UP)
        for kind, make_bank in kinds:
            if kind and not set(use) <= set(rivers_own.BANKS):
                continue
            name = kind + "+".join(use)
            yield Maker(name=name, make_bank=make_bank, chosen=chosen, only_rise=False)
            yield Maker(name=f"{name}:only_rise", make_bank=make_bank, chosen=chosen, only_rise=True)


MAKERS: Final = tuple(_makers())


def readings_of(values: Values, start: float = 0.0) -> Readings:
    """Give one reading a second."""
    return Readings(values=values, times=start + np.arange(len(values), dtype=np.float64))


def normal(seed: int, *parts: tuple[int, float], spread: float = 1.0) -> Values:
    """Give noise around each mean in turn: *parts* are numbers of readings and their mean."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, spread, size) for size, mean in parts])


RISE_AND_FALL: Final = readings_of(normal(1, (1_500, 0.0), (700, 2.0), (900, -1.0), (600, 4.0), (30, -4.0)))
RISE: Final = normal(2, (2_000, 100.0), (1_000, 103.0))
FALL: Final = normal(3, (2_000, 100.0), (1_000, 97.0))
