"""Opening: the incident that a finding opens, the event that triggered it, the alerts on it."""

from __future__ import annotations

from schemas.alerts import Alert, AlertReason, Incident, Trigger
from schemas.policy import Alerting
from stream.core.identity import digest, fingerprint
from stream.core.nouns import Finding, Readings, SeriesSpec, utc
from stream.core.procedure import Cause, moved


def opened_by(
    spec: SeriesSpec, finding: Finding, at: float, trigger: Trigger, alerting: Alerting
) -> Incident:
    """Give the incident that a *finding* at *at*, in epoch seconds, opens."""
    name = fingerprint(spec)
    state, history = moved(None, (), Cause.DETECTED, at)
    return Incident(
        id=f"inc-{digest(name, trigger.event_id, at)}",
        fingerprint=name,
        **spec.key._asdict(),
        kind=spec.kind,
        severity=alerting.severity.of(spec.kind),
        state=state,
        detected_at=utc(at),
        opened_at=utc(at),
        last_alert_at=utc(at),
        resolved_at=None,
        alerts=0,
        findings=0,
        evidence=finding.evidence(),
        trigger=trigger,
        roles=alerting.roles,
        history=history,
    )


def trigger_of(readings: Readings, finding: Finding, prefix: str) -> Trigger:
    """Give the event that completed a *finding* in *readings*."""
    at = readings.at[finding.index]
    return Trigger(
        topic=prefix + at.record.topic.suffix,
        partition=at.record.partition,
        offset=at.record.offset,
        event_id=at.event.id,
    )


def alert_of(
    spec: SeriesSpec, incident: Incident, reason: AlertReason, finding: Finding, at: float, trigger: Trigger
) -> Alert:
    """Give the alert on *incident* that a *finding* of a series at *at*, in epoch seconds, is told by."""
    return Alert(
        id=f"alt-{digest(incident.id, incident.alerts)}",
        incident_id=incident.id,
        fingerprint=fingerprint(spec),
        **spec.key._asdict(),
        kind=spec.kind,
        severity=incident.severity,
        reason=reason,
        detected_at=utc(at),
        evidence=finding.evidence(),
        trigger=trigger,
    )
