"""The load: seeded predictions of about 300 bytes and their labels, in the order of a log."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import orjson

FIRST: Final = datetime(2025, 6, 1, tzinfo=UTC)
"""When the first event happens: past, so that no worker takes it for one from the future."""

LABEL_LAG: Final = 1_000
"""Predictions that come between a prediction and its label."""

FEATURES: Final = ("amount", "age", "hour", "n")

DIGITS: Final = 8
"""Decimal places of every number."""

SHIFT: Final = 5.0
"""By how many standard deviations a series moves in a load that shifts."""


class Entry(NamedTuple):
    """One record of the log: the input topic without its prefix, the key, the timestamp, the value."""

    topic: str
    model: str
    timestamp_ms: int
    value: bytes


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is generated: *predictions* and as many labels, dealt in turn to *models* and their *versions*.

    The models have these *names*, or else are numbered.

    Every series of a version moves up and down again by :data:`SHIFT` standard deviations, each after
    *shift_every* predictions and each at another place; 0 leaves them as they are. *extra_features* are
    numeric ones beside :data:`FEATURES`. Predictions are numbered from *start* on and *spacing* apart.
    """

    predictions: int
    start: int = 0
    models: int = 1
    names: Sequence[str] = ()
    versions: int = 1
    extra_features: int = 0
    shift_every: int = 0
    labels: bool = True
    spacing: timedelta = timedelta(milliseconds=10)
    seed: int = 0


def entries(load: Load) -> Iterator[Entry]:
    """Give the log of *load*; the same load gives the same bytes."""
    rng = random.Random(load.seed)
    waiting: deque[tuple[str, str, int]] = deque()
    numbered = [f"fraud-{number}" for number in range(load.models)] if load.models > 1 else ["fraud"]
    names = load.names or numbered
    for number in range(load.start, load.start + load.predictions):
        time = FIRST + number * load.spacing
        model = names[number % load.models]
        version = f"2.1.{number // load.models % load.versions}"
        key = f"0192f0c1-5b7e-7abc-8def-{number:012d}"
        output = int(rng.random() < 0.3)
        yield _entry("predictions", model, time, _prediction(load, rng, number, key, version, output))
        if load.labels:
            waiting.append((key, model, output if rng.random() < 0.9 else 1 - output))
            if len(waiting) > LABEL_LAG:
                yield _label(*waiting.popleft(), time + load.spacing / 2)
    last = FIRST + (load.start + load.predictions) * load.spacing
    for place, (key, model, label) in enumerate(waiting):
        yield _label(key, model, label, last + place * load.spacing)


def write(path: Path, log: Sequence[Entry]) -> None:
    """Write *log* as JSON Lines, as `driftline replay` reads it."""
    with path.open("wb") as file:
        file.writelines(entry.value + b"\n" for entry in log)


def _prediction(
    load: Load, rng: random.Random, number: int, key: str, version: str, output: int
) -> dict[str, object]:
    def moved(place: int) -> float:
        if not load.shift_every:
            return 0.0
        return SHIFT * ((number + place * load.shift_every // 7) // load.shift_every % 2)

    features: dict[str, object] = {
        "amount": round(rng.gauss(0, 1) + moved(0), DIGITS),
        "age": round(rng.gauss(40, 3) + 3 * moved(1), DIGITS),
        "hour": round(rng.random() + 0.3 * moved(2), DIGITS),
        "n": round(rng.random() + 0.3 * moved(3), DIGITS),
        "country": "DE",
    }
    for extra in range(load.extra_features):
        features[f"f{extra}"] = round(rng.random(), DIGITS)
    return {
        "id": key,
        "version": version,
        "output": output,
        "score": round(rng.random() + 0.3 * moved(4), DIGITS),
        "features": features,
        "usage": {"latency_ms": round(rng.expovariate(0.1) + 10 * moved(5), DIGITS)},
    }


def _label(key: str, model: str, label: int, time: datetime) -> Entry:
    body = {"id": f"f-{key}", "prediction_id": key, "kind": "label", "label": label}
    return _entry("feedback", model, time, body)


def _entry(topic: str, model: str, time: datetime, body: dict[str, object]) -> Entry:
    kind = "prediction" if topic == "predictions" else "feedback"
    said = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    dumped = orjson.dumps({"type": kind, "model": model, "time": said, **body})
    value = bytes(memoryview(dumped))  # orjson's own stand in kilobytes of the heap, a broker's do not
    return Entry(topic, model, int(time.timestamp() * 1000), value)
