"""River's own detectors, reading by reading, in a bank with one for each series: what ours are held to."""

from __future__ import annotations

import pickle
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import drift

from schemas.policy import Adwin, Detectors, PageHinkley
from stream.detectors import adwin
from stream.detectors.contract import Shift, restoring
from stream.detectors.cut import Cut
from stream.detectors.one_each import OneEach
from stream.detectors.standardised import Standardised

_encode = msgspec.json.Encoder().encode


class RiversAdwin:
    """Shows readings to river's ADWIN, one after the other."""

    def __init__(self, settings: Adwin) -> None:
        self._detector = drift.ADWIN(delta=settings.delta)
        self._epsilon = adwin.Adwin(settings)
        self._n = 0

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        shifts = []
        for place, value in enumerate(values.tolist()):
            self._detector.update(value)
            self._n += 1
            if self._detector.drift_detected:
                shifts.append(Shift(place, latest=self._n))
                self._n = 0
        return shifts

    def threshold(self, cut: Cut) -> float:
        return self._epsilon.threshold(0, cut)

    def snapshot(self) -> bytes:
        return pickle.dumps((self._n, self._detector))

    def restore(self, snapshot: bytes) -> None:
        with restoring("adwin"):
            self._n, self._detector = pickle.loads(snapshot)  # noqa: S301 - made by the lines above


class RiversPageHinkley:
    """Shows readings to river's Page-Hinkley, one after the other."""

    def __init__(self, settings: PageHinkley, *, only_rise: bool) -> None:
        self._settings = settings
        self._only_rise = only_rise
        self._detector = drift.PageHinkley(
            min_instances=settings.min_instances,
            delta=settings.delta,
            threshold=settings.threshold,
            mode="up" if only_rise else "both",
        )

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        shifts = []
        for place, value in enumerate(values.tolist()):
            test = self._detector
            test.update(value)
            if test.drift_detected:
                rise = test._sum_increase - test._min_increase  # noqa: SLF001 - river does not tell
                fall = test._max_decrease - test._sum_decrease  # noqa: SLF001 - as above
                rose = self._only_rise or rise >= fall
                n = int(test._x_mean.n)  # noqa: SLF001 - as above
                shifts.append(Shift(place, latest=n, rise=rose, statistic=rise if rose else fall))
        return shifts

    def threshold(self, _cut: Cut) -> float:
        return self._settings.threshold

    def snapshot(self) -> bytes:
        return pickle.dumps(self._detector)

    def restore(self, snapshot: bytes) -> None:
        with restoring("page_hinkley"):
            self._detector = pickle.loads(snapshot)  # noqa: S301 - made by the line above


BANKS: Final = {
    "adwin": lambda chosen: OneEach("adwin", lambda _only_rise: RiversAdwin(chosen.adwin)),
    "page_hinkley": lambda chosen: OneEach(
        "page_hinkley", lambda only_rise: RiversPageHinkley(chosen.page_hinkley, only_rise=only_rise)
    ),
}


def bank(chosen: Detectors) -> Standardised:
    """Make a bank as the registry does, of river's own detectors."""
    return Standardised(
        [BANKS[name](chosen) for name in chosen.use],
        warm_up=chosen.warm_up,
        settings=_encode(chosen).decode(),
    )
