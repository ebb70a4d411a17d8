"""Alert: which findings on-call should see, and under which name."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from schemas.alerts import AlertReason, Evidence
from stream.core.nouns import Finding, SeriesSpec

_encode = msgspec.json.Encoder().encode


class Suppressed(StrEnum):
    """Why a finding was not published."""

    UNCHANGED = "unchanged"


def fingerprint(spec: SeriesSpec) -> str:
    """Name what an alert is about, over its labels only: the same trouble has the same name again."""
    return digest(*spec.key, spec.kind)


def digest(*parts: str | float) -> str:
    """Give 16 hexadecimal digits that depend on *parts* and nothing else."""
    return hashlib.blake2b(_encode(parts), digest_size=8).hexdigest()


def decide(last_alert: float | None, at: float, repeat_seconds: float) -> AlertReason | Suppressed:
    """Choose why a finding is published, or why not, from the time of the incident's last alert.

    Times are seconds since the epoch; None means that no incident is open.
    """
    if last_alert is None:
        return AlertReason.FIRST
    if at - last_alert >= repeat_seconds:
        return AlertReason.REPEAT_DUE
    return Suppressed.UNCHANGED


def evidence_of(finding: Finding) -> Evidence:
    """Turn a finding into the evidence that is published."""
    return Evidence(
        observed=finding.observed,
        expected=finding.expected,
        statistic=finding.statistic,
        threshold=finding.threshold,
        n=finding.n,
        window_start=utc(finding.window_start),
        window_end=utc(finding.window_end),
        detector=finding.detector,
    )


def utc(seconds: float) -> datetime:
    """Turn seconds since the epoch into a time in UTC, to the microsecond."""
    return datetime.fromtimestamp(round(seconds, 6), UTC)

