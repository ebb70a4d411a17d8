"""Series of the budgeted bank; ``python -m tests.golden.budgeted`` writes golden snapshots, once a format."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Kind
from stream.core.nouns import SeriesKey, SeriesSpec
from stream.detectors.budgeted import Budgeted
from stream.detectors.quiet import QuietBank
from stream.detectors.quiet.records import FORMAT

DIRECTORY: Final = Path(__file__).parent
READINGS, HALF, MOVED = 12_000, 8_000, 7_000
STEP_SECONDS: Final = 120.0
BEGAN: Final = 1_700_000_000.0

ERROR, CALM, QUANTITY, AMOUNT, YOUNG = range(5)
"""A rate that moves before half, one that moves behind it, an error of quantities, a number; a series that
is held at half, as its form is not known yet."""

_SPECS: Final = (
    ("error", Kind.PERFORMANCE, True),
    ("missing:a", Kind.DATA_QUALITY, True),
    ("error", Kind.PERFORMANCE, True),
    ("feature:a", Kind.DRIFT, False),
    ("feature:young", Kind.DRIFT, False),
)


def bank() -> tuple[Budgeted, list[int]]:
    """Make a bank of the series, each of a model of its own, as no readings were shown to it; its slots."""
    made = Budgeted(QuietBank())
    slots = []
    for number, (signal, kind, only_rise) in enumerate(_SPECS):
        spec = SeriesSpec(key=SeriesKey(f"m{number}", "1", "", signal), kind=kind, only_rise=only_rise)
        slots.append(made.add(only_rise=only_rise, spec=spec))
    return made, slots


def only_rise(number: int) -> bool:
    """Tell which way a series alarms."""
    return _SPECS[number][2]


def readings(number: int) -> NDArray[np.float64]:
    """Give all readings of a series."""
    rng = np.random.default_rng(number)
    place = np.arange(READINGS)
    if number == ERROR:
        return (rng.random(READINGS) < np.where(place < MOVED, 0.1, 0.4)).astype(np.float64)
    if number == CALM:
        return (rng.random(READINGS) < np.where(place < MOVED + 2_000, 0.05, 0.3)).astype(np.float64)
    values = rng.normal(size=READINGS) + np.where(place < MOVED + 2_000, 0.0, 3.0)
    if number == QUANTITY:
        return np.abs(values)
    return values


def show(made: Budgeted, slots: Sequence[int], start: int, stop: int) -> list[tuple[object, ...]]:
    """Show the readings from *start* to *stop* of all series; give what was found."""
    said: list[tuple[object, ...]] = []
    for number, slot in enumerate(slots):
        own = readings(number)[start:stop]
        if number == YOUNG:
            own = readings(number)[: max(0, stop - HALF + 100)][-(stop - start) :]
            own = own[: 100 if stop == HALF else None]
        times = BEGAN + STEP_SECONDS * np.arange(start, start + len(own), dtype=np.float64)
        found = made.update(np.full(len(own), slot), own, times)
        said += [(number, type(one.finding).__name__, one.finding) for one in found]
    return said


def main() -> None:
    """Show half of the readings; write the snapshots."""
    made, slots = bank()
    show(made, slots, 0, HALF)
    rows = [made.snapshot(slot) for slot in slots]
    path = DIRECTORY / f"budgeted-format-{FORMAT}.msgpack.gz"
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(rows), mtime=0))


if __name__ == "__main__":
    main()
