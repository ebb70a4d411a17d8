"""How a model is watched: thresholds, horizons and what is read, as a data science lead writes them.

A policy file is TOML: a table ``[default]`` and a table ``[models."NAME"]`` for each model that differs from
it. Durations are numbers of seconds, named ``*_seconds``.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.alerts import Kind, Severity

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
SegmentKey = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern="^[^=]*$")]


class Task(StrEnum):
    """How an output is compared with its label.

    ``auto`` takes booleans and strings for classes and numbers for quantities.
    """

    AUTO = "auto"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Adwin(_Table, frozen=True, kw_only=True):
    """ADWIN on standardised readings: ``delta`` is the confidence of one cut (Bifet and Gavalda, 2007)."""

    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.002


class PageHinkley(_Table, frozen=True, kw_only=True):
    """Page-Hinkley on standardised readings: tolerated shift and threshold in standard deviations."""

    delta: Annotated[float, msgspec.Meta(ge=0)] = 0.1
    threshold: Positive = 50.0
    min_instances: Count = 30


class Ddm(_Table, frozen=True, kw_only=True):
    """DDM over readings far from the warm-up's mean: *threshold* in standard deviations of their rate."""

    threshold: Positive = 3.5
    min_instances: Count = 200


class Hddm(_Table, frozen=True, kw_only=True):
    """HDDM (A-test) over readings that lie far from the warm-up's mean: the confidence of one test."""

    confidence: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-5


class Fhddm(_Table, frozen=True, kw_only=True):
    """FHDDM over readings that lie far from the warm-up's mean: the window's readings, one test's level."""

    window: Annotated[int, msgspec.Meta(ge=10, le=1_000)] = 100
    delta: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-8


class Kswin(_Table, frozen=True, kw_only=True):
    """KSWIN on standardised readings: the last *sample* of a *window* against as many drawn from the rest.

    ``alpha`` is the level of one test, and there is one with every reading.
    """

    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-7
    window: Annotated[int, msgspec.Meta(ge=20, le=1_000)] = 100
    sample: Annotated[int, msgspec.Meta(ge=10, le=500)] = 30

    def __post_init__(self) -> None:
        """Refuse a window that holds no sample besides the newest readings."""
        if 2 * self.sample > self.window:
            raise ValueError(f"sample {self.sample} has to be half of window {self.window} at most")


class Shown(StrEnum):
    """What detectors but quiet are shown: readings in standard deviations of the warm-up, or as they are."""

    STANDARDISED = "standardised"
    RAW = "raw"


Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Shares(_Table, frozen=True, kw_only=True):
    """What each kind of series has of a model's budget of false alarms; together no more than 1.

    The series of a kind share it equally, whatever their version. What a kind without series would have is
    not spent. ``segments`` is the part of the share of ``performance`` that segments have, where there are
    any; ``outputs`` is for score and output.
    """

    performance: Share = 0.6
    segments: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    outputs: Share = 0.05
    features: Share = 0.15
    data_quality: Share = 0.15
    usage: Share = 0.02
    feedback: Share = 0.03

    def __post_init__(self) -> None:
        """Refuse shares of more than there is."""
        parts = (self.performance, self.outputs, self.features, self.data_quality, self.usage, self.feedback)
        if (total := math.fsum(parts)) > 1.0 + 1e-9:
            raise ValueError(f"the shares (without segments) add up to {total:.4g}, and 1 is all there is")


class Detectors(_Table, frozen=True, kw_only=True):
    """Which detectors watch every series of a model.

    ``quiet`` watches alone: it raises ``false_alarms`` false alarms per model in 30 days at most, however
    many series the model has. The others can be combined; each has settings of its own, and is shown what
    follows the first ``warm_up`` readings of a series: in standard deviations of those, so that a threshold
    means the same for every series, or ``raw``, single events as they come. A category counts as new when it
    is not among the first ``warm_up``, whatever the detector.
    """

    use: tuple[str, ...] = ("quiet",)
    false_alarms: Annotated[float, msgspec.Meta(gt=0, le=1_000)] = 0.3
    shares: Shares = Shares()
    shown: Shown = Shown.STANDARDISED
    warm_up: Annotated[int, msgspec.Meta(ge=30, le=100_000)] = 1_000
    adwin: Adwin = Adwin()
    page_hinkley: PageHinkley = PageHinkley()
    ddm: Ddm = Ddm()
    hddm: Hddm = Hddm()
    fhddm: Fhddm = Fhddm()
    kswin: Kswin = Kswin()


