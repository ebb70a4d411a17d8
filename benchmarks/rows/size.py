"""What is kept and what it costs: pending predictions, many series, arrays, the default detector."""

from __future__ import annotations

from benchmarks import policies
from benchmarks.context import Context, Figures, Measure
from benchmarks.processes import figures_of

FEW_VERSIONS = 1
SERIES_PER_VERSION = 10
ALARMS_EVENTS = 20_000
ARRAYS_OF = 20_000
"""Predictions that come in arrays, and again each on its own."""


def pending(context: Context) -> Figures:
    """Let predictions wait for labels that never come."""
    policy = policies.write(context.directory, policies.PENDING)
    arguments = [str(policy), str(context.sizes.pending)]
    return figures_of("benchmarks.probes.pending", arguments, context.cores, context.path("pending.log"))


def many_series(context: Context) -> Figures:
    """Watch ten series a version, in many versions."""
    return _series(context, context.sizes.versions, context.sizes.readings, "many")


def few_series(context: Context) -> Figures:
    """Watch the ten series of one version, over as many predictions as of the many."""
    return _series(context, FEW_VERSIONS, context.sizes.versions * context.sizes.readings, "few")


def arrays(context: Context) -> Figures:
    """Take the same events in arrays and each in a record of its own."""
    arguments = [str(policies.write(context.directory, policies.THROUGHPUT)), str(ARRAYS_OF)]
    return figures_of("benchmarks.probes.arrays", arguments, context.cores, context.path("arrays.log"))


def default_detector(context: Context) -> Figures:
    """Watch a model of 21 series by the default detector, and by river's on each reading."""
    arguments = [str(ALARMS_EVENTS)]
    return figures_of("benchmarks.probes.alarms", arguments, context.cores, context.path("alarms.log"))


def _series(context: Context, versions: int, readings: int, name: str) -> Figures:
    policy = policies.write(context.directory, policies.MANY_SERIES)
    arguments = [str(policy), str(versions), str(readings)]
    return figures_of("benchmarks.probes.series", arguments, context.cores, context.path(f"{name}.log"))


MEASURES = (
    Measure(name="pending", run=pending, on_broker=False, rounds=1, is_large=True),
    Measure(name="few series", run=few_series, on_broker=False, rounds=3),
    Measure(name="many series", run=many_series, on_broker=False, rounds=3, is_large=True),
    Measure(name="arrays", run=arrays, on_broker=False, rounds=3),
    Measure(name="default detector", run=default_detector, on_broker=False, rounds=3),
)
