"""What a pipeline reads off a log, series by series: the readings that its detectors would have been shown.

A recorder stands where the bank of detectors does. It keeps all readings in memory, 16 bytes each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Incident, Kind
from schemas.policy import Detectors
from stream.core.nouns import Finding, SeriesKey
from stream.core.pipeline import Pipeline
from stream.core.ports import Found, Policies
from stream.lab.sources import Floats
from stream.replay import batches

_NAME: Final = "recorder"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A series: its name and kind, what a bank is told of it, values and times (seconds), shape (n,)."""

    key: SeriesKey
    kind: Kind
    said: Mapping[str, Any]
    values: Floats
    times: Floats


class Recorder:
    """A bank, and the factory of it, that finds nothing and keeps everything.

    A bank is not told the names of its series. So the recorder says of the first reading of each that it
    found something, with the slot as the statistic: the incident that the pipeline opens has the name.
    """

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self._values: list[list[Floats]] = []
        self._times: list[list[Floats]] = []

    def bank(self, _chosen: Detectors) -> Recorder:
        """Give the one recorder, whatever detectors are chosen."""
        return self

    def add(self, *, only_rise: bool, **said: Any) -> int:  # noqa: ANN401 - whatever a bank is told
        """Take a new series; give its slot."""
        self.said.append({"only_rise": only_rise, **said})
        self._values.append([])
        self._times.append([])
        return len(self.said) - 1

    def drop(self, slot: int) -> None:
        """Go on without the series of *slot*: what it showed stays."""

    def update(
        self, slots: NDArray[np.intp], values: Floats, times: Floats, order: NDArray[np.int64] | None = None
    ) -> list[Found]:
        """Keep readings, shape (n,) each."""
        del order  # readings of one series stand in it already
        found: list[Found] = []
        for slot in np.unique(slots).tolist():
            places = np.flatnonzero(slots == slot)
            if not self._values[slot]:
                found.append(Found(slot, _naming(slot, int(places[0]), float(times[places[0]]))))
            self._values[slot].append(values[places])
            self._times[slot].append(times[places])
        return sorted(found, key=lambda one: one.finding.index)

    def snapshot(self, slot: int) -> NoReturn:
        """Refuse: a recording is done in one go."""
        raise NotImplementedError(f"series {slot} is recorded, not kept")

    def restore(self, snapshot: bytes, *, only_rise: bool) -> NoReturn:
        """Refuse, as above."""
        raise NotImplementedError(f"{len(snapshot)} bytes, {only_rise}: a recording cannot be restored")

    def series(self, incidents: Iterable[Incident]) -> list[Recorded]:
        """Give the series by slot; *incidents* are those that the pipeline opened."""
        names = {
            int(one.evidence.statistic): (
                SeriesKey(one.model, one.version, one.segment, one.signal),
                one.kind,
            )
            for one in incidents
            if one.evidence.detector == _NAME
        }
        return [
            Recorded(
                key=names[slot][0],
                kind=names[slot][1],
                said=said,
                values=np.concatenate(self._values[slot]),
                times=np.concatenate(self._times[slot]),
            )
            for slot, said in enumerate(self.said)
            if slot in names
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
    opened: dict[str, Incident] = {}
    for batch in batches(lines):
        for incident in pipeline.step(batch.records, math.inf, batch.events).incidents:
            opened.setdefault(incident.id, incident)
    return recorder.series(opened.values())


def _naming(slot: int, index: int, time: float) -> Finding:
    return Finding(
        index=index,
        detector=_NAME,
        observed=0.0,
        expected=0.0,
        statistic=float(slot),
        threshold=0.0,
        n=1,
        window_start=time,
        window_end=time,
    )
