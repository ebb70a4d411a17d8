"""The flights of 2013: their errors under every detector, and the whole log through the pipeline.

Nobody knows what the truth is. What is known is how late aircraft were: beside each incident stands the share
of late and of cancelled flights in the week up to it, against that of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final

import numpy as np
import orjson

from schemas.alerts import Incident
from stream.core.nouns import utc
from stream.demo.flights import FIRST_DAY, Flight, events, read_flights
from stream.lab.families import Sort
from stream.lab.faults import through_pipeline
from stream.lab.job import Job, Result
from stream.lab.sources import DAY_SECONDS, Floats
from stream.lab.watchers import Watcher

SHIFTS: Final = (0, 15, 30, 45)
"""Days after 1 March on which the log begins."""

MUST_FIND: Final = {
    "early July": (date(2013, 6, 27), date(2013, 7, 11)),
    "9 December": (date(2013, 12, 8), date(2013, 12, 12)),
}
"""Changes that everybody sees in the data, and within which days on-call has to know of the errors."""

_CHUNK: Final = 1_600


def run_errors(watcher: Watcher) -> Result:
    """Show the errors to a detector, from each shift of the start on; give when it alarmed."""
    labelled, predicted, wrong = _errors()
    found: dict[str, Any] = {}
    for shift in SHIFTS if watcher.declares is not None else SHIFTS[:1]:
        part = labelled >= labelled[0] + shift * DAY_SECONDS
        times, values = predicted[part], wrong[part]
        # Series are watched in the time of the prediction; it must not go back.
        times = np.maximum.accumulate(times)
        watching = watcher.begin([Sort.ERROR], 1)
        places: list[int] = []
        episodes, was_open = 0, False
        for start in range(0, len(times), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            alarms = watching.take([values[None, chunk]], times[chunk]).place
            episodes += int(len(alarms) > 0 and not was_open)
            was_open = bool(watching.open(float(times[chunk][-1]))[0, 0])
            places += (start + alarms).tolist()
        days = np.unique(labelled[part][places] // DAY_SECONDS).tolist() if places else []
        when = [utc(DAY_SECONDS * day).date().isoformat() for day in days]
        found[str(shift)] = {"alarms": len(places), "episodes": episodes, "days": when}
    return {"shifts": found, "readings": len(wrong)}


def run_pipeline(job: Job) -> Result:
    """Lead the log, from a shift of the start on, through the default policy."""
    first = FIRST_DAY + timedelta(days=job.seed)
    lines = (orjson.dumps(event) for event in events(first=first, flights=_flights()))
    incidents = through_pipeline(lines)
    late, cancelled = _shares([day for day in _by_day() if day >= FIRST_DAY])
    return {
        "shift": job.seed,
        "incidents": [_told(one) for one in incidents],
        "late_share": late,
        "cancelled_share": cancelled,
    }


def _told(incident: Incident) -> dict[str, Any]:
    day = incident.detected_at.date()
    late, cancelled = _around(day)
    evidence = incident.evidence
    return {
        "kind": incident.kind.value,
        "signal": incident.signal,
        "at": incident.detected_at.isoformat(),
        "until": incident.resolved_at.isoformat() if incident.resolved_at else None,
        "detector": evidence.detector,
        "observed": evidence.observed,
        "expected": evidence.expected,
        "n": evidence.n,
        "from": evidence.window_start.isoformat(),
        "late": late,
        "cancelled": cancelled,
        "parts": [
            {
                "kind": part.kind.value,
                "signal": part.signal,
                "at": part.detected_at.isoformat(),
                "until": part.resolved_at.isoformat() if part.resolved_at else None,
            }
            for part in incident.parts
        ],
    }


@cache
def _flights() -> list[Flight]:
    return read_flights()


@cache
def _errors() -> tuple[Floats, Floats, Floats]:
    """Give when each label came, when its prediction was made, and whether that was wrong; by the labels."""
    table = np.array(list(_outcomes()))
    return table[:, 0], table[:, 1], table[:, 2]


def _outcomes() -> Iterator[tuple[float, float, float]]:
    made: dict[str, tuple[float, int]] = {}
    for event in events(flights=_flights()):
        time = datetime.fromisoformat(event["time"]).timestamp()
        if event["type"] == "prediction":
            made[event["id"]] = time, event["output"]
        else:
            when, output = made[event["prediction_id"]]
            yield time, when, float(output != event["label"])


@cache
def _by_day() -> dict[date, tuple[int, int, int]]:
    days: dict[date, list[int]] = {}
    for flight in _flights():
        own = days.setdefault(flight.day, [0, 0, 0])
        own[0] += 1
        own[1] += bool(flight.late)
        own[2] += flight.arrived is None
    return {day: (own[0], own[1], own[2]) for day, own in days.items()}


def _around(day: date) -> tuple[float, float]:
    """Give the shares of late and of cancelled flights in the week that ends with *day*."""
    return _shares([day - timedelta(days=back) for back in range(7)])


def _shares(days: Sequence[date]) -> tuple[float, float]:
    known = [_by_day()[day] for day in days if day in _by_day()]
    total, late, gone = (sum(column) for column in zip(*known, strict=True))
    return late / total, gone / total
