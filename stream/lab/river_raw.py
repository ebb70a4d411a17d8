"""River's detectors as users would use them: made with defaults, shown one raw reading after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import numpy as np
from river import drift

from stream.lab.families import Sort
from stream.lab.sources import Floats
from stream.lab.watchers import Alarms, Bools, Watcher, Watching, lasting

_ERRORS: Final = frozenset({Sort.ERROR, Sort.QUALITY})

_SLOW: Final = 8_640
"""Readings of all copies that KSWIN is shown: one takes it half a millisecond."""

_MODERATE: Final = 600_000
"""Readings of all copies that the others are shown: one takes them 0.5 to 5 microseconds."""


class _Detector(Protocol):
    """What river's detectors have in common, those of 0 and 1 and those of numbers."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: Any) -> None: ...  # noqa: ANN401 - numbers of some, truth values of others


MAKERS: Final[dict[str, Callable[[], _Detector]]] = {
    "ADWIN": drift.ADWIN,
    "Page-Hinkley": drift.PageHinkley,
    "DDM": drift.binary.DDM,
    "HDDM_A": drift.binary.HDDMA,
    "HDDM_W": drift.binary.HDDMW,
    "FHDDM": drift.binary.FHDDM,
    "KSWIN": lambda: drift.KSWIN(seed=0),
}


class OfRiver:
    """One of river's detectors for each series of each copy."""

    def __init__(self, make: Callable[[], _Detector], sorts: Sequence[Sort], copies: int) -> None:
        self._detectors = [[make() for _ in sorts] for _ in range(copies)]
        self._lasting = lasting(copies, len(sorts))

    def take(self, values: Sequence[Floats], times: Floats) -> Alarms:
        """Take a chunk of each series."""
        found: list[tuple[int, int, int]] = []
        for copy, row in enumerate(self._detectors):
            for series, detector in enumerate(row):
                for place, value in enumerate(values[series][copy].tolist()):
                    detector.update(value)
                    if detector.drift_detected:
                        found.append((place, copy, series))
        columns = np.array(sorted(found), np.intp).reshape(-1, 3).T
        alarms = Alarms(columns[1], columns[2], columns[0])
        self._lasting.saw(alarms, times)
        return alarms

    def open(self, now: float) -> Bools:
        """Tell what lasts at *now*."""
        return self._lasting.open(now)


def river(name: str) -> Watcher:
    """Give one of river's detectors by its name in :data:`MAKERS`."""
    make = MAKERS[name]

    def begin(sorts: Sequence[Sort], copies: int) -> Watching:
        return OfRiver(make, sorts, copies)

    takes_numbers = name in {"ADWIN", "Page-Hinkley", "KSWIN"}
    return Watcher(
        key=f"river {name}",
        says=f"river's {name} with its defaults on each raw reading",
        begin=begin,
        fits=frozenset(Sort) if takes_numbers else _ERRORS,
        readings=_SLOW if name == "KSWIN" else _MODERATE,
    )
