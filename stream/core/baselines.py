"""Baselines: what somebody does to them by a lifecycle event, at its place in the log."""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas.events import Lifecycle, LifecycleKind
from stream.core.columns import Arrivals
from stream.core.nouns import Baseline, SeriesKey, Topic
from stream.core.procedure import Actor

ACTING: Final = frozenset(
    {LifecycleKind.BASELINE_ACCEPTED, LifecycleKind.BASELINE_RESET, LifecycleKind.BASELINE_FROZEN}
)
"""What is acted on; of other lifecycle events it is known that they came."""


class Act(NamedTuple):
    """A lifecycle event that does something to baselines: its number in the log's order, and its time."""

    seq: int
    time: float
    event: Lifecycle

    @property
    def by(self) -> Actor:
        """Who answers for it."""
        return Actor(name=self.event.actor or "", role=self.event.actor_role, event_id=self.event.id)

    def concerns(self, key: SeriesKey) -> bool:
        """Tell whether a series is one of those that it names."""
        event = self.event
        return (
            (event.version is None or event.version == key.version)
            and (event.segment is None or event.segment == key.segment)
            and (event.signal is None or event.signal == key.signal)
        )


class Exchanged(NamedTuple):
    """What became of a series' baseline: what it was and is, None where it is being learned, and its number.

    *is_new* tells whether it is another one now.
    """

    before: Baseline | None
    after: Baseline | None
    number: int
    is_new: bool

    def said(self, key: SeriesKey) -> str:
        """Say in words what became of the baseline of a series."""
        series = f"{key.signal} of {key.version}" + (f" in {key.segment}" if key.segment else "")
        if not self.is_new:
            return f"{series}: baseline {self.number} {_digest(self.before)} is kept"
        was = f"baseline {self.number - 1} {_digest(self.before)}"
        return f"{series}: {was} gave way to {self.number} {_digest(self.after)}"


def acts_in(events: Arrivals) -> list[Act]:
    """Give those of *events*, in order, that do something to baselines."""
    lifecycle = events.by_topic().get(Topic.LIFECYCLE)
    if lifecycle is None:
        return []
    return [
        Act(admitted.seq, admitted.time, admitted.event)
        for admitted in lifecycle
        if isinstance(admitted.event, Lifecycle) and admitted.event.kind in ACTING
    ]


def _digest(baseline: Baseline | None) -> str:
    return "(learned from here on)" if baseline is None else f"(sha256 {baseline.digest})"
