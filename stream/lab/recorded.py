"""What a pipeline reads off a log, series by series: the readings that its detectors would have been shown.

A recorder stands where the bank of detectors does. It keeps all readings in memory, 16 bytes each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from schemas.baselines import PublishedBaseline
from schemas.policy import Detectors
from stream.core.nouns import SeriesKey, SeriesSpec
from stream.core.pipeline import Pipeline
from stream.core.ports import Found, Policies
from stream.lab.sources import Floats
from stream.replay import batches


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A series: what a bank is told of it, values and times (seconds), shape (n,)."""

    spec: SeriesSpec
    only_rise: bool
    values: Floats
    times: Floats


class Recorder:
    """A bank, and the factory of it, that finds nothing and keeps everything."""

    def __init__(self) -> None:
        self._told: list[tuple[SeriesSpec, bool]] = []
        self._values: list[list[Floats]] = []
        self._times: list[list[Floats]] = []

    def bank(self, chosen: Detectors) -> Recorder:
        """Give the one recorder, whatever detectors are *chosen*."""
        del chosen
        return self

    def add(self, *, only_rise: bool, spec: SeriesSpec | None = None) -> int:
        """Take a new series; give its slot. Raises ValueError where no *spec* says what it is."""
        if spec is None:
            raise ValueError("a series without a spec cannot be recorded: it has no name")
        self._told.append((spec, only_rise))
        self._values.append([])
        self._times.append([])
        return len(self._told) - 1

    def drop(self, slot: int) -> None:
        """Go on without the series of *slot*: what it showed stays."""

    def update(
        self, slots: NDArray[np.intp], values: Floats, times: Floats, order: NDArray[np.int64] | None = None
    ) -> list[Found]:
        """Keep readings, shape (n,) each, those of a series in the order in which they stand."""
        del order  # readings of one series stand in it already
        for slot in np.unique(slots).tolist():
            own = slots == slot
            self._values[slot].append(values[own])
            self._times[slot].append(times[own])
        return []

    def snapshot(self, slot: int) -> NoReturn:
        """Refuse: a recording is done in one go."""
        raise NotImplementedError(f"series {slot} is recorded, not kept")

    def restore(self, snapshot: bytes, *, only_rise: bool) -> NoReturn:
        """Refuse, as above."""
        raise NotImplementedError(f"{len(snapshot)} bytes, {only_rise}: a recording cannot be restored")

    def explain(self, slot: int) -> NoReturn:
        """Refuse: nothing watches."""
        raise NotImplementedError(f"series {slot} is recorded, not watched")

    def baseline(self, slot: int) -> None:
        """Give none: nothing is compared with anything."""

    def accept(self, slot: int) -> bool:
        """Go on: a recording has no baseline."""
        del slot
        return False

    def relearn(self, slot: int) -> None:
        """Go on, as above."""

    def published(self, slot: int, key: SeriesKey) -> None:
        """Give none: no baseline of these series is published."""

    def take(self, slot: int, baseline: PublishedBaseline) -> bool:  # noqa: ARG002 - as the core asks for it
        """Refuse: what is published is of another kind."""
        return False

    def freeze(self, slot: int) -> None:
        """Go on, as above."""

    def series(self) -> list[Recorded]:
        """Give the series that showed anything, in the order in which they came."""
        return [
            Recorded(spec=spec, only_rise=only_rise, values=np.concatenate(shown), times=np.concatenate(when))
            for (spec, only_rise), shown, when in zip(self._told, self._values, self._times, strict=True)
            if shown
        ]


def record(lines: Iterable[bytes], policies: Policies, *, max_models: int) -> Sequence[Recorded]:
    """Give every series of the events in *lines*, as the detectors of *policies* would be shown them."""
    recorder = Recorder()
    pipeline = Pipeline(
        0,
        prefix="",
        policies=policies,
        factory=recorder,
        partition_of=lambda _model: 0,
        max_models=max_models,
    )
    for batch in batches(lines):
        pipeline.step(batch.records, math.inf, batch.decoded)
    return recorder.series()
