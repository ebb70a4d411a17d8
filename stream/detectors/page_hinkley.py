"""Page-Hinkley: cumulative deviations from the running mean (Page, 1954), by river, standardised."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from river import drift

from schemas.policy import PageHinkley as Settings
from stream.detectors.contract import Shift, restoring
from stream.detectors.recent import Cut


class State(msgspec.Struct, array_like=True):
    """What there is to know of a Page-Hinkley test."""

    n: int
    mean: float
    increase: float
    decrease: float
    lowest: float | None
    highest: float
    detected: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class PageHinkley:
    """Signals when the cumulative deviation has moved ``threshold`` away from its extreme."""

    name = "page_hinkley"

    def __init__(self, settings: Settings, *, only_rise: bool) -> None:
        self._threshold = settings.threshold
        self._test = drift.PageHinkley(
            min_instances=settings.min_instances,
            delta=settings.delta,
            threshold=settings.threshold,
            mode="up" if only_rise else "both",
        )

    def update(self, values: Sequence[float]) -> list[Shift]:
        """Take standardised *values*; give the shifts found."""
        test, shifts = self._test, []
        for index, value in enumerate(values):
            test.update(value)
            if test._drift_detected:  # noqa: SLF001 - the property costs a tenth of the update
                shifts.append(self._shift(index))
        return shifts

    def snapshot(self) -> bytes:
        """Give the state as bytes."""
        test = self._test
        lowest = test._min_increase  # noqa: SLF001 - river has no public snapshot but pickle
        return _encode(
            State(
                int(test._x_mean.n),  # noqa: SLF001 - as above
                test._x_mean._mean,  # noqa: SLF001 - as above
                test._sum_increase,  # noqa: SLF001 - as above
                test._sum_decrease,  # noqa: SLF001 - as above
                lowest if lowest != float("inf") else None,
                float(test._max_decrease),  # noqa: SLF001 - as above
                test.drift_detected,
            )
        )

    def restore(self, snapshot: bytes) -> None:
        """Take the state back; raises UnreadableRowError where it is damaged."""
        with restoring(self.name):
            state = _decode(snapshot)
            test = self._test
            test._x_mean.n = state.n  # noqa: SLF001 - as above
            test._x_mean._mean = state.mean  # noqa: SLF001 - as above
            test._sum_increase = state.increase  # noqa: SLF001 - as above
            test._sum_decrease = state.decrease  # noqa: SLF001 - as above
            test._min_increase = float("inf") if state.lowest is None else state.lowest  # noqa: SLF001 - as above
            test._max_decrease = state.highest  # type: ignore[assignment]  # noqa: SLF001 - as above; river starts it with an int
            test._drift_detected = state.detected  # noqa: SLF001 - as above

    def threshold(self, _cut: Cut) -> float:
        """Give what the cumulative deviation had to exceed, in standard deviations."""
        return self._threshold

    def _shift(self, index: int) -> Shift:
        test = self._test
        rise = test._sum_increase - test._min_increase  # noqa: SLF001 - as above
        fall = test._max_decrease - test._sum_decrease  # noqa: SLF001 - as above
        rose = test.mode == "up" or rise >= fall
        return Shift(index, latest=int(test._x_mean.n), rise=rose, statistic=rise if rose else fall)  # noqa: SLF001 - as above
