"""The detectors by name, as a policy chooses them. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from schemas.policy import Detectors
from stream.detectors.adwin import Adwin
from stream.detectors.contract import ShiftDetector
from stream.detectors.page_hinkley import PageHinkley
from stream.detectors.standardised import Standardised

Make = Callable[[Detectors, bool], ShiftDetector]

DETECTORS: Mapping[str, Make] = {
    "adwin": lambda chosen, _only_rise: Adwin(chosen.adwin),
    "page_hinkley": lambda chosen, only_rise: PageHinkley(chosen.page_hinkley, only_rise=only_rise),
}

_encode = msgspec.json.Encoder().encode


class Registry:
    """Makes the detectors that a policy chooses, new or from a snapshot."""

    def make(self, chosen: Detectors, *, only_rise: bool) -> Standardised:
        """Make a new detector; with *only_rise* it stays silent about a fall."""
        return Standardised(
            [DETECTORS[name](chosen, only_rise) for name in chosen.use],
            warm_up=chosen.warm_up,
            only_rise=only_rise,
            settings=_encode(chosen).decode(),
        )

    def restore(self, chosen: Detectors, snapshot: bytes, *, only_rise: bool) -> Standardised:
        """Make a detector that goes on where the one that gave *snapshot* stopped.

        Raises UnreadableRowError where the snapshot is damaged, foreign or of other settings.
        """
        detector = self.make(chosen, only_rise=only_rise)
        detector.restore(snapshot)
        return detector
