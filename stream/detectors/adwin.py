"""ADWIN: adaptive windowing (Bifet and Gavalda, 2007), by river, on standardised readings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from river import drift

from schemas.policy import Adwin as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.recent import Cut


class State(msgspec.Struct, array_like=True):
    """What there is to know of an ADWIN: readings since its last detection, and river's own state."""

    n: int
    detected: bool
    window: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Adwin:
    """Cuts its window where two parts of it differ more than chance allows at confidence ``delta``."""

    name = "adwin"

    def __init__(self, settings: Settings) -> None:
        self._delta = settings.delta
        self._adwin = drift.ADWIN(delta=settings.delta)
        self._n = 0

    def update(self, values: Sequence[float]) -> list[Shift]:
        """Take standardised *values*; give the shifts found."""
        adwin, shifts, n = self._adwin, [], self._n
        for index, value in enumerate(values):
            adwin.update(value)
            n += 1
            if adwin._drift_detected:  # noqa: SLF001 - the property costs a tenth of the update
                shifts.append(Shift(index, latest=n))
                n = 0
        self._n = n
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
        adwin = self._adwin
        return _encode(State(self._n, adwin.drift_detected, adwin._helper.__getstate__()))  # noqa: SLF001 - river has no public snapshot but pickle

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            self._adwin._helper.__setstate__(state.window)  # noqa: SLF001 - as above
            self._adwin._drift_detected = state.detected  # noqa: SLF001 - as above
            self._n = state.n
