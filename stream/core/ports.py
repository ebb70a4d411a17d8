"""What the core asks of the outside: banks of detectors, and policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.baselines import PublishedBaseline
from schemas.policy import Detectors, Policy
from stream.core.nouns import Baseline, Explanation, Finding, Healed, SeriesKey, SeriesSpec


class Found(NamedTuple):
    """What was found and the slot of its series; its index is its place in what the bank was given."""

    slot: int
    finding: Finding | Healed


class Bank(Protocol):
    """Watches many series for a change, each in a slot of its own.

    What is found in a series depends on its own readings, and on the series with which it shares a budget of
    false alarms: not on how the log is cut into batches, nor on what else is in a batch.
    """

    def add(self, *, only_rise: bool, spec: SeriesSpec | None = None) -> int:
        """Take a new series; give its slot. With *only_rise* it stays silent about a fall.

        *spec* says what it is, for a bank to which that makes a difference.
        """

    def drop(self, slot: int) -> None:
        """Forget the series of *slot*, which another one may get.

        Raises IndexError where no series has it.
        """

    def update(
        self,
        slots: NDArray[np.intp],
        values: NDArray[np.float64],
        times: NDArray[np.float64],
        order: NDArray[np.int64] | None = None,
    ) -> Sequence[Found]:
        """Take readings: slots, values and event times in seconds since the epoch, all of shape (n,).

        *order*, of that shape too, are the numbers in the log of the events behind the readings, for a bank
        in which one series makes a difference to another; without it they came as they stand. The readings of
        one slot stand in the log's order; those of several may be mixed. Gives what was found
        in the order of the readings. Before anything is taken it raises ValueError where a value or a time is
        not finite, and IndexError where no series has a slot.
        """

    def snapshot(self, slot: int) -> bytes:
        """Give all there is to know of *slot*, as bytes that :meth:`restore` takes."""

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        """Take a series that goes on where the one that gave *snapshot* stopped; give its slot.

        Raises UnreadableRowError where the snapshot is damaged, foreign or of other settings.
        """

    def explain(self, slot: int) -> Explanation:
        """Say how the series of *slot* is watched now."""

    def baseline(self, slot: int) -> Baseline | None:
        """Give what the series of *slot* is compared with; None while there is nothing yet."""

    def accept(self, slot: int) -> bool:
        """Take what the series of *slot* is like since it changed for normal, or learn that anew from here.

        False, and nothing is done, where the bank knows of no change that is still there.
        """

    def relearn(self, slot: int) -> None:
        """Forget what is normal for the series of *slot*, and learn it from here on."""

    def published(self, slot: int, key: SeriesKey) -> PublishedBaseline | None:
        """Give the baseline of *slot*, the series *key*, to be published; None where there is none yet."""

    def take(self, slot: int, baseline: PublishedBaseline) -> bool:
        """Let the series of *slot* go on with a published baseline; False where that does not fit it."""

    def freeze(self, slot: int) -> None:
        """Let the baseline of *slot* grow no more, whatever is read, until there is another one."""


class DetectorFactory(Protocol):
    """Makes banks of the detectors that a policy chooses."""

    def bank(self, chosen: Detectors) -> Bank:
        """Make a new bank, without any series."""


class Policies(Protocol):
    """Finds the policy of a model."""

    def of(self, model: str) -> Policy:
        """Give the policy of *model*: its own, or the default."""
