"""Procedure: the way of an incident is a table of transitions, each of which its history keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from schemas.alerts import HistoryEntry, Incident, IncidentState
from stream.core.nouns import utc

SYSTEM: Final = "system"


class Cause(StrEnum):
    """What moves an incident on."""

    DETECTED = "detected"
    QUIET = "quiet"
    UNWATCHED = "unwatched"
    LOST = "lost"
    READ = "read"
    ACCEPTED = "accepted"
    ACCEPTED_IN_PART = "accepted in part"


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
    (IncidentState.DETECTED, Cause.ACCEPTED): Transition(
        to=IncidentState.RESOLVED, reason="what changed was taken for the new normal"
    ),
    (IncidentState.DETECTED, Cause.ACCEPTED_IN_PART): Transition(
        to=IncidentState.DETECTED, reason="part of what changed was taken for the new normal"
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who moves an incident on, as what, and by which event."""

    name: str = SYSTEM
    role: str | None = None
    event_id: str | None = None


THE_SYSTEM: Final = Actor()


History = tuple[HistoryEntry, ...]


def moved(
    state: IncidentState | None,
    history: History,
    cause: Cause,
    at: float,
    detail: str = "",
    by: Actor = THE_SYSTEM,
) -> tuple[IncidentState, History]:
    """Give the state, and the history, of an incident that *cause* moves on at *at*, in epoch seconds."""
    step = TRANSITIONS[state, cause]
    reason = f"{step.reason}: {detail}" if detail else step.reason
    entry = HistoryEntry(
        seq=len(history) + 1,
        state=step.to,
        at=utc(at),
        actor=by.name,
        reason=reason,
        actor_role=by.role,
        causation_id=by.event_id,
    )
    return step.to, (*history, entry)


def close(incident: Incident, cause: Cause, at: float, detail: str = "", by: Actor = THE_SYSTEM) -> Incident:
    """Give *incident* as it is once *cause* has ended it, at *at*, in epoch seconds."""
    state, history = moved(incident.state, incident.history, cause, at, detail, by)
    return msgspec.structs.replace(incident, state=state, resolved_at=utc(at), history=history)
