"""How a model is watched: thresholds, horizons and what is read, as a data science lead writes them.

A policy file is TOML: a table ``[default]`` and a table ``[models."NAME"]`` for each model that differs from
it. Durations are numbers of seconds, named ``*_seconds``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from schemas.alerts import Kind, Severity

Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


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


class Detectors(_Table, frozen=True, kw_only=True):
    """Which detectors watch every series of a model, and after how many readings of it."""

    use: tuple[str, ...] = ("adwin", "page_hinkley")
    warm_up: Annotated[int, msgspec.Meta(ge=30, le=100_000)] = 1_000
    adwin: Adwin = Adwin()
    page_hinkley: PageHinkley = PageHinkley()


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
    model and topic is rejected, as is one more than ``future_seconds`` ahead of the worker's clock.
    """

    label_seconds: Positive = 30 * 86_400.0
    orphan_seconds: Positive = 86_400.0
    lateness_seconds: Positive = 30 * 86_400.0
    future_seconds: Positive = 3_600.0


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

    Versions, predictions that wait (``pending``), predictions that feedback waits for (``orphans``), feedback
    on one of these (``orphan_feedback``) and event ids (``seen_ids``) go, the oldest first. Further features
    of a version and further classes of its output are not watched, nor are the categories of a feature that
    has more.
    """

    versions: Count = 10
    features: Count = 200
    categories: Count = 100
    classes: Count = 20
    pending: Count = 1_000_000
    orphans: Count = 100_000
    orphan_feedback: Count = 100
    seen_ids: Count = 200_000


class Policy(_Table, frozen=True, kw_only=True):
    """How one model is watched; every field has a default, so that no policy at all is a policy."""

    task: Task = Task.AUTO
    signals: Signals = Signals()
    detectors: Detectors = Detectors()
    horizons: Horizons = Horizons()
    alerting: Alerting = Alerting()
    bounds: Bounds = Bounds()


DEFAULT_POLICY = Policy()
