"""What the log implies, worked out a second time: the merge rule, each id once, each label to its prediction.

This file shares no code with the worker, so that a mistake there is not made here too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tests.chaos.load import BAD
from tests.chaos.standing import Stood

TOPICS: Final = ("lifecycle", "predictions", "feedback", "commands")
"""In the order in which records of one timestamp count."""


class Turn(NamedTuple):
    """A record of a topic when its turn has come; the latest timestamp of its topic so far decides."""

    timestamp_ms: int
    rank: int
    stood: Stood

    @property
    def topic(self) -> str:
        """The topic's name without prefix."""
        return TOPICS[self.rank]


@dataclass(slots=True)
class Implied:
    """What the log implies of one model: ids in the order in which they count."""

    accepted: dict[str, list[str]] = field(default_factory=lambda: {"predictions": [], "feedback": []})
    outcomes: list[str] = field(default_factory=list)
    waiting: dict[str, None] = field(default_factory=dict)
    orphans: dict[str, None] = field(default_factory=dict)
    duplicates: int = 0


def is_bad(stood: Stood) -> bool:
    """Tell whether a record is no event, and has to be rejected."""
    return (stood.value or b"").startswith(BAD)


def merged(topics: Mapping[str, Sequence[Stood]]) -> list[Turn]:
    """Give the records of one partition in the order in which they count."""
    turns: list[Turn] = []
    for rank, topic in enumerate(TOPICS):
        latest = 0
        for stood in topics.get(topic, ()):
            latest = max(latest, stood.timestamp_ms)
            turns.append(Turn(latest, rank, stood))
    turns.sort(key=lambda turn: turn[:2])  # stable: offsets of one topic stay in order
    return turns


def implied(turns: Iterable[Turn]) -> dict[str, Implied]:
    """Work out, by model, what records in their order imply, those that are events."""
    found: dict[str, Implied] = {}
    known: set[tuple[str, str, str]] = set()
    for turn in turns:
        if is_bad(turn.stood):
            continue
        event = json.loads(turn.stood.value or b"null")
        model = found.setdefault(event["model"], Implied())
        mark = (event["model"], turn.topic, event["id"])
        if mark in known:
            model.duplicates += 1
            continue
        known.add(mark)
        model.accepted[turn.topic].append(event["id"])
        if turn.topic == "predictions":
            if event["id"] in model.orphans:
                del model.orphans[event["id"]]
                model.outcomes.append(event["id"])
            else:
                model.waiting[event["id"]] = None
        elif event["prediction_id"] in model.waiting:
            del model.waiting[event["prediction_id"]]
            model.outcomes.append(event["prediction_id"])
        else:
            model.orphans[event["prediction_id"]] = None
    return found
