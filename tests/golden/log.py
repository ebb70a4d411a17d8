"""The log behind the golden states: the same bytes on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from stream.core.nouns import Record, Topic

_FIRST = datetime.fromtimestamp(1_700_000_000, UTC)
_LABEL_LAG = 40


def _noise(number: int, salt: int) -> float:
    """Give a value in [0, 1) that looks random and is the same everywhere."""
    mixed = (number * 2_654_435_761 + salt * 40_503 * 65_537) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = mixed * 2_246_822_519 & 0xFFFFFFFF
    mixed ^= mixed >> 13
    return mixed / 2**32


def _time(second: int) -> str:
    return (_FIRST + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


def _records(predictions: int, every: int, moves: tuple[float, ...]) -> Iterator[Record]:
    """Give predictions of two models, the second in two versions, each followed by its label later on.

    One comes *every* so many seconds. Error, score and features move after these parts of the log, so that
    incidents open before and after half.
    """
    offsets = dict.fromkeys(Topic, 0)
    waiting: list[tuple[int, str, int]] = []
    for number in range(predictions):
        second = number * every
        model = ("fraud", "churn")[number % 2]
        moved = sum(number > predictions * part for part in moves)
        output = int(_noise(number, 1) < 0.3)
        event: dict[str, object] = {
            "type": "prediction",
            "id": f"p-{number:05d}",
            "model": model,
            "version": "2" if model == "churn" and number > predictions // 2 else "1",
            "time": _time(second),
            "output": output if model == "fraud" else ("yes", "no", "later")[int(3 * _noise(number, 2))],
            "score": round(_noise(number, 3) ** (3 if moved else 1), 4),
            "features": {
                "amount": round(100 * _noise(number, 4) + 60 * moved, 3),
                "country": ("de", "fr", "it")[int(3 * _noise(number, 5))],
                "age": None
                if _noise(number, 6) < (0.5 if moved > 1 else 0.05)
                else int(80 * _noise(number, 7)),
            },
            "usage": {"latency_ms": round(5 + 10 * _noise(number, 8), 2)},
        }
        yield _record(Topic.PREDICTIONS, offsets, second, event)
        wrong = _noise(number, 9) < (0.5 if moved else 0.1)
        waiting.append((number, model, 1 - output if wrong else output))
        if len(waiting) > _LABEL_LAG:
            yield _record(Topic.FEEDBACK, offsets, second, _label(*waiting.pop(0), second))
    for label in waiting:
        yield _record(Topic.FEEDBACK, offsets, predictions * every, _label(*label, predictions * every))


def _label(number: int, model: str, label: int, second: int) -> dict[str, object]:
    said: object = label if model == "fraud" else ("yes", "no", "later")[number % 3]
    return {
        "type": "feedback",
        "id": f"f-{number:05d}",
        "model": model,
        "time": _time(second),
        "prediction_id": f"p-{number:05d}",
        "kind": "label",
        "label": said,
    }


def _record(topic: Topic, offsets: dict[Topic, int], second: int, event: dict[str, object]) -> Record:
    record = Record(topic, 0, offsets[topic], _FIRST.timestamp() + second, orjson.dumps(event))
    offsets[topic] += 1
    return record


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A log, the policy that watches it, and after how many records the golden states were taken."""

    policy: str
    half: int
    records: Callable[[], Iterator[Record]]


_ALERTING: Final = "[default.alerting]\nrecover_seconds = 3600\ngroup_seconds = 0\n"

_QUIET: Final = Golden(
    policy=_ALERTING,
    half=16_000,
    records=lambda: _records(16_000, 150, (0.4, 0.75)),
)
LOGS: Final = {
    "": Golden(
        policy='[default.detectors]\nuse = ["adwin", "page_hinkley"]\nwarm_up = 200\n' + _ALERTING,
        half=3_000,
        records=lambda: _records(3_000, 20, (0.4,)),
    ),
    "-quiet": _QUIET,
    "-quiet-2": _QUIET,
}
"""By what the names of the states end with; quiet, the default detector, needs weeks to learn from. Its rows
have formats of their own: those of "-quiet" are of the first."""
