"""Parts: the series that make up one incident, and in what order their evidence stands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.alerts import Incident, Part
from stream.core.identity import fingerprint
from stream.core.nouns import Finding, SeriesKey, SeriesSpec, utc
from stream.core.rows import Moment

PARTS_MAX: Final = 50
"""Parts that an incident shows; of more series those with the strongest evidence."""


class Held(msgspec.Struct, array_like=True):
    """Where one series of an open incident stands; times are in seconds since the epoch.

    *clock* is that of its newest reading; *is_quiet* says that it has recovered. While its change *lasts* its
    detector will say when it is over.
    """

    series: SeriesKey
    last_finding: Moment
    clock: Moment
    is_quiet: bool = False
    lasts: bool = False


def with_part(incident: Incident, spec: SeriesSpec, finding: Finding, at: float) -> Incident:
    """Give *incident* with one series more, by its first *finding*, at *at* in epoch seconds."""
    part = Part(
        fingerprint=fingerprint(spec),
        version=spec.key.version,
        segment=spec.key.segment,
        signal=spec.key.signal,
        kind=spec.kind,
        turn=0,
        detected_at=utc(at),
        resolved_at=None,
        findings=0,
        evidence=finding.evidence(),
    )
    return msgspec.structs.replace(
        incident,
        series=incident.series + 1 if incident.parts else 1,
        parts=_ranked([*incident.parts, part]),
    )


def part_of(incident: Incident) -> Part:
    """Give the only part of an incident that was kept before incidents had parts."""
    return Part(
        fingerprint=incident.fingerprint,
        version=incident.version,
        segment=incident.segment,
        signal=incident.signal,
        kind=incident.kind,
        turn=1,
        detected_at=incident.detected_at,
        resolved_at=None,
        findings=incident.findings,
        evidence=incident.evidence,
    )


def counted(incident: Incident, series: SeriesKey) -> Incident:
    """Give *incident* with one finding more, of *series*, which has not recovered if it had."""
    parts = tuple(
        msgspec.structs.replace(part, findings=part.findings + 1, resolved_at=None)
        if _is_of(part, series)
        else part
        for part in incident.parts
    )
    return msgspec.structs.replace(incident, findings=incident.findings + 1, parts=parts)


def quieted(incident: Incident, series: SeriesKey, at: float) -> Incident:
    """Give *incident* with *series* recovered, or watched no longer, at *at* in epoch seconds."""
    parts = tuple(
        msgspec.structs.replace(part, resolved_at=utc(at)) if _is_of(part, series) else part
        for part in incident.parts
    )
    return msgspec.structs.replace(incident, parts=parts)


def _is_of(part: Part, series: SeriesKey) -> bool:
    return (part.signal, part.version, part.segment) == (series.signal, series.version, series.segment)


def _ranked(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Put parts in order, strongest evidence first, and number them by when they moved."""
    strongest = sorted(parts, key=_weakness)[:PARTS_MAX]
    by_time = sorted(strongest, key=_began)
    turns = {part.fingerprint: turn for turn, part in enumerate(by_time, 1)}
    return tuple(msgspec.structs.replace(part, turn=turns[part.fingerprint]) for part in strongest)


def _weakness(part: Part) -> tuple[float, datetime, str, str, str]:
    """Rank by how far beyond its threshold the statistic is: detectors have units of their own."""
    evidence = part.evidence
    excess = evidence.statistic / evidence.threshold if evidence.threshold > 0 else evidence.statistic
    return (-abs(excess), part.detected_at, part.signal, part.version, part.segment)


def _began(part: Part) -> tuple[datetime, datetime, str, str, str]:
    return (part.evidence.window_start, part.detected_at, part.signal, part.version, part.segment)
