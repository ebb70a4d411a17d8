"""What a step says to the outside: in order, and counted."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.alerts import AlertReason, Rejected
from stream.core.nouns import Record, Result


def count(result: Result) -> None:
    """Count the alerts, the rejected and the forwarded messages of *result* in its tally."""
    tally = result.tally
    for alert in result.alerts:
        labels = (alert.model, alert.kind.value, alert.severity.value)
        tally.count("alerts_total", *labels)
        if alert.reason is AlertReason.FIRST:
            tally.count("incidents_total", *labels)
            delay = (alert.detected_at - alert.evidence.window_start).total_seconds()
            tally.observe("detection_delay_seconds", alert.model, value=delay)
    for rejected in result.rejected:
        tally.count("rejected_total", rejected.reason.value)
    for forward in result.forwards:
        tally.count("forwarded_total", forward.topic.suffix)


def put_in_order(rejected: list[Rejected], records: Sequence[Record], prefix: str) -> None:
    """Sort messages that were rejected for different reasons by where they stand."""
    if len(rejected) > 1:
        turn = {(prefix + r.topic.suffix, r.offset): place for place, r in enumerate(records)}
        rejected.sort(key=lambda one: (turn[one.source.topic, one.source.offset], one.source.index or 0))
