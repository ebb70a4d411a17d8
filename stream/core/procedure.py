"""Procedure: the way of an incident is a table of transitions, each of which its history keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from schemas.alerts import HistoryEntry, Incident, IncidentState
from stream.core.nouns import utc

SYSTEM = "system"


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


def begin(cause: Cause, at: float, detail: str = "") -> tuple[IncidentState, tuple[HistoryEntry, ...]]:
    """Give the state, and the history, of an incident that *cause* opens at *at*, in epoch seconds."""
    step = TRANSITIONS[None, cause]
    reason = f"{step.reason}: {detail}" if detail else step.reason
    return step.to, (HistoryEntry(seq=1, state=step.to, at=utc(at), actor=SYSTEM, reason=reason),)


def close(incident: Incident, cause: Cause, at: float) -> Incident:
    """Give *incident* as it is once *cause* has ended it, at *at*, in epoch seconds."""
    step = TRANSITIONS[incident.state, cause]
    entry = HistoryEntry(
        seq=len(incident.history) + 1, state=step.to, at=utc(at), actor=SYSTEM, reason=step.reason
    )
    return msgspec.structs.replace(
        incident, state=step.to, resolved_at=utc(at), history=(*incident.history, entry)
    )
