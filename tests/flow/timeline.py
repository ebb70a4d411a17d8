"""A small language for timelines: what was published when, and what came out of the pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Alert, Incident, Rejected
from schemas.baselines import PublishedBaseline
from schemas.codec import Headers, encode
from schemas.policy import DEFAULT_POLICY, Alerting, Bounds, Detectors, Horizons, Policy, Signals
from stream.core.errors import UnreadableRowError
from stream.core.lines import TOPIC_OF_TYPE
from stream.core.nouns import (
    Baseline,
    Explanation,
    Finding,
    Forward,
    Record,
    Result,
    SeriesKey,
    SeriesSpec,
    Stage,
    Standing,
    Topic,
)
from stream.core.pipeline import Pipeline
from stream.core.ports import DetectorFactory, Found
from stream.detectors.registry import Registry

MODEL: Final = "credit-risk"
START: Final = 1_767_225_600.0
"""The first second of 2026."""

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
NEVER: Final = float("inf")

Happening = Mapping[str, Any]
"""An event but for its time."""


def at(seconds: float) -> float:
    """Give the time *seconds* after the beginning of a timeline, in seconds since the epoch."""
    return START + seconds


def moment(time: float) -> datetime:
    """Give *time* as messages carry it."""
    return datetime.fromtimestamp(time, UTC)


def prediction(name: str, output: object = 1, **fields: object) -> Happening:
    return {"type": "prediction", "id": name, "model": MODEL, "output": output, **fields}


def feedback(prediction_id: str, kind: str, **fields: object) -> Happening:
    name = f"{kind}-of-{prediction_id}"
    return {
        "type": "feedback",
        "id": name,
        "prediction_id": prediction_id,
        "model": MODEL,
        "kind": kind,
        **fields,
    }


def label(prediction_id: str, value: object, **fields: object) -> Happening:
    return feedback(prediction_id, "label", label=value, **fields)


def lifecycle(name: str, **fields: object) -> Happening:
    return {"type": "lifecycle", "id": name, "model": MODEL, "kind": "deployed", **fields}


def wrong(name: str, **fields: object) -> list[Happening]:
    """Give a prediction with the label that says that it was wrong: an error of 1."""
    return [prediction(name, 0, **fields), label(name, 1)]


def right(name: str, **fields: object) -> list[Happening]:
    """Give a prediction with the label that says that it was right: an error of 0."""
    return [prediction(name, 1, **fields), label(name, 1)]


def to_bytes(time: float, happening: Happening) -> bytes:
    """Give the event as a producer would write it."""
    return msgspec.json.encode({"time": moment(time).isoformat(), **happening})


@dataclass
class Log:
    """The records of one partition, as fresh topics would hold them."""

    records: list[Record] = field(default_factory=list)
    offsets: Counter[Topic] = field(default_factory=Counter)

    def write(
        self, time: float, value: bytes | None, topic: Topic = Topic.PREDICTIONS, headers: Headers = ()
    ) -> Record:
        """Append one record as it stands."""
        record = Record(topic, 0, self.offsets[topic], time, value, None, headers)
        self.offsets[topic] += 1
        self.records.append(record)
        return record

    def add(self, time: float, *happenings: Happening, headers: Headers = ()) -> list[Record]:
        """Append each of *happenings* to its topic."""
        return [
            self.write(time, to_bytes(time, happening), topic_of(happening), headers)
            for happening in happenings
        ]

    def add_array(self, time: float, *happenings: Happening | bytes, topic: Topic) -> Record:
        """Append one record that holds all of *happenings*; bytes are written as they are."""
        elements = [h if isinstance(h, bytes) else to_bytes(time, h) for h in happenings]
        return self.write(time, b"[" + b",".join(elements) + b"]", topic)


def topic_of(happening: Happening) -> Topic:
    return TOPIC_OF_TYPE.get(happening.get("type", ""), Topic.PREDICTIONS)


class AlarmBank:
    """Detectors without statistics: every reading of 1 or more is a finding (less than 0 breaks them)."""

    def __init__(self) -> None:
        self.taken: dict[int, int] = {}
        self._slots = count()

    def add(self, *, only_rise: bool, spec: SeriesSpec | None = None) -> int:  # noqa: ARG002 - the port's arguments
        slot = next(self._slots)
        self.taken[slot] = 0
        return slot

    def drop(self, slot: int) -> None:
        del self.taken[slot]

    def update(
        self,
        slots: NDArray[np.intp],
        values: NDArray[np.float64],
        times: NDArray[np.float64],
        order: NDArray[np.int64] | None = None,  # noqa: ARG002 - the port's argument
    ) -> list[Found]:
        for slot in slots.tolist():
            self.taken[slot] += 1
        return [
            Found(int(slots[index]), _alarm(index, float(values[index]), float(times[index])))
            for index in np.flatnonzero(values >= 1.0).tolist()
        ]

    def explain(self, slot: int) -> Explanation:
        return Explanation(watched_by="alarm", stage=Stage.WATCHING, readings=self.taken[slot])

    def baseline(self, slot: int) -> Baseline | None:
        taken = self.taken[slot]
        if not taken:
            return None
        return Baseline(standing=Standing.GROWING, readings=taken, since=START, digest=f"{taken:064x}")

    def accept(self, slot: int) -> bool:
        self.taken[slot] = 1
        return True

    def relearn(self, slot: int) -> None:
        self.taken[slot] = 0

    def published(self, slot: int, key: SeriesKey) -> None:
        """Give none."""

    def take(self, slot: int, baseline: PublishedBaseline) -> bool:
        self.taken[slot] = int(baseline.readings)
        return True

    def freeze(self, slot: int) -> None:
        assert slot in self.taken

    def snapshot(self, slot: int) -> bytes:
        return b"alarm %d" % self.taken[slot]

    def restore(self, snapshot: bytes, *, only_rise: bool) -> int:
        name, _, taken = snapshot.partition(b" ")
        if name != b"alarm" or not taken.isdigit():
            raise UnreadableRowError("no alarm")
        slot = self.add(only_rise=only_rise)
        self.taken[slot] = int(taken)
        return slot


def _alarm(index: int, value: float, time: float) -> Finding:
    return Finding(
        index=index,
        detector="alarm",
        observed=value,
        expected=0.0,
        statistic=value,
        threshold=1.0,
        n=1,
        window_start=time,
        window_end=time,
    )


@dataclass(frozen=True)
class Alarms:
    """Makes banks of alarms; *banks* are those that were made."""

    banks: list[AlarmBank] = field(default_factory=list)

    def bank(self, chosen: Detectors) -> AlarmBank:  # noqa: ARG002 - the port's argument
        self.banks.append(AlarmBank())
        return self.banks[-1]


@dataclass(frozen=True)
class OnePolicy:
    """The same policy for every model, but for those that have their own."""

    policy: Policy = DEFAULT_POLICY
    own: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, model: str) -> Policy:
        return self.own.get(model, self.policy)


ONLY_ERRORS: Final = Policy(
    signals=Signals(
        score=False,
        output=False,
        features=False,
        missing=False,
        new_category=False,
        usage=False,
        feedback=False,
        bounds=False,
    ),
    alerting=Alerting(repeat_seconds=HOUR, recover_seconds=3 * HOUR, group_seconds=0),
)
"""Watches nothing but whether predictions were wrong; repeats after an hour, recovers after three."""


EAGER: Final = Policy(
    detectors=Detectors(use=("adwin", "page_hinkley"), warm_up=100),
    alerting=ONLY_ERRORS.alerting,
)
"""Real detectors over every signal, after a hundred readings."""


def with_bounds(**bounds: int) -> Policy:
    return msgspec.structs.replace(ONLY_ERRORS, bounds=Bounds(**bounds))


def with_horizons(**horizons: float) -> Policy:
    return msgspec.structs.replace(ONLY_ERRORS, horizons=Horizons(**horizons))


def a_pipeline(
    policy: Policy = DEFAULT_POLICY,
    factory: DetectorFactory | None = None,
    *,
    own: Mapping[str, Policy] | None = None,
    max_models: int = 100,
    partition_of: Callable[[str], int] = lambda _model: 0,
) -> Pipeline:
    return Pipeline(
        0,
        prefix="driftline.",
        policies=OnePolicy(policy, own or {}),
        factory=factory or Registry(),
        partition_of=partition_of,
        max_models=max_models,
    )


@dataclass
class Output:
    """All that came out, in order."""

    alerts: list[Alert] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    counts: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)
    observations: list[tuple[str, float]] = field(default_factory=list)

    def take(self, result: Result) -> None:
        self.alerts += result.alerts
        self.incidents += result.incidents
        self.rejected += result.rejected
        self.forwards += result.forwards
        self.counts.update({key: int(value) for key, value in result.tally.counts.items()})
        for (name, _), values in result.tally.observations.items():
            self.observations += [(name, value) for value in values]

    def count(self, name: str, *labels: str) -> int:
        """Give what a counter stands at; all of its series together where no labels are given."""
        return sum(n for (known, with_), n in self.counts.items() if known == name and labels in {(), with_})

    def published(self) -> tuple[bytes, bytes, bytes]:
        """Give alerts, incidents and rejected messages as they are written to their topics."""
        alerts, incidents, rejected = self.alerts, self.incidents, self.rejected
        return _lines(alerts), _lines(incidents), _lines(rejected)

    def last(self) -> dict[str, Incident]:
        """Give every incident as it was published last, by its id."""
        return {incident.id: incident for incident in self.incidents}


def _lines(messages: Sequence[Alert | Incident | Rejected]) -> bytes:
    return b"".join(encode(message) + b"\n" for message in messages)


class Timeline(Output):
    """A log that is written and watched at the same time."""

    def __init__(self, pipeline: Pipeline, now: float = NEVER) -> None:
        super().__init__()
        self.log = Log()
        self.pipeline = pipeline
        self.now = now

    def push(self, time: float, *happenings: Happening | Iterable[Happening], headers: Headers = ()) -> None:
        """Publish *happenings* at *time*, each in a batch of its own."""
        for happening in happenings:
            each = [happening] if isinstance(happening, Mapping) else list(happening)
            for record in self.log.add(time, *each, headers=headers):
                self.step(record)

    def push_array(
        self, time: float, *happenings: Happening | bytes, topic: Topic = Topic.PREDICTIONS
    ) -> None:
        """Publish *happenings* at *time* in one record."""
        self.step(self.log.add_array(time, *happenings, topic=topic))

    def push_bytes(self, time: float, value: bytes | None, topic: Topic = Topic.PREDICTIONS) -> None:
        """Publish a record as it stands."""
        self.step(self.log.write(time, value, topic))

    def step(self, *records: Record) -> None:
        self.take(self.pipeline.step(records, self.now))


def watch(
    policy: Policy = ONLY_ERRORS,
    factory: DetectorFactory | None = None,
    *,
    own: Mapping[str, Policy] | None = None,
    max_models: int = 100,
    partition_of: Callable[[str], int] = lambda _model: 0,
) -> Timeline:
    """Begin a timeline whose detectors are alarms, unless a *factory* is given."""
    factory = factory or Alarms()
    return Timeline(a_pipeline(policy, factory, own=own, max_models=max_models, partition_of=partition_of))
