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
    READ = "read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """Where a cause leads from a state, and what the history says of it."""

    to: IncidentState
    reason: str


TRANSITIONS: Mapping[tuple[IncidentState | None, Cause], Transition] = {
    (None, Cause.DETECTED): Transition(to=IncidentState.DETECTED, reason="a detector found a change"),
    (None, Cause.LOST): Transition(to=IncidentState.DETECTED, reason="input was deleted before it was read"),
    (IncidentState.DETECTED, Cause.LOST): Transition(
        to=IncidentState.DETECTED, reason="more input was deleted before it was read"
    ),
    (IncidentState.DETECTED, Cause.READ): Transition(
        to=IncidentState.RECOVERED, reason="input was read without a further loss for the recovery time"
    ),
    (IncidentState.DETECTED, Cause.QUIET): Transition(
        to=IncidentState.RECOVERED, reason="no detector found a change for the recovery time"
    ),
    (IncidentState.DETECTED, Cause.UNWATCHED): Transition(
        to=IncidentState.RECOVERED,
        reason="the series is no longer watched: newer versions or models took its place",
    ),
}


History = tuple[HistoryEntry, ...]


def moved(
    state: IncidentState | None, history: History, cause: Cause, at: float, detail: str = ""
) -> tuple[IncidentState, History]:
    """Give the state, and the history, of an incident that *cause* moves on at *at*, in epoch seconds."""
    step = TRANSITIONS[state, cause]
    reason = f"{step.reason}: {detail}" if detail else step.reason
    entry = HistoryEntry(seq=len(history) + 1, state=step.to, at=utc(at), actor=SYSTEM, reason=reason)
    return step.to, (*history, entry)


def close(incident: Incident, cause: Cause, at: float) -> Incident:
    """Give *incident* as it is once *cause* has ended it, at *at*, in epoch seconds."""
    state, history = moved(incident.state, incident.history, cause, at)
    return msgspec.structs.replace(incident, state=state, resolved_at=utc(at), history=history)
