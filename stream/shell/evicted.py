"""Models that a pipeline has evicted: what the metrics say of them now is forgotten."""

from __future__ import annotations

from stream.core.nouns import Result
from stream.shell.metrics import Metrics


def forget_evicted(metrics: Metrics, result: Result) -> None:
    """Drop the gauges of the models that went in a step: they would stay at their last value for good.

    Counters stay, as those of a process do; there are as many as the metrics' bounds allow.
    """
    if result.evicted:
        metrics.forget(model=frozenset(result.evicted))
