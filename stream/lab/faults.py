"""Injected faults through the whole pipeline, from JSON to incidents, as a replay of a file would have it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

from schemas.alerts import Alert, AlertReason, Incident, Part
from stream.config import Settings
from stream.lab.injected import BEGINS_DAY, DAYS, FAULTS, MANY, SHAPES, Fault, log
from stream.lab.job import Job, Result
from stream.lab.sources import DAY_SECONDS, START
from stream.replay import Totals, batches
from stream.wiring import build_replay_pipeline

TWIN: Final = "twin"
TWENTY: Final = "20 series at once"
STREAMS: Final = (TWIN, *(f"{shape} {name}" for name in FAULTS for shape in SHAPES), TWENTY)

ONSET: Final = START + BEGINS_DAY * DAY_SECONDS


def run(job: Job) -> Result:
    """Lead one log through the default policy; give what was found, when, and what else was raised."""
    if job.stream == TWENTY:
        incidents = through_pipeline(log(MANY, "abrupt", job.seed, many=True))
        late = [one for one in incidents if one.detected_at.timestamp() >= ONSET]
        signals = {part.signal for one in late for part in one.parts} & MANY.signals
        return {"incidents": len(late), "signals": len(signals), "before": len(incidents) - len(late)}
    if job.stream == TWIN:
        incidents = through_pipeline(log(None, "abrupt", job.seed))
        return {"incidents": [_told(one) for one in incidents], "days": DAYS}
    shape, _, name = job.stream.partition(" ")
    fault = FAULTS[name]
    incidents, alerts = said_by_pipeline(log(fault, shape, job.seed))
    # What is found may join an incident that is open already, or be told of one as much worse than it was.
    found = [[part.detected_at.timestamp() for part in one.parts if _shows(part, fault)] for one in incidents]
    worse = [alert.detected_at.timestamp() for alert in alerts if _is_worse(alert, fault)]
    others = [one for one in incidents if not any(part.signal in fault.signals for part in one.parts)]
    return {
        "hours": (min(chain(worse, *found)) - ONSET) / 3_600.0 if worse or any(found) else None,
        "incidents": sum(map(bool, found)),
        "others": [_told(one) for one in others],
    }


def through_pipeline(lines: Iterable[bytes], settings: Settings | None = None) -> Sequence[Incident]:
    """Replay *lines* under the default policy, or that of *settings*; give the incidents as they opened."""
    return said_by_pipeline(lines, settings)[0]


def said_by_pipeline(
    lines: Iterable[bytes], settings: Settings | None = None
) -> tuple[Sequence[Incident], Sequence[Alert]]:
    """Replay *lines* as :func:`through_pipeline` does; give the incidents, and the alerts."""
    pipeline = build_replay_pipeline(settings or Settings())
    totals = Totals()
    alerts: list[Alert] = []
    for batch in batches(lines):
        result = pipeline.step(batch.records, math.inf, batch.decoded)
        totals.add(result)
        alerts += result.alerts
    return sorted(totals.incidents.values(), key=lambda one: (one.detected_at, one.signal)), alerts


def _is_worse(alert: Alert, fault: Fault) -> bool:
    is_later = alert.detected_at.timestamp() >= ONSET
    return is_later and alert.signal in fault.signals and alert.reason is AlertReason.ESCALATED


def _shows(part: Part, fault: Fault) -> bool:
    return part.signal in fault.signals and part.detected_at.timestamp() >= ONSET


def _told(incident: Incident) -> dict[str, Any]:
    evidence = incident.evidence
    return {
        "kind": incident.kind.value,
        "signal": incident.signal,
        "at": incident.detected_at.isoformat(),
        "observed": evidence.observed,
        "expected": evidence.expected,
        "n": evidence.n,
        "detector": evidence.detector,
    }
