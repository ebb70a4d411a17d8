"""How much memory a pending prediction takes: resident bytes before and after many of them."""

from __future__ import annotations

import gc
import sys
from itertools import islice

from benchmarks.events import Load, entries
from benchmarks.probes.stepping import BATCH_RECORDS, record
from benchmarks.processes import report, resident_bytes
from stream.config import load_settings
from stream.wiring import build_replay_pipeline


def main(policy: str, count: str) -> None:
    """Let *count* predictions wait; a few come before the first look, so that all code is there."""
    pipeline = build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": policy}))
    warming = BATCH_RECORDS
    log = entries(Load(predictions=int(count) + warming, labels=False))
    pipeline.step([record(entry, place) for place, entry in enumerate(islice(log, warming))], float("inf"))
    gc.collect()
    before = resident_bytes()
    place = warming
    while chunk := list(islice(log, BATCH_RECORDS)):
        pipeline.step([record(entry, place + at) for at, entry in enumerate(chunk)], float("inf"))
        place += len(chunk)
    del chunk
    gc.collect()
    waiting = pipeline.gauges().gauges["pending_predictions", ("fraud",)]
    grown = min(waiting, int(count))
    report({"bytes per pending prediction": (resident_bytes() - before) / grown, "pending": waiting})


if __name__ == "__main__":
    main(*sys.argv[1:])
