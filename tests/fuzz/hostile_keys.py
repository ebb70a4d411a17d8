"""What a million names cost: ``python -m tests.fuzz.hostile_keys`` prints memory and metric series.

Each row is a process of its own that first takes as many honest events, then events of which every one names
something new, in batches with a checkpoint after each fifty; its rows are thrown away, as a broker would take
them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry

from schemas.policy import Policy
from stream.core.nouns import Record, Topic
from stream.detectors.registry import Registry
from stream.shell.evicted import forget_evicted
from stream.shell.metrics import Metrics
from tests.flow.timeline import a_pipeline, at, moment

KEYS: Final = 1_000_000
BATCH: Final = 2_000
HONEST: Final = 20_000
CHECKPOINT: Final = 50
KINDS: Final = (
    *("ids only", "models", "versions", "segments", "features", "categories", "classes", "feedback"),
    *("harms", "headers", "commands", "lifecycle", "answers"),
)


def message(kind: str, n: int) -> tuple[Topic, dict[str, Any]]:
    """Give an event that names its number as *kind* and is ordinary otherwise."""
    name = f"{kind}-{n:07}"
    event: dict[str, Any] = {
        "type": "prediction",
        "id": name,
        "model": "risk",
        "version": "1",
        "time": moment(at(n * 0.01)).isoformat(),
        "output": "yes",
        "features": {"age": n % 80, "country": "DE"},
    }
    match kind:
        case "models":
            event["model"] = name
        case "versions":
            event["version"] = name
        case "segments":
            event["segments"] = {name: name}
        case "features":
            event["features"] = {name: 1.0}
        case "categories":
            event["features"]["country"] = name
        case "classes":
            event["output"] = name
        case "answers":
            event["output"] = f"{n} " * 100
        case "harms":
            event["safety"] = {"harms": {name: 0.5}}
        case "feedback" | "commands" | "lifecycle":
            return _said(kind, name, {key: event[key] for key in ("id", "model", "time")})
    return Topic.PREDICTIONS, event


def _said(kind: str, name: str, event: dict[str, Any]) -> tuple[Topic, dict[str, Any]]:
    match kind:
        case "commands":
            event |= {"type": "command", "incident_id": name, "action": name}
            return Topic.COMMANDS, event | {"actor_id": name, "actor_role": name}
        case "lifecycle":
            event |= {"type": "lifecycle", "kind": "deployed", "version": name, "actor": name}
            return Topic.LIFECYCLE, event
    event |= {"type": "feedback", "prediction_id": "never-" + name, "kind": "label", "label": 1}
    return Topic.FEEDBACK, event


def measure(kind: str, keys: int, max_models: int) -> None:
    """Print one row of the table."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, version="hostile")
    pipeline = a_pipeline(Policy(), Registry(), max_models=max_models)
    counted: Counter[str] = Counter()
    incidents: Counter[str] = Counter()

    def take(batches: Iterator[list[Record]]) -> None:
        for number, batch in enumerate(batches):
            result = pipeline.step(batch, at(1e9))
            metrics.add(result.tally)
            forget_evicted(metrics, result)
            incidents.update(incident.signal for incident in result.incidents if incident.alerts == 1)
            for (name, labels), value in result.tally.counts.items():
                if name == "evicted_total":
                    counted[labels[0]] += int(value)
            if number % CHECKPOINT == 0:
                pipeline.rows()
                metrics.add(pipeline.gauges())

    take(_batches("ids only", 0, HONEST))
    before, began = _resident_mb(), time.process_time()
    take(_batches(kind, HONEST, HONEST + keys))
    seconds, after = time.process_time() - began, _resident_mb()
    series = sum(len(family.samples) for family in registry.collect())
    evicted = ", ".join(f"{store} {number}" for store, number in sorted(counted.items())) or "none"
    opened = ", ".join(f"{signal} {n}" for signal, n in sorted(incidents.items()) if "bounds" in signal)
    print(
        f"| {kind} | {before:.0f} | {after:.0f} | {series} | {evicted} | {opened or 'none'} "
        f"| {keys / seconds:,.0f} |",
        flush=True,
    )


def _batches(kind: str, start: int, stop: int) -> Iterator[list[Record]]:
    offsets = dict.fromkeys(Topic, start)
    for first in range(start, stop, BATCH):
        batch = []
        for n in range(first, min(stop, first + BATCH)):
            topic, event = message(kind, n)
            headers = ((f"h{n}", b"1"),) if kind == "headers" else ()
            value = bytes(memoryview(orjson.dumps(event)))  # orjson's own stand in kilobytes of the heap
            batch.append(Record(topic, 0, offsets[topic], 0.0, value, None, headers))
            offsets[topic] += 1
        yield batch


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every kind of name, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hostile_keys")
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--max-models", type=int, default=1_000)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    given = parser.parse_args(arguments)
    if len(given.kinds) == 1:
        measure(given.kinds[0], given.keys, given.max_models)
        return
    print(f"{given.keys:,} of each, after {HONEST:,} honest events")
    print("| names | MB before | after | metric series | evicted | incidents opened | a CPU-second |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for kind in given.kinds:
        command = [sys.executable, "-m", "tests.fuzz.hostile_keys", kind, "--keys", str(given.keys)]
        subprocess.run([*command, "--max-models", str(given.max_models)], check=True)


if __name__ == "__main__":
    main()
