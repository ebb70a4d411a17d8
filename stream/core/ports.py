"""What the core asks of the outside: detectors, and the way back from their snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas.policy import Detectors, Policy
from stream.core.nouns import Finding, Readings


class Detector(Protocol):
    """Watches one series for a change, a batch of readings at a time.

    The findings do not depend on how the readings are cut into batches.
    """

    def update(self, readings: Readings) -> Sequence[Finding]:
        """Take *readings*: values, shape (n,), finite, and their event times, in the log's order.

        Raises ValueError where a value is not finite, before anything is taken.
        """

    def snapshot(self) -> bytes:
        """Give all there is to know of the detector, as bytes that :class:`DetectorFactory` restores."""


class DetectorFactory(Protocol):
    """Makes the detectors that a policy chooses."""

    def make(self, chosen: Detectors, *, only_rise: bool) -> Detector:
        """Make a new detector; with *only_rise* it stays silent about a fall."""

    def restore(self, chosen: Detectors, snapshot: bytes, *, only_rise: bool) -> Detector:
        """Make a detector that goes on where the one that gave *snapshot* stopped.

        Raises UnreadableRowError where the snapshot is damaged, foreign or of other settings.
        """


class Policies(Protocol):
    """Finds the policy of a model."""

    def of(self, model: str) -> Policy:
        """Give the policy of *model*: its own, or the default."""
