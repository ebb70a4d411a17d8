"""Series under quiet, and the golden snapshots of them: ``python -m tests.golden.quiet``, once a format.

The readings are the same on every machine.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.detectors.quiet import Family, Pool, QuietBank, Spec
from stream.detectors.quiet.records import FORMAT

DIRECTORY: Final = Path(__file__).parent

Values = NDArray[np.float64]

STEP_SECONDS: Final = 60.0
START: Final = 1_767_225_600.0


class Case(NamedTuple):
    """A series of *spec*: the rate at which it is 1, or the mean of its numbers, *before* and *after*."""

    spec: Spec
    only_rise: bool
    before: tuple[tuple[int, float], ...]
    after: tuple[tuple[int, float], ...]


_ERROR: Final = Spec(account="m", season=True)
_NUMBER: Final = Spec(family=Family.NUMBER, pool=Pool.DRIFT, account="m", season=True)

CASES: Final = {
    "a rate that is watched": Case(_ERROR, True, ((30_000, 0.15),), ((4_000, 0.25),)),  # noqa: FBT003 - a row
    "a rate in an incident": Case(_ERROR, True, ((30_000, 0.15), (1_500, 0.3)), ((12_000, 0.15),)),  # noqa: FBT003
    "a number that is watched": Case(_NUMBER, False, ((30_000, 0.0),), ((4_000, 0.8),)),  # noqa: FBT003
    "a number that is learned": Case(_NUMBER, False, ((300, 0.0),), ((30_000, 0.0), (4_000, 0.8))),  # noqa: FBT003
}


def readings(spec: Spec, parts: tuple[tuple[int, float], ...], start: int) -> Values:
    """Give readings by a congruential generator, which no version of anything changes."""
    n = sum(size for size, _ in parts)
    state = (start + np.arange(n, dtype=np.uint64)) * np.uint64(6_364_136_223_846_793_005)
    state ^= state >> np.uint64(29)
    state *= np.uint64(2_685_821_657_736_338_717)
    state ^= state >> np.uint64(32)
    uniform = (state >> np.uint64(11)).astype(np.float64) / 2.0**53
    level = np.repeat([level for _, level in parts], [size for size, _ in parts])
    if spec.family is Family.RATE:
        return np.asarray(uniform < level, np.float64)
    return np.asarray(uniform * 3.0 + level)


def show(bank: QuietBank, slot: int, values: Values, start: int) -> list[int]:
    """Show *values* to a series from reading *start* on; give the readings at which something was found."""
    times = START + STEP_SECONDS * (start + np.arange(len(values), dtype=np.float64))
    found = bank.update(np.full(len(values), slot), values, times)
    return [start + one.finding.index for one in found]


def snapshots() -> dict[str, bytes]:
    """Give the snapshot of each case as this version writes it."""
    made: dict[str, bytes] = {}
    for name, case in CASES.items():
        bank = QuietBank()
        slot = bank.add(only_rise=case.only_rise, spec=case.spec)
        show(bank, slot, readings(case.spec, case.before, 0), 0)
        made[name] = bank.snapshot(slot)
    return made


def main() -> None:
    """Write the snapshots."""
    path = DIRECTORY / f"quiet-format-{FORMAT}.msgpack.gz"
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(snapshots()), mtime=0))


if __name__ == "__main__":
    main()
