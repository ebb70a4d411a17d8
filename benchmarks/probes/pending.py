"""How much memory a pending prediction takes: resident bytes before and after many of them."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from itertools import islice

from benchmarks.events import Entry, Load, entries
from benchmarks.probes.stepping import BATCH_RECORDS, record
from benchmarks.processes import report, resident_bytes
from stream.config import load_settings
from stream.core.pipeline import Pipeline
from stream.wiring import build_replay_pipeline

WARMING_STEPS = 10
"""Steps before the first look: code and what a step works with are there by then, and are no predictions."""


def main(policy: str, count: str) -> None:
    """Let *count* predictions wait in all; give what each takes that came after the first steps."""
    pipeline = build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": policy}))
    log = entries(Load(predictions=int(count), labels=False))
    warming = WARMING_STEPS * BATCH_RECORDS
    _let_wait(pipeline, islice(log, warming), 0)
    before = resident_bytes()
    _let_wait(pipeline, log, warming)
    waiting = pipeline.gauges().gauges["pending_predictions", ("fraud",)]
    grown = resident_bytes() - before
    report({"bytes per pending prediction": grown / (waiting - warming), "pending": waiting})


def _let_wait(pipeline: Pipeline, log: Iterator[Entry], place: int) -> None:
    while chunk := list(islice(log, BATCH_RECORDS)):
        pipeline.step([record(entry, place + at) for at, entry in enumerate(chunk)], float("inf"))
        place += len(chunk)
    del chunk
    gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
