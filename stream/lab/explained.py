"""What is known of the flights in 2013 that explains an incident: of days, or of the week up to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

_CANCELLED: Final = "of a cancelled flight no aircraft is known: the days on which most were cancelled"

KNOWN: Final = (
    (
        "feature:hour",
        date(2013, 3, 10),
        date(2013, 3, 16),
        "New York's clocks change: the hour is New York's, a series' season is in UTC",
    ),
    ("feature:hour", date(2013, 11, 3), date(2013, 12, 31), "New York's clocks changed on 3 November"),
    ("missing:seats", date(2013, 5, 23), date(2013, 5, 25), _CANCELLED),
    ("missing:seats", date(2013, 9, 12), date(2013, 9, 14), _CANCELLED),
    ("missing:seats", date(2013, 12, 9), date(2013, 12, 16), _CANCELLED),
    (
        "new_category:destination",
        date(2013, 4, 1),
        date(2013, 9, 30),
        "destinations of the summer that were not flown to at first (AVL, ABQ, BGR; ACK, MVY, TVC)",
    ),
    ("output", date(2013, 11, 3), date(2013, 12, 31), "the winter's timetable, after 3 November"),
    ("feature:seats", date(2013, 12, 20), date(2013, 12, 31), "the holidays' timetable"),
    ("feature:scheduled_minutes", date(2013, 12, 18), date(2013, 12, 31), "the holidays' timetable"),
)
"""Signal, first and last day, and what the data show of them."""


def explained(incident: Mapping[str, Any], late: float, gone: float) -> str:
    """Say what was out of the ordinary: on the day, or else in the week up to it."""
    day = datetime.fromisoformat(incident["at"]).date()
    for signal, first, last, why in KNOWN:
        if signal == incident["signal"] and first <= day <= last:
            return why
    if incident["late"] > 1.25 * late or incident["cancelled"] > 2.0 * gone:
        return "a bad week: late or cancelled flights"
    if incident["late"] < 0.75 * late:
        return "a good week: few were late"
    return "the timetable" if incident["kind"] == "drift" else "nothing that the week shows"
