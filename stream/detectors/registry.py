"""The detectors by name, as a policy chooses them. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from schemas.policy import Detectors
from stream.detectors.adwin import Adwin
from stream.detectors.contract import ShiftBank
from stream.detectors.page_hinkley import PageHinkley
from stream.detectors.standardised import Standardised

Make = Callable[[Detectors], ShiftBank]

DETECTORS: Mapping[str, Make] = {
    "adwin": lambda chosen: Adwin(chosen.adwin),
    "page_hinkley": lambda chosen: PageHinkley(chosen.page_hinkley),
}

_encode = msgspec.json.Encoder().encode


class Registry:
    """Makes banks of the detectors that a policy chooses."""

    def bank(self, chosen: Detectors) -> Standardised:
        """Make a new bank, without any series."""
        return Standardised(
            [DETECTORS[name](chosen) for name in chosen.use],
            warm_up=chosen.warm_up,
            settings=_encode(chosen).decode(),
        )
