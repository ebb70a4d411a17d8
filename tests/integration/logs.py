"""Event logs made up for the tests: models that answer well, until their inputs and their errors shift."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

Event = dict[str, Any]

START: Final = datetime(2025, 3, 1, tzinfo=UTC)
STEP: Final = timedelta(seconds=10)
LABEL_LAG: Final = 40
"""Predictions of a model between one and its label."""


def shifted(models: Sequence[str], predictions: int, seed: int = 1) -> Iterator[Event]:
    """Give *predictions* of every model, each with its label later; the second half is another world.

    Times are distinct and rise, so that the order of the file is the order of the timestamps.
    """
    random_numbers = random.Random(seed)
    for number in range(predictions + LABEL_LAG):
        for place, model in enumerate(models):
            at = START + STEP * number + timedelta(milliseconds=20 * place)
            if number < predictions:
                yield prediction(
                    model, number, at, is_shifted=number > predictions / 2, numbers=random_numbers
                )
            if number >= LABEL_LAG:
                yield label(model, number - LABEL_LAG, at + timedelta(milliseconds=10))


def prediction(
    model: str, number: int, at: datetime, *, is_shifted: bool = False, numbers: random.Random
) -> Event:
    """Give a prediction; after the shift it is wrong half of the time, not one time in ten."""
    truth = _truth(number)
    is_wrong = numbers.random() < (0.5 if is_shifted else 0.1)
    return {
        "type": "prediction",
        "id": f"{model}-{number}",
        "model": model,
        "version": "1",
        "time": at.isoformat(),
        "output": 1 - truth if is_wrong else truth,
        "features": {"amount": round(numbers.gauss(3.0 if is_shifted else 0.0, 1.0), 4)},
    }


def label(model: str, number: int, at: datetime) -> Event:
    """Give the label of a prediction."""
    return {
        "type": "feedback",
        "id": f"{model}-{number}-label",
        "prediction_id": f"{model}-{number}",
        "model": model,
        "time": at.isoformat(),
        "kind": "label",
        "label": _truth(number),
    }


def time_of(event: Event) -> datetime:
    """Give the time of an event."""
    return datetime.fromisoformat(event["time"])


def in_order(events: Iterable[Event]) -> list[Event]:
    """Put events in the order of their times."""
    return sorted(events, key=time_of)


def write(path: Path, events: Iterable[object]) -> Path:
    """Write one JSON value a line."""
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return path


def split(file: Path, number: int) -> list[Path]:
    """Cut *file* into so many files."""
    lines = file.read_bytes().splitlines(keepends=True)
    size = -(-len(lines) // number)
    parts = [file.with_suffix(f".{place}.jsonl") for place in range(number)]
    for place, part in enumerate(parts):
        part.write_bytes(b"".join(lines[place * size : (place + 1) * size]))
    return parts


def _truth(number: int) -> int:
    return number * 7919 % 100 % 2