class Signals(_Table, frozen=True, kw_only=True):
    """Which families of signals are read off a model's outcomes and predictions, and off its bounds."""

    error: bool = True
    score: bool = True
    output: bool = True
    features: bool = True
    missing: bool = True
    new_category: bool = True
    usage: bool = True
    feedback: bool = True
    bounds: bool = True


class Horizons(_Table, frozen=True, kw_only=True):
    """How long things are waited for, in event time.

    A label that comes later than ``label_seconds`` after its prediction counts as never come; feedback waits
    ``orphan_seconds`` for its prediction; an event more than ``lateness_seconds`` behind the newest of its
    model and topic is rejected, as is one more than ``future_seconds`` ahead of the worker's clock. What
    waits is kept ``future_seconds`` longer, so that one clock that is ahead takes nothing from the others.
    """

    label_seconds: Positive = 30 * 86_400.0
    orphan_seconds: Positive = 86_400.0
    lateness_seconds: Positive = 30 * 86_400.0
    future_seconds: Positive = 3_600.0

    def __post_init__(self) -> None:
        """Refuse a policy by which one event that is ahead makes late what comes at its time."""
        if self.future_seconds > self.lateness_seconds:
            raise ValueError(
                f"future_seconds {self.future_seconds:g} has to be lateness_seconds "
                f"{self.lateness_seconds:g} at most: else one clock that is ahead makes honest events late"
            )


class Severities(_Table, frozen=True, kw_only=True):
    """How soon somebody has to look at each kind of incident."""

    performance: Severity = Severity.ERROR
    drift: Severity = Severity.WARNING
    data_quality: Severity = Severity.WARNING
    safety: Severity = Severity.CRITICAL
    usage: Severity = Severity.INFO
    feedback: Severity = Severity.WARNING
    silence: Severity = Severity.ERROR
    governance: Severity = Severity.WARNING

    def of(self, kind: Kind) -> Severity:
        """Give the severity of incidents of *kind*."""
        severity: Severity = getattr(self, kind.value)
        return severity


class Alerting(_Table, frozen=True, kw_only=True):
    """When an incident is repeated, when it has recovered by itself, and what belongs to it, in event time.

    What a detector says once and holds to last, as the default one does, is not repeated, nor is a relapse.
    A series in which something is found no more than ``group_seconds`` after another one joined an open
    incident of the same model becomes a part of it; with 0 every series has incidents of its own.
    """

    repeat_seconds: Positive = 86_400.0
    recover_seconds: Positive = 86_400.0
    group_seconds: Annotated[float, msgspec.Meta(ge=0)] = 86_400.0
    severity: Severities = Severities()
    roles: tuple[str, ...] = ("ai_dev_team", "data_science_lead")


class Bounds(_Table, frozen=True, kw_only=True):
    """How much one model may make Driftline keep; what lies beyond goes or finds no room, and is counted.

    Versions, published ``baselines``, predictions that wait (``pending``), predictions that feedback waits
    for (``orphans``), feedback on one of these (``orphan_feedback``) and event ids (``seen_ids``) go, the
    oldest first. Further features of a version, further classes of its output and further ``segments`` of one
    name are not watched, nor are the categories of a feature that has more.
    """

    versions: Count = 10
    features: Count = 200
    categories: Count = 100
    classes: Count = 20
    segments: Count = 20
    baselines: Count = 500
    pending: Count = 1_000_000
    orphans: Count = 100_000
    orphan_feedback: Count = 100
    seen_ids: Count = 200_000


class Policy(_Table, frozen=True, kw_only=True):
    """How one model is watched; every field has a default, so that no policy at all is a policy.

    The error is watched in each of the ``segments`` besides, which are names of fields of a prediction's
    ``segments``: with ``segments = ["region"]`` there is a series for ``region=south``, and one for each
    other region.
    """

    task: Task = Task.AUTO
    segments: Annotated[tuple[SegmentKey, ...], msgspec.Meta(max_length=8)] = ()
    signals: Signals = Signals()
    detectors: Detectors = Detectors()
    horizons: Horizons = Horizons()
    alerting: Alerting = Alerting()
    bounds: Bounds = Bounds()

    def __post_init__(self) -> None:
        """Refuse a segment that is named twice."""
        if len(set(self.segments)) < len(self.segments):
            raise ValueError(f"segments {list(self.segments)} names one twice")


DEFAULT_POLICY = Policy()
