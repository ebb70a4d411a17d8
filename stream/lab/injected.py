"""Faults, injected into the log of a model that is otherwise well, and its twin, to which nothing happens.

The model scores applications, one a minute; labels come half an hour later. A fault takes part of the events
(all, for a shift) from day 14 on: *abrupt* at once, *gradual* a share of them that grows over three days,
*recurring* for a day, again after a day without. What the fault does not touch is the same, reading by
reading, in the twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from stream.core.nouns import utc
from stream.lab.sources import DAY_SECONDS, START, Floats

MODEL: Final = "applications"
EVERY_SECONDS: Final = 60.0
LABEL_SECONDS: Final = 1_800.0
BEGINS_DAY: Final = 14
DAYS: Final = 24
GRADUAL_DAYS: Final = 3.0
FEATURES_OF_MANY: Final = 20

_CHANNELS: Final = ("web", "branch", "phone")


class Fault(NamedTuple):
    """What goes wrong, in which series it is to be found, and what one of its events becomes."""

    signals: frozenset[str]
    chance: float
    harm: Callable[[dict[str, Any], np.random.Generator], None]


def _wrong(event: dict[str, Any], _rng: np.random.Generator) -> None:
    event["label"] = 1 - event["output"]


def _score_up(event: dict[str, Any], _rng: np.random.Generator) -> None:
    event["score"] = min(1.0, event["score"] + 0.15)


def _feature_up(event: dict[str, Any], _rng: np.random.Generator) -> None:
    event["features"]["amount"] *= 1.8


def _gone(event: dict[str, Any], _rng: np.random.Generator) -> None:
    event["features"]["age"] = None


def _new_channel(event: dict[str, Any], _rng: np.random.Generator) -> None:
    event["features"]["channel"] = "kiosk"


def _all_up(event: dict[str, Any], _rng: np.random.Generator) -> None:
    for name in event["features"]:
        event["features"][name] += 1.0


FAULTS: Final[Mapping[str, Fault]] = {
    "error": Fault(frozenset({"error"}), 0.12, _wrong),
    "score": Fault(frozenset({"score"}), 1.0, _score_up),
    "feature": Fault(frozenset({"feature:amount"}), 1.0, _feature_up),
    "missing values": Fault(frozenset({"missing:age"}), 0.10, _gone),
    "new category": Fault(frozenset({"new_category:channel", "domain:channel"}), 0.05, _new_channel),
}
"""The errors rise from 15 % to 24 %, the score by .15, an amount by 80 %; a tenth more of the ages is
missing; a channel that nobody has seen takes a twentieth."""

SHAPES: Final = ("abrupt", "gradual", "recurring")

MANY: Final = Fault(frozenset(f"feature:x{number:02}" for number in range(FEATURES_OF_MANY)), 1.0, _all_up)
"""One cause that moves twenty features at once, each by a standard deviation."""


def log(fault: Fault | None, shape: str, seed: int, *, many: bool = False) -> Iterator[bytes]:
    """Give the log, a JSON event a line, by time; None for the fault is the twin."""
    rng = np.random.default_rng([seed, int(many)])
    n = int(DAYS * DAY_SECONDS / EVERY_SECONDS)
    events = list(_of_many(rng, n) if many else _of_applications(rng, n))
    own = np.random.default_rng([seed, 2])
    hits = own.random(n)
    if fault is not None:
        days = np.arange(n, dtype=np.float64) * (EVERY_SECONDS / DAY_SECONDS) - BEGINS_DAY
        for place in np.flatnonzero(hits < fault.chance * strength(shape, days)).tolist():
            fault.harm(events[place], own)
    waiting = int(LABEL_SECONDS / EVERY_SECONDS)
    for place, event in enumerate(events):
        yield _prediction(place, event)
        if place >= waiting:
            yield _label(place - waiting, events[place - waiting])


def strength(shape: str, days: Floats) -> Floats:
    """Give the share of the fault that is there, *days* after it begins."""
    there = days >= 0.0
    if shape == "abrupt":
        return there.astype(np.float64)
    if shape == "gradual":
        grown: Floats = np.clip(days / GRADUAL_DAYS, 0.0, 1.0)
        return grown
    if shape == "recurring":
        recurring = there & (np.floor(days) % 2 == 0)
        return np.asarray(recurring, np.float64)
    raise ValueError(f"no fault comes {shape!r}: {', '.join(SHAPES)} do")


def _of_applications(rng: np.random.Generator, n: int) -> Iterator[dict[str, Any]]:
    scores = rng.beta(2.0, 3.0, n).round(6)
    wrong = rng.random(n) < 0.15
    amounts = np.exp(rng.normal(8.0, 0.8, n)).round(2)
    ages = rng.integers(18, 80, n)
    absent = rng.random(n) < 0.01
    channels = rng.choice(len(_CHANNELS), n, p=(0.6, 0.3, 0.1))
    columns = (scores, wrong, amounts, ages, absent, channels)
    for score, is_wrong, amount, age, is_absent, channel in zip(*(c.tolist() for c in columns), strict=True):
        output = int(score > 0.5)
        yield {
            "output": output,
            "label": 1 - output if is_wrong else output,
            "score": score,
            "features": {
                "amount": amount,
                "age": None if is_absent else age,
                "channel": _CHANNELS[channel],
            },
        }


def _of_many(rng: np.random.Generator, n: int) -> Iterator[dict[str, Any]]:
    names = [f"x{number:02}" for number in range(FEATURES_OF_MANY)]
    for row in rng.standard_normal((n, FEATURES_OF_MANY)).round(6).tolist():
        yield {"features": dict(zip(names, row, strict=True))}


def _prediction(place: int, event: Mapping[str, Any]) -> bytes:
    made = {
        "type": "prediction",
        "id": f"p{place}",
        "model": MODEL,
        "version": "1",
        "time": _at(place * EVERY_SECONDS),
        **{name: event[name] for name in ("output", "score", "features") if name in event},
    }
    return orjson.dumps(made)


def _label(place: int, event: Mapping[str, Any]) -> bytes:
    made = {
        "type": "feedback",
        "id": f"l{place}",
        "prediction_id": f"p{place}",
        "model": MODEL,
        "time": _at(place * EVERY_SECONDS + LABEL_SECONDS),
        "kind": "label",
        "label": event.get("label", 0),
    }
    return orjson.dumps(made)


def _at(seconds: float) -> str:
    return utc(START + seconds).isoformat()
