"""Real series in which people marked the changes: the change-point sets that river carries.

They are those of the Turing Change Point Dataset (van den Burg and Williams, 2020), marked by five people
each. All are far shorter than what quiet learns from; they are here to say so, and to see what others find.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from river.drift import datasets

from stream.lab.families import Sort
from stream.lab.job import Job, Result
from stream.lab.measures import agreement
from stream.lab.sources import DAY_SECONDS, Floats, times_of
from stream.lab.watchers import Watcher

BEFORE: Final = 5
AFTER: Final = 30
"""An alarm counts for a change point from 5 readings before it (people mark roughly) to 30 behind it."""

SETS: Final[Mapping[str, tuple[type[Any], int]]] = {
    "airline passengers": (datasets.AirlinePassengers, 1),
    "apple": (datasets.Apple, 3),
    "bitcoin": (datasets.Bitcoin, 1),
    "occupancy": (datasets.Occupancy, 1),
    "run log": (datasets.RunLog, 1),
    "coal employment": (datasets.UKCoalEmploy, 1),
}
"""Each set, and of how many rows its annotators saw one."""

LEFT_OUT: Final = {
    "brent crude oil": "the marks are places in a thinned series (up to 483), river carries 8,195 days",
}


def run(job: Job, watcher: Watcher) -> Result:
    """Show all columns of a set to a detector, a reading a day; an alarm of any column is an alarm."""
    columns, marked = load(job.stream)
    values = [column[None, :] for column in columns]
    times = times_of(0, len(columns[0]), DAY_SECONDS)
    watching = watcher.begin([Sort.NUMBER] * len(columns), 1)
    places = sorted(set(watching.take(values, times).place.tolist()))
    agreed = agreement(places, marked, before=BEFORE, after=AFTER)
    return {
        "readings": len(columns[0]),
        "columns": len(columns),
        "marks": [len(own) for own in marked.values()],
        "alarms": places,
        "precision": agreed.precision,
        "recall": agreed.recall,
        "f1": agreed.f1,
    }


def load(name: str) -> tuple[Sequence[Floats], Mapping[str, Sequence[int]]]:
    """Give the columns of a set, shape (n,) each, and what each person marked: places in them."""
    kind, every = SETS[name]
    made = kind()
    rows = [_numbers(features, target) for features, target in made][::every]
    table = np.array(rows, np.float64)
    return list(table.T), made.annotations


def _numbers(features: Mapping[str, object], target: object) -> list[float]:
    """Give the numbers of a row: what is to be predicted, and nothing of dates."""
    values = target.values() if isinstance(target, Mapping) else [target]
    return [float(value) for value in values if isinstance(value, int | float)] or [
        float(value) for value in features.values() if isinstance(value, int | float)
    ]
