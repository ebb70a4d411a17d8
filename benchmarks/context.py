"""What a measure is given: where to work, how much, and on which broker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.processes import Failed

Figures = Mapping[str, float]
"""What one run of a measure found, by name with its unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much each measure does; *is_full* tells whether the large targets are measured at their size."""

    worker: int
    bare: int
    faust: int
    quix: int
    latency_seconds: float
    pending: int
    versions: int
    readings: int
    is_full: bool


FULL = Sizes(
    worker=200_000,
    bare=100_000,
    faust=15_000,
    quix=40_000,
    latency_seconds=15.0,
    pending=1_000_000,
    versions=1_000,
    readings=300,
    is_full=True,
)
QUICK = Sizes(
    worker=50_000,
    bare=40_000,
    faust=6_000,
    quix=15_000,
    latency_seconds=5.0,
    pending=100_000,
    versions=100,
    readings=300,
    is_full=False,
)


@dataclass(kw_only=True, slots=True)
class Context:
    """One broker (or none) in one round; *found* keeps the figures of all rounds by measure and broker."""

    directory: Path
    sizes: Sizes
    broker: str
    bootstrap: str
    round: int
    cores: set[int]
    found: dict[tuple[str, str], list[Figures]] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Give a file name of this broker and round."""
        return self.directory / f"{self.broker}-{self.round}-{name}"

    def prefix(self, name: str) -> str:
        """Give a prefix of topics that no other run has."""
        return f"{name}-{self.round}."

    def so_far(self, measure: str, figure: str) -> float:
        """Give the median that another measure has found on this broker; Failed where there is none."""
        values = [figures[figure] for figures in self.found.get((measure, self.broker), ())]
        if not values:
            raise Failed(f"needs the measure {measure} before it")
        return median(values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Something that is run once a round: on every broker, or without one; at most *rounds* times."""

    name: str
    run: Callable[[Context], Figures]
    on_broker: bool = True
    rounds: int = 1_000
    is_large: bool = False
