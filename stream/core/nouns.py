"""What the stages pass to each other: Event -> Outcome -> Signal -> Finding -> Alert -> Incident."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Alert, Evidence, Incident, Kind, Rejected
from schemas.codec import Headers
from schemas.events import Command, Event, Feedback, FeedbackKind, Lifecycle, Prediction
from stream.core.segments import Named

UNVERSIONED = "unversioned"
"""The version of predictions that name none."""


class Topic(IntEnum):
    """The input topics, in the order in which records of one timestamp are taken."""

    LIFECYCLE = 0
    PREDICTIONS = 1
    FEEDBACK = 2
    COMMANDS = 3

    @property
    def suffix(self) -> str:
        """The topic's name without the prefix, ``predictions`` and so on."""
        return self.name.lower()


TOPIC_OF: Final = {
    Prediction: Topic.PREDICTIONS,
    Feedback: Topic.FEEDBACK,
    Lifecycle: Topic.LIFECYCLE,
    Command: Topic.COMMANDS,
}
"""The topic on which each class of events belongs."""

TYPE_NAMES: Final = {kind: kind.__name__.lower() for kind in TOPIC_OF}
"""The events' classes by the name that a message gives as its ``type``."""


class Record(NamedTuple):
    """One record of an input topic; *timestamp* in seconds since the epoch."""

    topic: Topic
    partition: int
    offset: int
    timestamp: float
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


class Admitted(NamedTuple):
    """An event that was taken: its number in the pipeline's order, its time in seconds, where it stands."""

    seq: int
    time: float
    event: Event
    record: Record


class Forward(NamedTuple):
    """An event that belongs to another partition: sent there once, as it came.

    *instead* is what is told of it where it is too large to be sent.
    """

    topic: Topic
    model: str
    timestamp: float
    value: bytes
    headers: Headers
    instead: Rejected


class PredictionKept(NamedTuple):
    """What of a prediction is kept until its label comes; *time* in seconds since the epoch.

    Its version stands with the segments that it is in, where a policy declares any.
    """

    time: float
    version: Named
    output: bool | int | float | str | None
    score: float | None


class Outcome(NamedTuple):
    """A prediction together with the feedback that concerns it; *at* is the event that completed it.

    *time* is when both were there and *feedback_time* when the feedback was, in seconds since the epoch.
    """

    at: Admitted
    time: float
    prediction: PredictionKept
    feedback: Feedback
    feedback_time: float


class SeriesKey(NamedTuple):
    """Names one series of a model; the empty segment is the whole of the traffic."""

    model: str
    version: str
    segment: str
    signal: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesSpec:
    """What a series is about, and whether only a rise of it is bad."""

    key: SeriesKey
    kind: Kind
    only_rise: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """A run of readings of one series, in the log's order.

    Values and times (seconds since the epoch) have shape (n,), float64, and are finite; *at* names for each
    reading the event that completed it.
    """

    values: NDArray[np.float64]
    times: NDArray[np.float64]
    at: Sequence[Admitted] = ()

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a detector concludes at reading *index* of a batch, in the units of the series.

    The window is the *n* readings that the conclusion rests on; its times are seconds since the epoch. What
    *lasts* lasts until the detector says :class:`Healed`; of anything else nobody says that it is over. What
    *is_worse* was told before, and has gone much further since.
    """

    index: int
    detector: str
    observed: float
    expected: float
    statistic: float
    threshold: float
    n: int
    window_start: float
    window_end: float
    lasts: bool = False
    is_worse: bool = False

    def evidence(self) -> Evidence:
        """Give the finding as the evidence that is published."""
        return Evidence(
            observed=self.observed,
            expected=self.expected,
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            window_start=utc(self.window_start),
            window_end=utc(self.window_end),
            detector=self.detector,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Healed:
    """What a detector says at reading *index* of a batch: the change that lasted is over."""

    index: int
    detector: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Watched:
    """One series' part of a batch: what was read, and what its detectors found in it."""

    spec: SeriesSpec
    readings: Readings
    findings: Sequence[Finding | Healed]


@dataclass(frozen=True, kw_only=True, slots=True)
class Smallest:
    """The smallest change that a series shows within *days*: from its normal to one of these values."""

    days: float
    rise: float | None
    fall: float | None


class Standing(StrEnum):
    """How a baseline stands: too small to compare with, growing with what is read, or not to be changed."""

    LEARNING = "learning"
    GROWING = "growing"
    FROZEN = "frozen"


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What a series is compared with: so many readings, from *since* on, in seconds since the epoch.

    *digest* is a SHA-256 in hex: two baselines with the same one are the same. *since* is None where that was
    not kept.
    """

    standing: Standing
    readings: int
    since: float | None
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How a series is watched now, in its units.

    *share* is its part of the model's budget, *false_alarms* what that is in 30 days. An alarm needs a
    statistic beyond *threshold*, which is that of a window of *window* readings. None is what its detectors
    do not know. *number* counts the baselines that the series has had, this one included.
    While it learns, nothing is found before it has *needed* readings, or some and the time *at_latest*, in
    seconds since the epoch, where there is such a time.
    """

    watched_by: str
    stage: Stage
    readings: int
    per_day: float | None = None
    share: float | None = None
    false_alarms: float | None = None
    normal: float | None = None
    threshold: float | None = None
    window: int | None = None
    smallest: tuple[Smallest, ...] = ()
    baseline: Baseline | None = None
    number: int = 1
    needed: int | None = None
    at_latest: float | None = None


class Stage(StrEnum):
    """What a detector does with a series: learn what is normal, watch, or wait for a change to be over."""

    LEARNING = "learning"
    WATCHING = "watching"
    CHANGED = "changed"


class Suppressed(StrEnum):
    """Why a finding was not published."""

    UNCHANGED = "unchanged"


class Change(NamedTuple):
    """An incident as it is after the event with number *seq*, with the alert that changed it."""

    seq: int
    alert: Alert | None
    incident: Incident


Labels = tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What a step counted, by metric name (without prefix) and label values in the metric's order."""

    counts: dict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))
    gauges: dict[tuple[str, Labels], float] = field(default_factory=dict)
    observations: dict[tuple[str, Labels], list[float]] = field(default_factory=lambda: defaultdict(list))

    def count(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add *by* to a counter."""
        self.counts[name, labels] += by

    def gauge(self, name: str, *labels: str, value: float) -> None:
        """Set a gauge."""
        self.gauges[name, labels] = value

    def observe(self, name: str, *labels: str, value: float) -> None:
        """Add one observation to a histogram."""
        self.observations[name, labels].append(value)


@dataclass(frozen=True, slots=True)
class Result:
    """What a step has to say to the outside, in the log's order; *evicted* names models that had to go."""

    alerts: list[Alert] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


TRUTH: Final = frozenset({FeedbackKind.LABEL, FeedbackKind.OVERRIDE})


def says_what_was_true(feedback: Feedback) -> bool:
    """Tell whether *feedback* carries the label of its prediction, which then waits no longer."""
    return feedback.label is not None and feedback.kind in TRUTH


def utc(seconds: float) -> datetime:
    """Turn seconds since the epoch into a time in UTC, to the microsecond."""
    return datetime.fromtimestamp(round(seconds, 6), UTC)
