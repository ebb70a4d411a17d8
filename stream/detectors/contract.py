"""What an algorithm is made to look like inside this package: a finder of shifts in standardised readings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.core.errors import UnreadableRowError
from stream.detectors.cut import Cut
from stream.detectors.runs import Runs


class Shift(NamedTuple):
    """A shift found at *place* of a batch, by the readings since the detector's last shift.

    *latest* is their number; *rise* tells the direction where the detector knows it. The statistic
    is None where it is the difference between the means of the two parts that the readings fall into, the
    threshold where the detector gives it for the cut.
    """

    place: int
    latest: int
    rise: bool | None = None
    statistic: float | None = None
    threshold: float | None = None


class ShiftDetector(Protocol):
    """Finds shifts in the standardised values of one series; :class:`OneEach` makes a bank of them."""

    def threshold(self, cut: Cut) -> float:
        """Give what the statistic had to exceed when the readings fall into the parts of *cut*."""

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        """Take standardised, finite *values*, shape (n,), in the log's order; give the shifts among them."""

    def snapshot(self) -> bytes:
        """Give the state as bytes."""

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""


class ShiftBank(Protocol):
    """Finds shifts in the standardised values of many series, each in a slot of its own.

    Slots are numbered from 0; who uses a bank says how many there are and which of them begin and end.
    """

    name: str

    def grow(self, capacity: int) -> None:
        """Make room for slots below *capacity*."""

    def begin(self, slot: int, *, only_rise: bool) -> None:
        """Begin anew in *slot*; with *only_rise* a fall need not be found."""

    def end(self, slot: int) -> None:
        """Let go of what *slot* holds."""

    def update(self, runs: Runs, values: NDArray[np.float64]) -> list[Shift]:
        """Take *runs* of standardised, finite *values*, shape (n,); give the shifts by their place there.

        The shifts of one slot are in the order of their places.
        """

    def threshold(self, slot: int, cut: Cut) -> float:
        """Give what the statistic had to exceed in *slot* when the readings fall into the parts of *cut*."""

    def snapshot(self, slot: int) -> bytes:
        """Give the state of *slot* as bytes."""

    def restore(self, slot: int, snapshot: bytes) -> None:
        """Take the state of *slot*, which has begun, back; raises UnreadableRowError where it is damaged."""


@contextmanager
def restoring(name: str) -> Iterator[None]:
    """Turn whatever a damaged snapshot makes river do into an UnreadableRowError.

    River's Rust code panics on damaged bytes, and a panic is a BaseException.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        raise UnreadableRowError(f"{name}: {error}") from error
    except BaseException as panic:  # pyo3's PanicException has no name that could be imported
        raise UnreadableRowError(f"{name}: {panic}") from panic
