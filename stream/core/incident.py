"""Incident: the record that an alert opens; series that move together are parts of one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from math import inf
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

import msgspec
import numpy as np

from schemas.alerts import AlertReason, Incident, IncidentState, Kind, Severity
from schemas.policy import Policy
from stream.core.errors import UnreadableRowError
from stream.core.nouns import (
    Change,
    Finding,
    Healed,
    SeriesKey,
    SeriesSpec,
    Suppressed,
    Watched,
    utc,
)
from stream.core.opening import alert_of, opened_by, trigger_of
from stream.core.parts import Held, counted, part_of, quieted, with_part
from stream.core.procedure import Actor, Cause, close, moved
from stream.core.rows import UNREADABLE, Moment


class Decide(Protocol):
    """Chooses why a finding is published, or why not."""

    def __call__(
        self, last_alert: float | None, at: float, repeat_seconds: float, *, escalates: bool
    ) -> AlertReason | Suppressed:
        """Choose by the time of the last alert, if any, by its own, and by whether it is graver."""


class Open(msgspec.Struct, kw_only=True):
    """An open incident with the series that it is about, and the times of its last alert and its last join.

    Times are in seconds since the epoch. Rows from before incidents had parts have ``last_finding`` and
    ``clock`` in place of ``held`` and ``joined``.
    """

    incident: Incident
    last_alert: Moment
    joined: Moment = 0.0
    held: list[Held] = []
    last_finding: Moment = 0.0
    clock: Moment = 0.0


class _Gone(NamedTuple):
    """A version is watched no longer."""

    version: str


class _Moment(NamedTuple):
    """One thing that a series shows at the event *seq*.

    That is a finding, or that a lasting change is over at *due*, or that it has been quiet since *due*; or
    that its version is gone.
    """

    seq: int
    series: SeriesKey
    part: Watched | None
    finding: Finding | Healed | _Gone | None
    due: float


HISTORY_MAX: Final = 100
"""Lines of a history from which on what is accepted in part has none: an incident has to fit its topic."""

NAMED_MAX: Final = 20
"""Series that the history names of those that somebody accepted at once."""

_NOBODY: Final[Mapping[str, int]] = MappingProxyType({})
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Open).decode


class Incidents:
    """Opens, updates and closes the incidents of one model, in the log's order.

    A finding of a series that no open incident is about opens one, unless it comes within ``group_seconds``
    of the last series that joined one that is open: then both have one cause. A series has
    recovered when its own readings have gone on for ``recover_seconds`` of event time without a finding, an
    incident when all its series have. A series that falls silent does not recover.
    """

    def __init__(self, policy: Policy, decide: Decide) -> None:
        self._alerting = policy.alerting
        self._decide = decide
        self._open: dict[SeriesKey, Open] = {}
        self._of: dict[SeriesKey, Open] = {}
        self._held: dict[SeriesKey, Held] = {}
        self._changed: set[SeriesKey] = set()

    def __len__(self) -> int:
        """Give how many incidents are open."""
        return len(self._open)

    def follow(
        self,
        watched: Sequence[Watched],
        prefix: str,
        *,
        ended_by: Cause = Cause.QUIET,
        going: Mapping[str, int] = _NOBODY,
    ) -> list[Change]:
        """Take what was read and found; give the incidents as they changed, in the log's order.

        *ended_by* is what the end of an incident that recovers is put down to; *going* are the versions that
        are watched no longer, each from the event with that number on.
        """
        found = {part.spec.key for part in watched if part.findings}
        concerned = [part for part in watched if part.spec.key in found or part.spec.key in self._of]
        if not concerned and not (going and self._held):
            return []
        last: dict[SeriesKey, float | None] = {
            key: None if held.is_quiet else inf if held.lasts else held.last_finding
            for key, held in self._held.items()
        }
        moments = list(chain.from_iterable(self._moments(part, last) for part in concerned))
        moments += [
            _Moment(seq, SeriesKey("", gone, "", ""), None, _Gone(gone), 0.0) for gone, seq in going.items()
        ]
        moments.sort(key=lambda one: (one.seq, one.series.signal, one.series.version, one.series.segment))
        changes: list[Change] = []
        for moment in moments:
            if isinstance(moment.finding, _Gone):
                self._read(part for part in concerned if part.spec.key.version == moment.finding.version)
                gone = self.close_unwatched(moment.finding.version)
                changes += [Change(moment.seq, None, incident) for incident in gone]
            elif isinstance(moment.finding, Healed):
                self._heal(moment.series, moment.due)
            elif moment.finding is None:
                changes.append(self._quieten(moment.series, moment.due, ended_by, moment.seq))
            elif moment.part is not None:
                changes += self._found(moment.seq, moment.part, moment.finding, prefix)
        self._read(concerned)
        return changes

    def close_unwatched(self, version: str | None = None) -> list[Incident]:
        """Take the series of a version, of all where None is given, for watched no longer.

        Gives the incidents that this changed, as they are now, in the order of their first series.
        """
        changed: dict[SeriesKey, Incident] = {}
        for key in sorted(self._held):
            held = self._held.get(key)  # gone, if the series before closed its incident
            if held is not None and not held.is_quiet and (version is None or key.version == version):
                change = self._quieten(key, held.clock, Cause.UNWATCHED, seq=0)
                changed[_first(change.incident)] = change.incident
        return [changed[first] for first in sorted(changed)]

    def accept(self, accepted: Mapping[SeriesKey, str], at: float, by: Actor, seq: int) -> list[Change]:
        """Take what series changed to for normal from *at* on, in epoch seconds, as *by* said in event *seq*.

        *accepted* tells of each which baseline gave way to which. Gives the incidents that are about them.
        """
        concerned: dict[SeriesKey, list[SeriesKey]] = {}
        for key in sorted(accepted):
            if self.is_moving(key):
                concerned.setdefault(_first(self._of[key].incident), []).append(key)
        changes: list[Change] = []
        for _, keys in sorted(concerned.items()):
            opened = self._of[keys[0]]
            for key in keys:
                self._still(key, max(at, self._held[key].clock))
            detail = "; ".join(accepted[key] for key in keys[:NAMED_MAX])
            if len(keys) > NAMED_MAX:
                detail += f"; and {len(keys) - NAMED_MAX} more"
            if all(one.is_quiet for one in opened.held):
                opened.incident = close(
                    opened.incident, Cause.ACCEPTED, self._end(opened, at), detail=detail, by=by
                )
            elif len((before := opened.incident).history) < HISTORY_MAX:
                _, history = moved(before.state, before.history, Cause.ACCEPTED_IN_PART, at, detail, by)
                opened.incident = msgspec.structs.replace(before, history=history)
            changes.append(Change(seq, None, opened.incident))
        return changes

    def is_moving(self, key: SeriesKey) -> bool:
        """Tell whether something is still the matter with a series, as an open incident says."""
        held = self._held.get(key)
        return held is not None and not held.is_quiet

    def is_open(self, key: SeriesKey) -> bool:
        """Tell whether an open incident is about that series."""
        return key in self._of

    def about(self) -> list[SeriesKey]:
        """Give the series that open incidents are about, in order."""
        return sorted(self._of)

    def held(self, key: SeriesKey) -> Open | None:
        """Give the open incident that is kept by a series, its first; None where there is none."""
        return self._open.get(key)

    def hold(self, key: SeriesKey, opened: Open) -> None:
        """Take an incident that was opened, or went on, for a reason other than a finding of a detector."""
        self._open[key] = opened
        self._changed.add(key)
        self._own(opened)

    def let_go(self, watched: Container[SeriesKey]) -> None:
        """Wait for no detector that is no more: whose series is not among those *watched*."""
        for key, held in self._held.items():
            if held.lasts and key not in watched:
                held.lasts, held.last_finding = False, held.clock
                self._touch(self._of[key])

    def open_incidents(self) -> list[Incident]:
        """Give the incidents that are open now."""
        return [opened.incident for opened in self._open.values()]

    def rows(self) -> dict[SeriesKey, bytes | None]:
        """Give the open incidents that changed since the last call; None for one that was closed.

        Each by its first series.
        """
        changed, self._changed = self._changed, set()
        return {key: _encode(held) if (held := self._open.get(key)) else None for key in sorted(changed)}

    def restore(self, key: SeriesKey, row: bytes) -> set[str]:
        """Take an open incident; give the versions whose series it waits for.

        Raises UnreadableRowError where it cannot be read, or is another series'.
        """
        try:
            opened = _decode(row)
        except UNREADABLE as error:
            raise UnreadableRowError(str(error)) from error
        one = opened.incident
        if _first(one) != key or one.state is not IncidentState.DETECTED:
            raise UnreadableRowError(f"the incident {one.id} does not stand here")
        if not opened.held:
            opened.held = [Held(key, opened.last_finding, opened.clock)]
            opened.joined = one.detected_at.timestamp()
            opened.incident = msgspec.structs.replace(one, parts=(part_of(one),))
        series = [held.series for held in opened.held]
        is_another = key not in series or any(self._of.get(own, opened) is not opened for own in series)
        if is_another or len(set(series)) < len(series) or {own.model for own in series} != {key.model}:
            raise UnreadableRowError(f"the incident {one.id} is about series that are not its own")
        self._open[key] = opened
        self._own(opened)
        return {held.series.version for held in opened.held if not held.is_quiet and held.series.version}

    def _own(self, opened: Open) -> None:
        for held in opened.held:
            self._of[held.series], self._held[held.series] = opened, held

    def _read(self, parts: Iterable[Watched]) -> None:
        """Move the clocks of series on to what was read of them."""
        for part in parts:
            held = self._held.get(part.spec.key)
            if held is not None and not held.is_quiet:
                held.clock = float(part.readings.times[-1])
                self._touch(self._of[part.spec.key])

    def _moments(self, part: Watched, lasts: dict[SeriesKey, float | None]) -> Iterator[_Moment]:
        """Give what happens to one series, in order: what it finds, and when it has recovered in between.

        *lasts* are the times of the last findings of the series that have not recovered, before and after.
        """
        key, readings = part.spec.key, part.readings
        last, start = lasts.get(key), 0
        for finding in part.findings:
            last, quiet = self._recovers(part, last, start, finding.index + 1)
            yield from quiet
            start, at = finding.index, float(readings.times[finding.index])
            if isinstance(finding, Healed):
                last = None if last is None else at
            else:
                last = inf if finding.lasts else at
            yield _Moment(readings.at[finding.index].seq, key, part, finding, at)
        lasts[key], quiet = self._recovers(part, last, start, len(readings))
        yield from quiet

    def _recovers(
        self, part: Watched, last: float | None, start: int, stop: int
    ) -> tuple[float | None, list[_Moment]]:
        """Find, among the readings from *start* to *stop*, the first at which the series has recovered."""
        if last is None:
            return None, []
        due = last + self._alerting.recover_seconds
        place = start + int(np.searchsorted(part.readings.times[start:stop], due))
        if place >= stop:
            return last, []
        return None, [_Moment(part.readings.at[place].seq, part.spec.key, part, None, due)]

    def _found(self, seq: int, part: Watched, finding: Finding, prefix: str) -> Iterator[Change]:
        """Take a finding into the incident about its series, one of the same cause, or one of its own."""
        spec, readings = part.spec, part.readings
        at = float(readings.times[finding.index])
        trigger = trigger_of(readings, finding, prefix)
        opened = self._of.get(spec.key)
        is_new = opened is None
        last_alert = None
        if opened is None and (opened := self._of_one_cause(spec, at)) is None:
            one = opened_by(spec, finding, at, trigger, self._alerting)
            opened = self._open[spec.key] = Open(incident=one, last_alert=at)
        else:
            last_alert = opened.last_alert
        if is_new:
            self._join(opened, spec, finding, at)
        severity = max(opened.incident.severity, self._alerting.severity.of(spec.kind), key=_RANK.__getitem__)
        is_graver = finding.is_worse or severity is not opened.incident.severity
        repeat_seconds = inf if finding.lasts else self._alerting.repeat_seconds  # what lasts was told
        reason = self._decide(last_alert, at, repeat_seconds, escalates=is_graver)
        held = self._held[spec.key]
        was_quiet, held.is_quiet, held.last_finding = held.is_quiet, False, at
        held.lasts = finding.lasts
        opened.incident = msgspec.structs.replace(counted(opened.incident, spec.key), severity=severity)
        self._touch(opened)
        alert = None
        if not isinstance(reason, Suppressed):
            opened.last_alert = at
            opened.incident = msgspec.structs.replace(
                opened.incident, alerts=opened.incident.alerts + 1, last_alert_at=utc(at)
            )
            alert = alert_of(spec, opened.incident, reason, finding, at, trigger)
        if alert is not None or is_new or was_quiet:
            yield Change(seq, alert, opened.incident)

    def _heal(self, key: SeriesKey, at: float) -> None:
        """Take a lasting change for over: the recovery time of its series begins."""
        held = self._held.get(key)
        if held is not None and held.lasts:
            held.lasts, held.last_finding = False, at
            self._touch(self._of[key])

    def _of_one_cause(self, spec: SeriesSpec, at: float) -> Open | None:
        """Give the newest open incident that a finding at *at* belongs to: that was joined just before."""
        if spec.kind is Kind.GOVERNANCE or not self._alerting.group_seconds:
            return None
        near = [
            opened
            for opened in self._open.values()
            if opened.incident.kind is not Kind.GOVERNANCE
            and at <= opened.joined + self._alerting.group_seconds
        ]
        return max(near, key=lambda one: (one.incident.detected_at, one.incident.id), default=None)

    def _join(self, opened: Open, spec: SeriesSpec, finding: Finding, at: float) -> None:
        held = self._held[spec.key] = Held(spec.key, at, at)
        opened.held.append(held)
        opened.joined = max(opened.joined, at)
        opened.incident = with_part(opened.incident, spec, finding, at)
        self._of[spec.key] = opened

    def _quieten(self, key: SeriesKey, at: float, cause: Cause, seq: int) -> Change:
        """Take a series for recovered, or watched no longer; the last one closes the incident."""
        opened = self._still(key, at)
        if all(one.is_quiet for one in opened.held):
            opened.incident = close(opened.incident, cause, self._end(opened, at))
        return Change(seq, None, opened.incident)

    def _still(self, key: SeriesKey, at: float) -> Open:
        """Let nothing more be the matter with a series from *at* on; give its incident."""
        opened, held = self._of[key], self._held[key]
        held.is_quiet, held.lasts, held.clock = True, False, max(held.clock, at)
        opened.incident = quieted(opened.incident, key, at)
        self._touch(opened)
        return opened

    def _end(self, opened: Open, at: float) -> float:
        """Keep an incident no longer in which nothing is the matter; give when it ended."""
        del self._open[_first(opened.incident)]
        for one in opened.held:
            del self._of[one.series], self._held[one.series]
        ended = [part.resolved_at.timestamp() for part in opened.incident.parts if part.resolved_at]
        return max([at, *ended])

    def _touch(self, opened: Open) -> None:
        self._changed.add(_first(opened.incident))


def _first(incident: Incident) -> SeriesKey:
    """Give the series that opened *incident*, by which it is kept."""
    return SeriesKey(incident.model, incident.version, incident.segment, incident.signal)
