"""Incident: the record of the procedure that an alert opens; its way is a table of transitions."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np

from schemas.alerts import Alert, AlertReason, HistoryEntry, Incident, IncidentState, Trigger
from schemas.policy import Policy
from stream.core.errors import UnreadableRowError
from stream.core.identity import digest, fingerprint
from stream.core.nouns import (
    Change,
    Finding,
    Healed,
    Readings,
    SeriesKey,
    SeriesSpec,
    Suppressed,
    Watched,
    utc,
)
from stream.core.rows import UNREADABLE, Moment

SYSTEM = "system"

Decide = Callable[[float | None, float, float], AlertReason | Suppressed]
"""Chooses why a finding is published, or why not: the time of the last alert, its own, when to repeat."""


class Cause(StrEnum):
    """What moves an incident on."""

    DETECTED = "detected"
    QUIET = "quiet"
    UNWATCHED = "unwatched"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """Where a cause leads from a state, and what the history says of it."""

    to: IncidentState
    reason: str


TRANSITIONS: Mapping[tuple[IncidentState | None, Cause], Transition] = {
    (None, Cause.DETECTED): Transition(to=IncidentState.DETECTED, reason="a detector found a change"),
    (None, Cause.LOST): Transition(to=IncidentState.DETECTED, reason="input was deleted before it was read"),
    (IncidentState.DETECTED, Cause.QUIET): Transition(
        to=IncidentState.RECOVERED, reason="no detector found a change for the recovery time"
    ),
    (IncidentState.DETECTED, Cause.UNWATCHED): Transition(
        to=IncidentState.RECOVERED,
        reason="the series is no longer watched: newer versions or models took its place",
    ),
}


class Open(msgspec.Struct, kw_only=True):
    """An open incident with the times of its last finding and last alert, in seconds since the epoch.

    While it is *lasting* its detector will say when the change is over.
    """

    incident: Incident
    last_finding: Moment
    last_alert: Moment
    clock: Moment
    lasting: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Open).decode


class Incidents:
    """Opens, updates and closes the incidents of one model, in the log's order.

    An incident recovers by the readings of its own series: when they have gone on for ``recover_seconds`` of
    event time without a finding. A change that lasts until its detector says so holds the incident open; the
    recovery time begins when it is over. A series that falls silent does not recover.
    """

    def __init__(self, policy: Policy, decide: Decide) -> None:
        self._alerting = policy.alerting
        self._decide = decide
        self._open: dict[SeriesKey, Open] = {}
        self._changed: set[SeriesKey] = set()

    def __len__(self) -> int:
        return len(self._open)

    def follow(self, watched: Sequence[Watched], prefix: str) -> list[Change]:
        """Take what was read and found; give the incidents as they changed, in the log's order."""
        changes: list[Change] = []
        for part in watched:
            if part.findings or part.spec.key in self._open:
                changes += self._follow_series(part, prefix)
        changes.sort(key=lambda change: (change.seq, change.incident.signal, change.incident.version))
        return changes

    def close_unwatched(self, version: str | None = None) -> list[Incident]:
        """Close the incidents of a version that is watched no longer, of all where None is given.

        Gives them as they are now, in the order of their series.
        """
        closed: list[Incident] = []
        for key in sorted(self._open):
            if version is None or key.version == version:
                held = self._open.pop(key)
                self._changed.add(key)
                closed.append(_close(held, Cause.UNWATCHED, held.clock))
        return closed

    def is_open(self, key: SeriesKey) -> bool:
        """Tell whether an incident of that series is open."""
        return key in self._open

    def let_go(self, watched: Container[SeriesKey]) -> None:
        """Hold no incident open for a detector that is no more: whose series is not among those *watched*."""
        for key, held in self._open.items():
            if held.lasting and key not in watched:
                held.lasting, held.last_finding = False, held.clock
                self._changed.add(key)

    def open_incidents(self) -> list[Incident]:
        """Give the incidents that are open now."""
        return [held.incident for held in self._open.values()]

    def rows(self) -> dict[SeriesKey, bytes | None]:
        """Give the open incidents that changed since the last call; None for one that was closed."""
        changed, self._changed = self._changed, set()
        return {key: _encode(held) if (held := self._open.get(key)) else None for key in sorted(changed)}

    def restore(self, key: SeriesKey, row: bytes) -> None:
        """Take an open incident; raises UnreadableRowError where it cannot be read, or is another series'."""
        try:
            held = _decode(row)
        except UNREADABLE as error:
            raise UnreadableRowError(str(error)) from error
        one = held.incident
        named = SeriesKey(one.model, one.version, one.segment, one.signal)
        if named != key or one.state is not IncidentState.DETECTED:
            raise UnreadableRowError(f"the incident {one.id} does not stand here")
        self._open[key] = held

    def _follow_series(self, part: Watched, prefix: str) -> Iterator[Change]:
        key, readings = part.spec.key, part.readings
        held = self._open.get(key)
        self._changed.add(key)
        start = 0
        for finding in part.findings:
            held, quiet = self._recover(key, held, readings, start, finding.index + 1)
            yield from quiet
            at = float(readings.times[finding.index])
            start = finding.index
            if isinstance(finding, Healed):
                if held is not None:
                    held.lasting, held.last_finding = False, at
                continue
            last_alert = None if held is None else held.last_alert
            reason = self._decide(last_alert, at, self._alerting.repeat_seconds)
            if held is None:
                held = self._begin(part.spec, readings, finding, at, prefix)
            held.last_finding, held.lasting = at, finding.lasts
            if isinstance(reason, Suppressed):
                held.incident = msgspec.structs.replace(held.incident, findings=held.incident.findings + 1)
                continue
            held.last_alert = at
            held.incident = msgspec.structs.replace(
                held.incident,
                alerts=held.incident.alerts + 1,
                findings=held.incident.findings + 1,
                last_alert_at=utc(at),
            )
            alert = _alert(part.spec, held.incident, reason, finding, at, _trigger(readings, finding, prefix))
            self._open[key] = held
            yield Change(readings.at[finding.index].seq, alert, held.incident)
        held, quiet = self._recover(key, held, readings, start, len(readings))
        yield from quiet
        if held is not None:
            held.clock = float(readings.times[-1])

    def _recover(
        self,
        key: SeriesKey,
        held: Open | None,
        readings: Readings,
        start: int,
        stop: int,
    ) -> tuple[Open | None, list[Change]]:
        """Close *held* when its series went on for the recovery time without a finding, before *stop*."""
        if held is None or held.lasting:
            return held, []
        due = held.last_finding + self._alerting.recover_seconds
        place = start + int(np.searchsorted(readings.times[start:stop], due))
        if place >= stop:
            return held, []
        del self._open[key]
        return None, [Change(readings.at[place].seq, None, _close(held, Cause.QUIET, due))]

    def _begin(self, spec: SeriesSpec, readings: Readings, finding: Finding, at: float, prefix: str) -> Open:
        trigger = _trigger(readings, finding, prefix)
        name = fingerprint(spec)
        step = TRANSITIONS[None, Cause.DETECTED]
        incident = Incident(
            id=f"inc-{digest(name, trigger.event_id, at)}",
            fingerprint=name,
            model=spec.key.model,
            version=spec.key.version,
            segment=spec.key.segment,
            signal=spec.key.signal,
            kind=spec.kind,
            severity=self._alerting.severity.of(spec.kind),
            state=step.to,
            detected_at=utc(at),
            opened_at=utc(at),
            last_alert_at=utc(at),
            resolved_at=None,
            alerts=0,
            findings=0,
            evidence=finding.evidence(),
            trigger=trigger,
            roles=self._alerting.roles,
            history=(HistoryEntry(seq=1, state=step.to, at=utc(at), actor=SYSTEM, reason=step.reason),),
        )
        return Open(incident=incident, last_finding=at, last_alert=at, clock=at)


