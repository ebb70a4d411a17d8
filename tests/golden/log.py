"""The log behind the golden states: the same bytes on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from stream.core.nouns import Record, Topic

PREDICTIONS: Final = 3_000
HALF: Final = PREDICTIONS
"""Records after which the golden states were taken."""

POLICY: Final = """\
[default.detectors]
use = ["adwin", "page_hinkley"]
warm_up = 200
[default.alerting]
recover_seconds = 3600
group_seconds = 0
"""

_FIRST_SECOND = 1_700_000_000
_LABEL_LAG = 40


def _noise(number: int, salt: int) -> float:
    """Give a value in [0, 1) that looks random and is the same everywhere."""
    mixed = (number * 2_654_435_761 + salt * 40_503 * 65_537) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = mixed * 2_246_822_519 & 0xFFFFFFFF
    mixed ^= mixed >> 13
    return mixed / 2**32


def _time(second: int) -> str:
    days, rest = divmod(_FIRST_SECOND + second - 1_699_920_000, 86_400)
    return f"2023-11-{14 + days:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}Z"


def records() -> Iterator[Record]:
    """Give predictions of two models, the second in two versions, each followed by its label later on.

    Error, score and features move in the last third, so that incidents open before and after half.
    """
    offsets = dict.fromkeys(Topic, 0)
    waiting: list[tuple[int, str, int]] = []
    for number in range(PREDICTIONS):
        second = number * 20
        model = ("fraud", "churn")[number % 2]
        has_moved = number > PREDICTIONS * 0.4
        output = int(_noise(number, 1) < 0.3)
        event: dict[str, object] = {
            "type": "prediction",
            "id": f"p-{number:05d}",
            "model": model,
            "version": "2" if model == "churn" and number > PREDICTIONS // 2 else "1",
            "time": _time(second),
            "output": output if model == "fraud" else ("yes", "no", "later")[int(3 * _noise(number, 2))],
            "score": round(_noise(number, 3) ** (3 if has_moved else 1), 4),
            "features": {
                "amount": round(100 * _noise(number, 4) + (60 if has_moved else 0), 3),
                "country": ("de", "fr", "it")[int(3 * _noise(number, 5))],
                "age": None if _noise(number, 6) < 0.05 else int(80 * _noise(number, 7)),
            },
            "usage": {"latency_ms": round(5 + 10 * _noise(number, 8), 2)},
        }
        yield _record(Topic.PREDICTIONS, offsets, second, event)
        wrong = _noise(number, 9) < (0.5 if has_moved else 0.1)
        waiting.append((number, model, 1 - output if wrong else output))
        if len(waiting) > _LABEL_LAG:
            yield _record(Topic.FEEDBACK, offsets, second, _label(*waiting.pop(0), second))
    for label in waiting:
        yield _record(Topic.FEEDBACK, offsets, PREDICTIONS * 20, _label(*label, PREDICTIONS * 20))


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
    record = Record(topic, 0, offsets[topic], float(_FIRST_SECOND + second), orjson.dumps(event))
    offsets[topic] += 1
    return record
