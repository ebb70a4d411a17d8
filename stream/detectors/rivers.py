"""River's detectors of binary streams, DDM, HDDM and FHDDM, over whether a reading lies high (or low).

They were made for the errors of a classifier, 0 or 1. Here a reading counts as 1 where it lies more than
:data:`FAR` standard deviations above the mean of the warm-up, which of an error rate under 80 % are the
errors; a second detector, where falls count too, takes those that lie so far below.

`river.drift` loads scipy, which makes a process three times as large: it is loaded when a policy asks for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.policy import Ddm, Detectors, Fhddm, Hddm
from stream.detectors.contract import Shift, restoring
from stream.detectors.cut import Cut
from stream.detectors.one_each import OneEach

FAR: Final = 0.5
"""Standard deviations: below 0.5, half of an ordinary series would count as errors; see above for more."""

_MEANS: Final = {"_p", "_x_min", "_x_max", "_z"}

Figures = Callable[[Any], tuple[float, float]]
"""Gives, of a river detector that has just detected a drift, its statistic and what that had to exceed."""


class State(msgspec.Struct, array_like=True):
    """Readings since the last drift, and the attributes of river's detectors."""

    n: int
    attributes: list[dict[str, Any]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Binary:
    """Shows whether readings lie high to a detector of river's, and whether they lie low to another."""

    def __init__(self, name: str, make: Callable[[], Any], figures: Figures, *, only_rise: bool) -> None:
        self._name = name
        self._make = make
        self._figures = figures
        self._sides = 1 if only_rise else 2
        self._begin()

    def threshold(self, _cut: Cut) -> float:
        """Give nothing: a shift itself says what its statistic had to exceed."""
        return math.nan

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        """Take standardised *values*, shape (n,); give the shifts among them."""
        shifts: list[Shift] = []
        for place, value in enumerate(values.tolist()):
            self._n += 1
            for rise, own in zip((True, False), self._detectors, strict=False):
                own.update(value > FAR if rise else value < -FAR)
                if own.drift_detected:
                    statistic, threshold = self._figures(own)
                    shifts.append(Shift(place, self._n, rise, statistic, threshold))
                    self._begin()
                    break
        return shifts

    def snapshot(self) -> bytes:
        """Give the state as bytes."""
        return _encode(State(self._n, [_attributes_of(detector) for detector in self._detectors]))

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring(self._name):
            state = _decode(snapshot)
            self._n = state.n
            for detector, attributes in zip(self._detectors, state.attributes, strict=True):
                _give_attributes(detector, attributes)

    def _begin(self) -> None:
        self._n = 0
        self._detectors = [self._make() for _ in range(self._sides)]


class _Correct:
    """FHDDM watches the rate of what is right: it is shown 1 where a reading does not lie far."""

    def __init__(self, detector: Any) -> None:  # noqa: ANN401 - river is not typed
        self.own = detector

    @property
    def drift_detected(self) -> bool:
        return bool(self.own.drift_detected)

    def update(self, value: bool) -> None:  # noqa: FBT001 - river's own signature
        self.own.update(1 - value)


def ddm(chosen: Detectors) -> OneEach:
    """Make a bank of DDM (Gama, Medas, Castillo and Rodrigues, 2004)."""
    own: Ddm = chosen.ddm

    def make() -> Any:  # noqa: ANN401 - river is not typed
        return _binary("DDM")(warm_start=own.min_instances, drift_threshold=own.threshold)

    def figures(detector: Any) -> tuple[float, float]:  # noqa: ANN401 - as above
        p, n = detector._p.get(), detector._p.n  # noqa: SLF001 - river does not tell
        least, spread = detector._p_min, detector._s_min  # noqa: SLF001 - as above
        return p + math.sqrt(p * (1.0 - p) / n), least + own.threshold * spread

    return _bank("ddm", make, figures)


def hddm(chosen: Detectors) -> OneEach:
    """Make a bank of HDDM with the A-test (Frías-Blanco and others, 2015)."""
    own: Hddm = chosen.hddm

    def make() -> Any:  # noqa: ANN401 - river is not typed
        return _binary("HDDMA")(drift_confidence=own.confidence, warning_confidence=own.confidence)

    def figures(detector: Any) -> tuple[float, float]:  # noqa: ANN401 - as above
        least, whole = detector._x_min, detector._z  # noqa: SLF001 - river does not tell
        free = (whole.n - least.n) / (least.n * whole.n)
        return whole.get() - least.get(), math.sqrt(0.5 * free * math.log(2.0 / own.confidence))

    return _bank("hddm", make, figures)


def fhddm(chosen: Detectors) -> OneEach:
    """Make a bank of FHDDM (Pesaranghader and Viktor, 2016)."""
    own: Fhddm = chosen.fhddm

    def make() -> Any:  # noqa: ANN401 - river is not typed
        return _Correct(_binary("FHDDM")(sliding_window_size=own.window, confidence_level=own.delta))

    def figures(detector: Any) -> tuple[float, float]:  # noqa: ANN401 - as above
        test = detector.own
        # What left the window when it was tested is known no more: it is less than one reading.
        return test._u_max - test.n_one / own.window, test._epsilon - 1.0 / own.window  # noqa: SLF001 - river does not tell

    return _bank("fhddm", make, figures)


def _bank(name: str, make: Callable[[], Any], figures: Figures) -> OneEach:
    return OneEach(name, lambda only_rise: Binary(name, make, figures, only_rise=only_rise))


def _binary(name: str) -> Any:  # noqa: ANN401 - river is not typed
    return getattr(import_module("river.drift.binary"), name)


def _attributes_of(detector: Any) -> dict[str, Any]:  # noqa: ANN401 - river is not typed
    """Give what changes of a detector, as what msgpack has."""
    found: dict[str, Any] = {}
    for name, value in vars(getattr(detector, "own", detector)).items():
        if name in _MEANS:
            found[name] = [value.n, value._mean]  # noqa: SLF001 - river's mean has no other state
        else:
            found[name] = [int(one) for one in value] if isinstance(value, deque) else value
    return found


def _give_attributes(detector: Any, attributes: Mapping[str, Any]) -> None:  # noqa: ANN401 - river is not typed
    """Put what :func:`_attributes_of` gave into a new detector."""
    own = getattr(detector, "own", detector)
    if attributes.keys() != vars(own).keys():
        raise ValueError(f"attributes {sorted(attributes)}")
    for name, value in attributes.items():
        present = getattr(own, name)
        if name in _MEANS:
            present.n, present._mean = value  # noqa: SLF001 - as above
        elif isinstance(present, deque):
            present.extend(value)
        else:
            setattr(own, name, value)
