"""What the default detector takes and costs, beside river's ADWIN and Page-Hinkley on each reading.

A model of 21 series, as the laboratory has it: an error, eight numbers, twelve rates of missing values; a
prediction every ten seconds. River's are used as its users do: an object each, asked reading by reading.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, PageHinkley

from benchmarks.processes import report
from schemas.alerts import Kind
from schemas.policy import Detectors
from stream.core.nouns import SeriesKey, SeriesSpec
from stream.core.ports import Bank
from stream.detectors.registry import Registry

STEP_SECONDS = 10.0
NUMBERS, RATES = 8, 12
WARM = 24_000
"""Events before the clock starts: a default detector tests nothing before 20,000 in so few days."""

SMALL, LARGE = 200, 2_000
"""Events in a batch: of a worker with little to do, and of one with a backlog."""

MODELS = 20

Values = NDArray[np.float64]


def series_of(model: str) -> Iterator[SeriesSpec]:
    """Give the series of a model."""
    yield SeriesSpec(key=SeriesKey(model, "1", "", "error"), kind=Kind.PERFORMANCE, only_rise=True)
    for number in range(NUMBERS):
        yield SeriesSpec(key=SeriesKey(model, "1", "", f"feature:x{number}"), kind=Kind.DRIFT)
    for number in range(RATES):
        key = SeriesKey(model, "1", "", f"missing:x{number}")
        yield SeriesSpec(key=key, kind=Kind.DATA_QUALITY, only_rise=True)


def readings(events: int) -> Values:
    """Give the readings of one model, shape (series, events)."""
    rng = np.random.default_rng(1)
    error = (rng.random((1, events)) < 0.15).astype(np.float64)
    rare = (rng.random((RATES, events)) < 0.002).astype(np.float64)
    return np.concatenate((error, rng.standard_normal((NUMBERS, events)), rare))


def of_quiet(values: Values, batch: int, models: int) -> tuple[float, dict[str, float]]:
    """Give the CPU microseconds of a reading once all is warm, and the bytes that a series takes, packed."""
    bank: Bank = Registry().bank(Detectors())
    slots = np.array(
        [
            bank.add(only_rise=spec.only_rise, spec=spec)
            for number in range(models)
            for spec in series_of(f"m{number}")
        ]
    )
    used, taken = 0.0, 0
    own = batch // models
    for start in range(0, values.shape[1], own):
        part = np.tile(values[:, start : start + own], (models, 1))
        size = part.shape[1]
        times = 1.76e9 + STEP_SECONDS * (start + np.arange(size))
        shown = np.tile(slots, size), np.ascontiguousarray(part.T).ravel(), np.repeat(times, len(slots))
        began = time.process_time()
        bank.update(*shown)
        if start >= WARM:
            used += time.process_time() - began
            taken += part.size
    packed = {
        "bytes of a rate": float(len(bank.snapshot(int(slots[0])))),
        "bytes of a number": float(len(bank.snapshot(int(slots[1])))),
    }
    return used / taken * 1e6, packed


def of_river(values: Values) -> float:
    """Give the CPU microseconds of a reading."""
    used = 0.0
    for row in values.tolist():
        adwin, page_hinkley = ADWIN(), PageHinkley()
        began = time.process_time()
        for value in row:
            adwin.update(value)
            page_hinkley.update(value)
        used += time.process_time() - began
    return used / values.size * 1e6


def main(events: str) -> None:
    """Show *events* of one model to both, and the first of them to 20 models at a time."""
    values = readings(WARM + int(events))
    large, packed = of_quiet(values, LARGE, 1)
    small, _ = of_quiet(values, SMALL, 1)
    many, _ = of_quiet(values[:, : WARM + int(events) // 4], LARGE, MODELS)
    report(
        {
            "us per reading": large,
            "us per reading, small batches": small,
            "us per reading, 20 models": many,
            "us per reading, river": of_river(values[:, -int(events) // 2 :]),
            **packed,
        }
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
