"""ADWIN: adaptive windowing (Bifet and Gavalda, 2007), by river, on standardised readings."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import drift

from schemas.policy import Adwin as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.recent import Cut


class State(msgspec.Struct, array_like=True):
    """What there is to know of an ADWIN: readings since its last detection, and river's own state."""

    n: int
    window: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Adwin:
    """Cuts its window where two parts of it differ more than chance allows at confidence ``delta``."""

    name = "adwin"

    def __init__(self, settings: Settings) -> None:
        self._delta = settings.delta
        self._window = self._new_window()
        self._n = 0

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        """Take standardised *values*, shape (n,); give the shifts found.

        River's Python wrapper does no more than call its Rust window and make a new one after a detection.
        """
        shifts: list[Shift] = []
        rest = iter(values.tolist())
        start = 0
        while any(map(self._window.update, rest)):
            place = len(values) - rest.__length_hint__() - 1
            shifts.append(Shift(place, latest=self._n + place + 1 - start))
            self._window = self._new_window()
            self._n, start = 0, place + 1
        self._n += len(values) - start
        return shifts

    def threshold(self, cut: Cut) -> float:
        """Give epsilon_cut of the paper (theorem 3.2, the form by the window's variance).

        River does not tell where it cut: for the cut that is estimated here a statistic may lie some
        percent below the threshold that it exceeded there.
        """
        inverse = 1.0 / cut.before + 1.0 / cut.after
        log = math.log(2.0 * math.log(max(cut.before + cut.after, 3)) / self._delta)
        return math.sqrt(2.0 * inverse * cut.variance * log) + 2.0 / 3.0 * inverse * log

    def snapshot(self) -> bytes:
        """Give the state as bytes."""
        return _encode(State(self._n, self._window.__getstate__()))

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            self._window.__setstate__(state.window)
            self._n = state.n

    def _new_window(self) -> Any:  # noqa: ANN401 - river does not export the type
        return drift.ADWIN(delta=self._delta)._helper  # noqa: SLF001 - the Rust window itself
