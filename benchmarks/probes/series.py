"""What many series take and cost: resident memory of all, CPU time of an event once they are warm."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from itertools import islice

from benchmarks.events import Load, entries
from benchmarks.probes.stepping import BATCH_RECORDS, record
from benchmarks.processes import report, resident_bytes
from stream.config import load_settings
from stream.memory import prepare
from stream.wiring import build_replay_pipeline

VERSIONS_PER_MODEL = 10
EXTRA_FEATURES = 2
CHECKPOINT = 100_000
"""Predictions from one checkpoint to the next: what comes in some seconds."""


def main(policy: str, versions: str, readings: str) -> None:
    """Step a pipeline until each of *versions* has that many predictions; time the younger half of them."""
    prepare()
    models = max(1, int(versions) // VERSIONS_PER_MODEL)
    load = Load(
        predictions=int(versions) * int(readings),
        models=models,
        versions=int(versions) // models,
        extra_features=EXTRA_FEATURES,
    )
    pipeline = build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": policy}))
    bare = resident_bytes()
    log = entries(load)
    offsets: Counter[str] = Counter()
    used, predictions = 0.0, 0
    while chunk := list(islice(log, BATCH_RECORDS)):
        records, at = [], offsets["predictions"]
        for entry in chunk:
            records.append(record(entry, offsets[entry.topic]))
            offsets[entry.topic] += 1
        began = time.process_time()
        pipeline.step(records, float("inf"))
        if offsets["predictions"] > load.predictions // 2 and len(chunk) == BATCH_RECORDS:
            used += time.process_time() - began
            predictions += sum(entry.topic == "predictions" for entry in chunk)
        if offsets["predictions"] // CHECKPOINT != at // CHECKPOINT:
            pipeline.rows()  # as a worker's checkpoint does: they wait for it in memory
    del chunk, records
    gc.collect()
    report(
        {
            "us per prediction": used / predictions * 1e6,
            "resident MB": resident_bytes() / 1e6,
            "resident MB before the first event": bare / 1e6,
            "series": float(int(versions) * 10),
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
