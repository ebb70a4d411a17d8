"""Alert: which findings on-call should see."""

from __future__ import annotations

from schemas.alerts import AlertReason
from stream.core.nouns import Suppressed


def decide(
    last_alert: float | None, at: float, repeat_seconds: float, *, escalates: bool
) -> AlertReason | Suppressed:
    """Choose why a finding is published, or why not, from the time of the incident's last alert.

    Times are seconds since the epoch; None means that no incident is open. *escalates* says that the finding
    makes the incident more severe than it was.
    """
    if last_alert is None:
        return AlertReason.FIRST
    if escalates:
        return AlertReason.ESCALATED
    if at - last_alert >= repeat_seconds:
        return AlertReason.REPEAT_DUE
    return Suppressed.UNCHANGED
