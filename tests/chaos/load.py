"""What the producers send: models that shift and come back, labels out of order, events delivered twice.

A load is a run of *rounds*, each of them a moment of the log: a burst of predictions of every model, and then
a burst of feedback. Timestamps rise from burst to burst, and within a burst from event to event; an event
that is delivered again has the timestamp that it had. Whoever has one burst acknowledged before the next is
sent therefore writes the topics in the order of their timestamps, and the merge rule has one answer.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

START: Final = datetime(2025, 3, 1, tzinfo=UTC)
STEP: Final = timedelta(seconds=10)
BURST: Final = 8
"""Predictions of one model in a round."""

LATEST: Final = 12
"""Rounds after which the last label has come."""

BAD: Final = b"no event"
"""What the value of a message begins with that has to be rejected."""

SHARES: Final = {"never": 0.02, "first": 0.02, "again": 0.01}
"""Predictions without a label, labels that come before their prediction, events that are delivered twice."""

POLICY: Final = """
[default.detectors]
use = ["adwin", "page_hinkley"]
warm_up = 60

[default.alerting]
repeat_seconds = 60
recover_seconds = 120
"""
"""Short enough for incidents that open, are told again and recover all through a load."""


def policy_of(models: Sequence[str]) -> str:
    """Give the policy file: every third of *models* is watched by the default detector."""
    return POLICY + "".join(f'\n[models."{name}".detectors]\nuse = ["quiet"]\n' for name in models[::3])


class Sent(NamedTuple):
    """One event as it is sent: its model, its id, its timestamp in milliseconds, its JSON."""

    model: str
    id: str
    timestamp_ms: int
    value: bytes


class Round(NamedTuple):
    """Two bursts: the second is sent when the first is acknowledged."""

    predictions: list[Sent]
    feedback: list[Sent]


@dataclass(frozen=True, kw_only=True)
class Load:
    """About *events* events of *models*, the same for the same *seed*."""

    models: tuple[str, ...]
    events: int
    seed: int

    @property
    def rounds(self) -> int:
        """How many rounds have predictions."""
        return max(1, self.events // (2 * BURST * len(self.models)))


def rounds_of(load: Load) -> Iterator[Round]:
    """Give the rounds of a load, in order; the last ones have no more than late labels."""
    numbers = random.Random(load.seed)
    due: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    coming, again = _predictions(load, 0, due, numbers), Round([], [])
    for number in range(load.rounds + LATEST + 1):
        burst, coming = coming, _predictions(load, number + 1, due, numbers)
        labels = due.pop(number, [])
        numbers.shuffle(labels)
        half = START + STEP * number + STEP / 2
        feedback = [
            _label(model, made, truth, half + timedelta(milliseconds=place))
            for place, (model, made, truth) in enumerate(labels)
        ]
        yield Round(burst + again.predictions, feedback + again.feedback)
        again = Round(_some(burst, numbers), _some(feedback, numbers))


def _predictions(
    load: Load, number: int, due: dict[int, list[tuple[str, int, int]]], numbers: random.Random
) -> list[Sent]:
    burst: list[Sent] = []
    if number >= load.rounds:
        return burst
    for model in load.models:
        for place in range(BURST):
            made = number * BURST + place
            truth = int(numbers.random() < 0.5)
            at = START + STEP * number + timedelta(milliseconds=len(burst))
            burst.append(_prediction(load, model, made, truth, at, numbers))
            chance = numbers.random()
            if chance < SHARES["first"]:
                due[max(0, number - 1)].append((model, made, truth))
            elif chance < 1 - SHARES["never"]:
                due[number + min(int(numbers.expovariate(0.5)), LATEST)].append((model, made, truth))
    return burst


def _prediction(load: Load, model: str, made: int, truth: int, at: datetime, numbers: random.Random) -> Sent:
    whole = load.rounds * BURST
    period = max(150, whole // 100)
    is_shifted = bool((made + 97 * load.models.index(model)) // period % 2)
    is_wrong = numbers.random() < (0.45 if is_shifted else 0.08)
    event = {
        "type": "prediction",
        "id": f"{model}-{made}",
        "model": model,
        "version": str(1 + 2 * made // max(1, whole)),
        "time": at.isoformat(),
        "output": 1 - truth if is_wrong else truth,
        "features": {
            "amount": round(numbers.gauss(2.0 if is_shifted else 0.0, 1.0), 4),
            "age": round(numbers.gauss(40.0, 20.0 if is_shifted else 10.0)),
        },
        "segments": {"region": ("north", "south")[made % 2]},
        "usage": {"latency_ms": round(numbers.expovariate(1 / 20.0), 3)},
    }
    return _sent(event, at)


def _label(model: str, made: int, truth: int, at: datetime) -> Sent:
    event = {
        "type": "feedback",
        "id": f"{model}-{made}-l",
        "prediction_id": f"{model}-{made}",
        "model": model,
        "time": at.isoformat(),
        "kind": "label",
        "label": truth,
    }
    return _sent(event, at)


def _sent(event: dict[str, object], at: datetime) -> Sent:
    value = json.dumps(event, separators=(",", ":")).encode()
    return Sent(str(event["model"]), str(event["id"]), int(at.timestamp() * 1000), value)


def _some(burst: list[Sent], numbers: random.Random) -> list[Sent]:
    return [sent for sent in burst if numbers.random() < SHARES["again"]]
