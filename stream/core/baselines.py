"""Baselines: what somebody does to them by a lifecycle event, at its place in the log."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from schemas.baselines import PublishedBaseline
from schemas.events import NEEDS_ACTOR, Lifecycle
from stream.core.columns import Arrivals
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Baseline, SeriesKey, Tally, Topic
from stream.core.procedure import Actor
from stream.core.rows import UNREADABLE, Number
from stream.core.texts import short

_encode = msgspec.msgpack.Encoder().encode
_encode_one = msgspec.json.Encoder().encode
_decode_one = msgspec.json.Decoder(PublishedBaseline).decode


class Act(NamedTuple):
    """A lifecycle event that does something to baselines: its number in the log's order, and its time."""

    seq: int
    time: float
    event: Lifecycle

    @property
    def by(self) -> Actor:
        """Who answers for it."""
        name, role = self.event.actor or "", self.event.actor_role
        return Actor(name=short(name), role=role and short(role), event_id=self.event.id)

    def concerns(self, key: SeriesKey) -> bool:
        """Tell whether a series is one of those that it names."""
        event = self.event
        return (
            (event.version is None or event.version == key.version)
            and (event.segment is None or event.segment == key.segment)
            and (event.signal is None or event.signal == key.signal)
        )


class _Row(msgspec.Struct, array_like=True):
    """A published baseline as it is kept: the number of its event, its place in it, and what it says."""

    seq: Number
    place: Number
    baseline: bytes


_decode = msgspec.msgpack.Decoder(_Row).decode

Place = tuple[str, str, str]
"""The version, which is empty where any is meant, the segment and the signal that a baseline is for."""


class Published:
    """The baselines of a model that were published, for series to begin with; at most *bound*.

    What is published anew for the same series replaces what was; those published longest ago go first.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._kept: dict[Place, _Row] = {}
        self._changed: set[Place] = set()

    def add(self, act: Act, tally: Tally) -> None:
        """Keep the baselines that an event publishes."""
        version = act.event.version or ""
        for place, one in enumerate(act.event.baselines or ()):
            at = (version, one.segment, one.signal)
            self._kept.pop(at, None)
            self._kept[at] = _Row(act.seq, place, _encode_one(one))
            self._changed.add(at)
        if gone := list(self._kept)[: max(0, len(self._kept) - self._bound)]:
            for at in gone:
                del self._kept[at]
            self._changed.update(gone)
            tally.count("evicted_total", "baselines", by=len(gone))

    def of(self, key: SeriesKey) -> PublishedBaseline | None:
        """Give what a series begins with: what was published for its version, or for any."""
        if not self._kept:
            return None
        row = self._kept.get((key.version, *key[2:])) or self._kept.get(("", *key[2:]))
        return None if row is None else _decode_one(row.baseline)

    def rows(self) -> dict[Place, bytes | None]:
        """Give what changed since the last call; None for what is kept no longer."""
        changed, self._changed = self._changed, set()
        return {at: _encode(row) if (row := self._kept.get(at)) else None for at in sorted(changed)}

    def restore(self, at: Place, row: bytes) -> None:
        """Take a row of a checkpoint; raises UnreadableRowError where it cannot be read."""
        try:
            read = _decode(row)
            one = _decode_one(read.baseline)
        except UNREADABLE as error:
            raise UnreadableRowError(str(error)) from error
        if (one.segment, one.signal) != at[1:]:
            raise UnreadableRowError(f"a baseline of {one.signal} does not stand here")
        self._kept[at] = read

    def restored(self) -> None:
        """Put what was restored in the order in which it was published."""
        self._kept = dict(sorted(self._kept.items(), key=lambda one: (one[1].seq, one[1].place)))


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
        if isinstance(admitted.event, Lifecycle)
        and (admitted.event.kind in NEEDS_ACTOR or admitted.event.baselines)
    ]


def _digest(baseline: Baseline | None) -> str:
    return "(learned from here on)" if baseline is None else f"(sha256 {baseline.digest})"
