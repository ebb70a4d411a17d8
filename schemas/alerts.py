"""What Driftline publishes: alerts, incidents and rejected messages, as other services read them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a finding is about."""

    PERFORMANCE = "performance"
    DRIFT = "drift"
    DATA_QUALITY = "data_quality"
    SAFETY = "safety"
    USAGE = "usage"
    FEEDBACK = "feedback"
    SILENCE = "silence"
    GOVERNANCE = "governance"


class Severity(StrEnum):
    """How soon somebody has to look, least first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class AlertReason(StrEnum):
    """Why an alert was published rather than suppressed."""

    FIRST = "first"
    REPEAT_DUE = "repeat_due"
    ESCALATED = "escalated"


class IncidentState(StrEnum):
    """Where an incident stands in its procedure."""

    DETECTED = "detected"
    RECOVERED = "recovered"
    RESOLVED = "resolved"


class RejectReason(StrEnum):
    """Why a message was not taken."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    NOT_FINITE = "not_finite"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    FUTURE = "future"
    LATE = "late"
    WRONG_TOPIC = "wrong_topic"


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where in the log something stands; ``index`` is the place in a record that holds an array."""

    topic: str
    partition: int
    offset: int
    index: int | None = None


class Trigger(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The event that completed a finding."""

    topic: str
    partition: int
    offset: int
    event_id: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a detector saw, in the units of the signal; the window is in event time.

    ``statistic`` exceeded ``threshold`` in the detector's own units; ``n`` readings lie in the window.
    """

    observed: float
    expected: float
    statistic: float
    threshold: float
    n: int
    window_start: datetime
    window_end: datetime
    detector: str


class Alert(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A finding that on-call should see. The same id is the same alert, however often it is read."""

    id: str
    incident_id: str
    fingerprint: str
    model: str
    version: str
    segment: str
    signal: str
    kind: Kind
    severity: Severity
    reason: AlertReason
    detected_at: datetime
    evidence: Evidence
    trigger: Trigger


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One transition of an incident: *actor* did it, as *actor_role*, by the event *causation_id*."""

    seq: int
    state: IncidentState
    at: datetime
    actor: str
    reason: str
    actor_role: str | None = None
    causation_id: str | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One series of an incident, with the evidence that made it a part.

    ``turn`` is its place among the parts by when the window of the evidence begins: 1 moved first.
    ``resolved_at`` is null while the series has not recovered.
    """

    fingerprint: str
    version: str
    segment: str
    signal: str
    kind: Kind
    turn: int
    detected_at: datetime
    resolved_at: datetime | None
    findings: int
    evidence: Evidence


class Incident(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The record of the procedure that an alert opens, as it now is.

    Its fingerprint, signal, kind, ``evidence`` and ``trigger`` are those of the first alert. ``alerts``
    counts what was published, ``findings`` what the detectors said, suppressed ones included. ``opened_at``
    is the time of the log at which the incident was opened; ``resolved_at`` is null while it is open.
    ``parts`` are the series that moved, strongest evidence first; ``series`` counts them all.
    """

    id: str
    fingerprint: str
    model: str
    version: str
    segment: str
    signal: str
    kind: Kind
    severity: Severity
    state: IncidentState
    detected_at: datetime
    opened_at: datetime
    last_alert_at: datetime
    resolved_at: datetime | None
    alerts: int
    findings: int
    evidence: Evidence
    trigger: Trigger
    roles: tuple[str, ...]
    history: tuple[HistoryEntry, ...]
    series: int = 1
    parts: tuple[Part, ...] = ()


class Rejected(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that was not taken, kept as it came.

    ``raw`` is Base64 of the bytes, cut at a bound; ``raw_size`` is their full number. ``key``, in Base64 too,
    is the record's.
    """

    reason: RejectReason
    detail: str
    source: Source
    raw: bytes
    raw_size: int
    key: bytes | None = None
