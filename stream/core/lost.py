"""Lost: input that Kafka deleted before anybody read it, told as an incident of governance."""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas.alerts import Alert, AlertReason, Evidence, Incident, Kind, Trigger
from schemas.policy import Alerting
from stream.core.identity import digest, fingerprint
from stream.core.nouns import Change, SeriesKey, SeriesSpec, Topic, utc
from stream.core.procedure import Cause, begin

DETECTOR: Final = "log_start"
"""Named as the detector in the evidence: what was compared is where the log of a topic begins."""


class Gap(NamedTuple):
    """Offsets from *start* to before *stop* of a topic that will never be read.

    *is_lost* says that Kafka deleted them unread; else they hold no records (markers of transactions).
    """

    start: int
    stop: int
    is_lost: bool


def lost_input(
    topic: Topic, partition: int, gap: Gap, *, prefix: str, alerting: Alerting, at: float
) -> Change:
    """Open the incident of a lost gap in *partition* of *topic*; *at* is when it was seen, in epoch seconds.

    Its id follows from topic, partition and the first lost offset: a position is passed once, so whoever
    finds the same gap again gives it the same id. It concerns no model in particular, and never recovers:
    nothing brings the records back.
    """
    name, count = prefix + topic.suffix, gap.stop - gap.start
    key = SeriesKey(model="", version="", segment="", signal=f"lost:{topic.suffix}-{partition}")
    mark = fingerprint(SeriesSpec(key=key, kind=Kind.GOVERNANCE, only_rise=True))
    detail = f"offsets {gap.start} to {gap.stop - 1} of topic {name}, partition {partition}"
    state, history = begin(Cause.LOST, at, detail)
    when = utc(at)
    evidence = Evidence(
        observed=float(count),
        expected=0.0,
        statistic=float(count),
        threshold=0.0,
        n=count,
        window_start=when,
        window_end=when,
        detector=DETECTOR,
    )
    trigger = Trigger(topic=name, partition=partition, offset=gap.start, event_id="")
    incident = Incident(
        id=f"inc-{digest(mark, name, partition, gap.start)}",
        fingerprint=mark,
        **key._asdict(),
        kind=Kind.GOVERNANCE,
        severity=alerting.severity.of(Kind.GOVERNANCE),
        state=state,
        detected_at=when,
        opened_at=when,
        last_alert_at=when,
        resolved_at=None,
        alerts=1,
        findings=1,
        evidence=evidence,
        trigger=trigger,
        roles=alerting.roles,
        history=history,
    )
    alert = Alert(
        id=f"alt-{digest(incident.id, 1)}",
        incident_id=incident.id,
        fingerprint=mark,
        **key._asdict(),
        kind=incident.kind,
        severity=incident.severity,
        reason=AlertReason.FIRST,
        detected_at=when,
        evidence=evidence,
        trigger=trigger,
    )
    return Change(0, alert, incident)
