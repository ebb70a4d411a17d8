"""Injected faults: what one does not touch is the same in its twin; the pipeline finds what it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from stream.lab.faults import through_pipeline
from stream.lab.injected import BEGINS_DAY, DAYS, EVERY_SECONDS, FAULTS, MANY, SHAPES, log

PER_DAY = int(86_400 / EVERY_SECONDS)


def predictions(fault: str | None, shape: str) -> Iterator[dict[str, Any]]:
    lines = map(orjson.loads, log(FAULTS[fault] if fault else None, shape, seed=3))
    return (line for line in lines if line["type"] == "prediction")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fault_touches_its_own_days_and_nothing_else(shape: str) -> None:
    pairs = zip(predictions("new category", shape), predictions(None, shape), strict=True)
    touched = [number // PER_DAY for number, (hurt, well) in enumerate(pairs) if hurt != well]
    assert min(touched) >= BEGINS_DAY
    days = set(touched)
    odd = set(range(BEGINS_DAY + 1, DAYS, 2))
    assert days.isdisjoint(odd) if shape == "recurring" else days >= odd


def test_a_log_is_the_same_each_time() -> None:
    first, second = log(MANY, "abrupt", 1, many=True), log(MANY, "abrupt", 1, many=True)
    assert [next(first) for _ in range(2_000)] == [next(second) for _ in range(2_000)]


def test_the_pipeline_takes_the_log_and_names_the_series_of_the_fault() -> None:
    incidents = through_pipeline(log(FAULTS["feature"], "abrupt", 0))
    late = [one for one in incidents if one.signal == "feature:amount" and one.detected_at.day > BEGINS_DAY]
    assert late
