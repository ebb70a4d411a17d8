"""Lost: input that Kafka deleted before anybody read it, told as an incident of governance."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import replace

from schemas.alerts import Alert, AlertReason, Evidence, Incident, Kind, Trigger
from schemas.policy import Alerting
from stream.core.alert import decide
from stream.core.columns import Arrivals
from stream.core.identity import digest, fingerprint
from stream.core.incident import Incidents, Open
from stream.core.nouns import Change, Readings, SeriesKey, SeriesSpec, Topic, Watched, utc
from stream.core.parts import Held
from stream.core.procedure import TRANSITIONS, Cause, moved

DETECTOR: Final = "log_start"
"""Named as the detector in the evidence: what was compared is where the log of a topic begins."""

NAMED_LOSSES: Final = 100
"""How many losses the history of one incident names; further ones count, in its findings and evidence."""


class Gap(NamedTuple):
    """Offsets from *start* to before *stop* of a topic that will never be read.

    *is_lost* says that Kafka deleted them unread; else they hold no records (markers of transactions).
    """

    start: int
    stop: int
    is_lost: bool


def lost_key(topic: Topic, partition: int) -> SeriesKey:
    """Name the losses in *partition* of *topic*, which concern no model in particular."""
    return SeriesKey(model="", version="", segment="", signal=f"lost:{topic.suffix}-{partition}")


def lost_input(
    incidents: Incidents,
    topic: Topic,
    partition: int,
    gap: Gap,
    *,
    prefix: str,
    alerting: Alerting,
    at: float,
) -> Change:
    """Open an incident of a lost gap in *partition* of *topic*, or go on with the one that is open there.

    *at* is when it was seen, in epoch seconds. An incident's id follows from topic, partition and the first
    lost offset: a position is passed once, so whoever finds the same gap again gives it the same id. It is
    told again as findings are, after ``repeat_seconds``.
    """
    key = lost_key(topic, partition)
    held = incidents.held(key)
    is_first = held is None
    if held is None:
        held = _begin(topic, partition, gap, prefix=prefix, alerting=alerting, at=at)
    last_alert = None if is_first else held.last_alert
    reason = decide(last_alert, at, alerting.repeat_seconds, escalates=False)
    before, alert = held.incident, None
    count, history = before.evidence.n + gap.stop - gap.start, before.history
    if len(history) < NAMED_LOSSES:
        where = (
            f"offsets {gap.start} to {gap.stop - 1} of topic {prefix}{topic.suffix}, partition {partition}"
        )
        _, history = moved(None if is_first else before.state, history, Cause.LOST, at, where)
    incident = replace(
        before,
        findings=before.findings + 1,
        evidence=_evidence(count, before.detected_at.timestamp(), at),
        history=history,
    )
    if isinstance(reason, AlertReason):
        incident = replace(incident, alerts=before.alerts + 1, last_alert_at=utc(at))
        alert = _alert(incident, reason, gap, at)
        held.last_alert = at
    held.incident, held.held[0].last_finding = incident, max(held.held[0].last_finding, at)
    incidents.hold(key, held)
    return Change(0, alert, incident)


def follow_reading(
    incidents: Incidents, partition: int, events: Arrivals, clock: float, prefix: str
) -> list[Change]:
    """Take *events* of *partition*, one after the other, as what was read; give the losses that are over.

    *clock*, in seconds since the epoch, is the newest time of the events before. A topic's losses recover
    when an event was read that is ``recover_seconds`` newer than the moment in which the last of them was
    found: by then the worker has caught up, and has gone on for so long without another one.
    """
    watched: list[Watched] = []
    for topic in Topic:
        key = lost_key(topic, partition)
        if incidents.is_open(key):
            times = np.maximum(np.maximum.accumulate(events.times()), clock)
            readings = Readings(values=np.zeros(len(times)), times=times, at=events)
            watched.append(Watched(spec=_spec(key), readings=readings, findings=[]))
    return incidents.follow(watched, prefix, ended_by=Cause.READ)


def _spec(key: SeriesKey) -> SeriesSpec:
    return SeriesSpec(key=key, kind=Kind.GOVERNANCE, only_rise=True)


def _begin(topic: Topic, partition: int, gap: Gap, *, prefix: str, alerting: Alerting, at: float) -> Open:
    key, name = lost_key(topic, partition), prefix + topic.suffix
    mark, when = fingerprint(_spec(key)), utc(at)
    incident = Incident(
        id=f"inc-{digest(mark, name, partition, gap.start)}",
        fingerprint=mark,
        **key._asdict(),
        kind=Kind.GOVERNANCE,
        severity=alerting.severity.of(Kind.GOVERNANCE),
        state=TRANSITIONS[None, Cause.LOST].to,
        detected_at=when,
        opened_at=when,
        last_alert_at=when,
        resolved_at=None,
        alerts=0,
        findings=0,
        evidence=_evidence(0, at, at),
        trigger=Trigger(topic=name, partition=partition, offset=gap.start, event_id=""),
        roles=alerting.roles,
        history=(),
    )
    return Open(incident=incident, last_alert=at, joined=at, held=[Held(key, at, at)])


def _evidence(count: int, begin: float, end: float) -> Evidence:
    return Evidence(
        observed=float(count),
        expected=0.0,
        statistic=float(count),
        threshold=0.0,
        n=count,
        window_start=utc(begin),
        window_end=utc(end),
        detector=DETECTOR,
    )


def _alert(incident: Incident, reason: AlertReason, gap: Gap, at: float) -> Alert:
    return Alert(
        id=f"alt-{digest(incident.id, incident.alerts)}",
        incident_id=incident.id,
        fingerprint=incident.fingerprint,
        model=incident.model,
        version=incident.version,
        segment=incident.segment,
        signal=incident.signal,
        kind=incident.kind,
        severity=incident.severity,
        reason=reason,
        detected_at=utc(at),
        evidence=_evidence(gap.stop - gap.start, at, at),
        trigger=replace(incident.trigger, offset=gap.start),
    )
