"""Bounds: a store that drops what it is given is a matter of governance, and an incident of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.alerts import Kind
from stream.core.columns import Arrivals
from stream.core.nouns import Finding, Readings, SeriesKey, SeriesSpec, Tally, Watched

DETECTOR: Final = "bound"
"""What findings of this kind name as their detector."""

STORES: Final = ("versions", "features", "categories", "classes", "segments", "pending", "orphans")
"""The stores of a model whose bound is watched, by their names in the policy's table of bounds.

Not the event ids that are known: what is kept of them is the newest so many, which is always full.
"""


def bound_key(store: str, model: str = "", segment: str = "") -> SeriesKey:
    """Name the series of a store's bound: of a model's own, or of a partition's, which is its segment.

    It has no version, and no model where it is a partition's: what events name is never empty.
    """
    return SeriesKey(model, "", segment, f"bounds:{store}")


def watch_bound(
    key: SeriesKey, bound: int, events: Arrivals, dropping: Sequence[int], clock: float, tally: Tally
) -> Watched:
    """Read off each of *events* whether a store dropped something for it; every such event is a finding.

    *dropping* are the numbers of those events; *clock*, in seconds since the epoch, is the newest time of the
    events before, so that an incident recovers when none of those that follow in time makes the store drop.
    """
    times = np.maximum(np.maximum.accumulate(events.times()), clock)
    numbers = events.batch.seqs[events.places]
    values = np.isin(numbers, np.array(sorted(set(dropping)), dtype=np.int64))
    findings: list[Finding] = []
    for index in np.flatnonzero(values).tolist():
        at = float(times[index])
        tally.count("findings_total", key.model, key.signal, DETECTOR)
        findings.append(
            Finding(
                index=index,
                detector=DETECTOR,
                observed=1.0,
                expected=0.0,
                statistic=bound + 1.0,
                threshold=float(bound),
                n=1,
                window_start=at,
                window_end=at,
            )
        )
    spec = SeriesSpec(key=key, kind=Kind.GOVERNANCE, only_rise=True)
    readings = Readings(values=values.astype(np.float64), times=times, at=events)
    return Watched(spec=spec, readings=readings, findings=findings)
