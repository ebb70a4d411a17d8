"""False alarms: many copies of a model in which nothing changes, against what its budget declares."""

from __future__ import annotations

import numpy as np

from stream.lab.families import STATIONARY
from stream.lab.job import Job, Result
from stream.lab.measures import Timeline
from stream.lab.sources import DAY_READINGS, times_of
from stream.lab.watchers import SHARE, Watcher

CHUNK = 1_600


def run(job: Job, watcher: Watcher) -> Result:
    """Watch the copies of a stationary stream; every alarm is a false one."""
    series = STATIONARY[job.stream].series
    rng = job.rng()
    sources = [one.begin(rng, job.copies) for one in series]
    sorts = [one.sort for one in series]
    watching = watcher.begin(sorts, job.copies)
    timeline = Timeline(job.copies, len(series))
    was_open = np.zeros((job.copies, len(series)), np.bool_)
    n = int(job.days * DAY_READINGS)
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        times = times_of(start, size)
        alarms = watching.take([source.chunk(start, size) for source in sources], times)
        raised = np.zeros(was_open.shape)
        np.add.at(raised, (alarms.copy, alarms.series), 1)
        now_open = watching.open(float(times[-1]))
        timeline.take(raised, now_open.astype(np.float64), was_open.astype(np.float64))
        was_open = now_open
    declared = None
    if watcher.declares is not None:
        share = sum(SHARE[sort] for sort in set(sorts))
        declared = watcher.declares * share * job.copies * job.days / 30.0
    return {
        "model_months": job.copies * job.days / 30.0,
        "declared": declared,
        "alarms": int(timeline.alarms.sum()),
        "episodes": int(timeline.episodes.sum()),
        "copies": job.copies,
        "copies_that_alarm": int((timeline.alarms.sum(1) > 0).sum()),
        "open_share": timeline.share_open(),
        "by_series": {
            one.name: int(count) for one, count in zip(series, timeline.alarms.sum(0).tolist(), strict=True)
        },
    }