def _close(held: Open, cause: Cause, at: float) -> Incident:
    step = TRANSITIONS[held.incident.state, cause]
    entry = HistoryEntry(
        seq=len(held.incident.history) + 1, state=step.to, at=utc(at), actor=SYSTEM, reason=step.reason
    )
    return msgspec.structs.replace(
        held.incident, state=step.to, resolved_at=utc(at), history=(*held.incident.history, entry)
    )


def _trigger(readings: Readings, finding: Finding, prefix: str) -> Trigger:
    at = readings.at[finding.index]
    return Trigger(
        topic=prefix + at.record.topic.suffix,
        partition=at.record.partition,
        offset=at.record.offset,
        event_id=at.event.id,
    )


def _alert(
    spec: SeriesSpec, incident: Incident, reason: AlertReason, finding: Finding, at: float, trigger: Trigger
) -> Alert:
    return Alert(
        id=f"alt-{digest(incident.id, incident.alerts)}",
        incident_id=incident.id,
        fingerprint=incident.fingerprint,
        model=spec.key.model,
        version=spec.key.version,
        segment=spec.key.segment,
        signal=spec.key.signal,
        kind=spec.kind,
        severity=incident.severity,
        reason=reason,
        detected_at=utc(at),
        evidence=finding.evidence(),
        trigger=trigger,
    )
