"""The yardstick: decode and update sixteen detectors in a loop, no Kafka, no join, nothing else."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.peers.work import Watch, decode_feedback, decode_prediction
from benchmarks.processes import rates, report


def main(path: str) -> None:
    """Time the loop over the predictions in the JSON Lines file *path*; errors are computed beforehand."""
    raw, errors = load(path)
    watch = Watch()
    wall, cpu = time.perf_counter(), time.process_time()
    for value, error in zip(raw, errors, strict=True):
        watch.prediction(decode_prediction(value))
        watch.error(error)
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    report(rates(units=len(raw), records=len(raw), seconds=seconds, cpu_seconds=cpu_seconds))


def load(path: str) -> tuple[list[bytes], list[int]]:
    """Give the predictions of a log and, in their order, whether each turned out wrong."""
    lines = Path(path).read_bytes().splitlines()
    raw = [line for line in lines if line.startswith(b'{"type":"prediction"')]
    labels = {
        event.prediction_id: event.label
        for event in (decode_feedback(line) for line in lines if line.startswith(b'{"type":"feedback"'))
    }
    events = (decode_prediction(value) for value in raw)
    return raw, [int(event.output != labels[event.id]) for event in events]


if __name__ == "__main__":
    main(sys.argv[1])
