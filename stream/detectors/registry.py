"""The detectors by name, as a policy chooses them. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from schemas.policy import Detectors, Shares, Shown
from stream.detectors.adwin import Adwin
from stream.detectors.budgeted import Budgeted
from stream.detectors.contract import ShiftBank
from stream.detectors.kswin import Kswin
from stream.detectors.one_each import OneEach
from stream.detectors.page_hinkley import PageHinkley
from stream.detectors.quiet import Pool, QuietBank
from stream.detectors.rivers import ddm, fhddm, hddm
from stream.detectors.standardised import Standardised

Make = Callable[[Detectors], ShiftBank]

QUIET: Final = "quiet"
"""Watches alone, by a budget of false alarms; the others are shown standardised readings, side by side."""

DETECTORS: Mapping[str, Make] = {
    "adwin": lambda chosen: Adwin(chosen.adwin),
    "page_hinkley": lambda chosen: PageHinkley(chosen.page_hinkley),
    "ddm": ddm,
    "hddm": hddm,
    "fhddm": fhddm,
    "kswin": lambda chosen: OneEach("kswin", lambda _only_rise: Kswin(chosen.kswin)),
}

_encode = msgspec.json.Encoder().encode


class Registry:
    """Makes banks of the detectors that a policy chooses."""

    def bank(self, chosen: Detectors) -> Standardised | Budgeted:
        """Make a new bank, without any series."""
        if chosen.use == (QUIET,):
            return Budgeted(QuietBank(false_alarms=chosen.false_alarms, parts=parts_of(chosen.shares)))
        return Standardised(
            [DETECTORS[name](chosen) for name in chosen.use],
            warm_up=chosen.warm_up,
            settings=settings_of(chosen),
            raw=chosen.shown is Shown.RAW,
        )


def parts_of(shares: Shares) -> dict[Pool, float]:
    """Give what each pool of series has of a model's budget."""
    return {
        Pool.PERFORMANCE: shares.performance,
        Pool.SEGMENT: shares.performance * shares.segments,
        Pool.OUTPUT: shares.outputs,
        Pool.DRIFT: shares.features,
        Pool.QUALITY: shares.data_quality,
        Pool.USAGE: shares.usage,
        Pool.FEEDBACK: shares.feedback,
    }


def settings_of(chosen: Detectors) -> str:
    """Name what the detectors of a policy are made with; a snapshot of other settings is not restored.

    Those of ADWIN and Page-Hinkley have been there from the start, and stand there always.
    """
    names = dict.fromkeys(("adwin", "page_hinkley", *chosen.use))
    own = {name: getattr(chosen, name) for name in names if hasattr(chosen, name)}
    if chosen.shown is not Shown.STANDARDISED:
        own["shown"] = chosen.shown
    return _encode({"use": chosen.use, "warm_up": chosen.warm_up, **own}).decode()
