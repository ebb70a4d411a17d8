"""A baseline that is published is taken over whole: what it is tested with, its noise, its season."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.baselines import Counted, PublishedBaseline, digest_of
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding, SeriesKey, SeriesSpec, Stage
from stream.detectors.budgeted import Budgeted
from stream.detectors.quiet import QuietBank
from stream.detectors.states import State, packed
from tests.unit.test_renewal import BEGAN, DAY, STEP, Series, errors

KEY: Final = SeriesKey("m", "1", "", "error")


def given(series: Series) -> PublishedBaseline:
    published = series.bank.published(series.slot, KEY)
    assert published is not None
    return msgspec.json.decode(msgspec.json.encode(published), type=PublishedBaseline)


def beginning_with(baseline: PublishedBaseline, signal: str, kind: Kind, *, only_rise: bool) -> Series:
    series = Series(signal, kind, only_rise=only_rise)
    assert series.bank.take(series.slot, baseline)
    return series


def daily(level: float, start: int, stop: int, seed: int) -> NDArray[np.float64]:
    place = np.arange(start, stop)
    rate = level + 0.12 * np.sin(2 * np.pi * (BEGAN + STEP * place) / DAY)
    drawn: NDArray[np.float64] = (np.random.default_rng(seed).random(len(place)) < rate).astype(np.float64)
    return drawn


def a_seasonal_error() -> Series:
    series = Series("error", Kind.PERFORMANCE, only_rise=True)
    series.show(daily(0.3, 0, 40_000, 1))
    return series


def test_a_series_that_begins_with_it_is_watched_at_once_and_says_nothing_of_the_day() -> None:
    old = a_seasonal_error()
    new = beginning_with(given(old), "error", Kind.PERFORMANCE, only_rise=True)
    before = old.bank.baseline(old.slot)
    after = new.bank.baseline(new.slot)
    assert before is not None
    assert after is not None
    assert (after.digest, after.readings) == (before.digest, before.readings)
    new.shown = 40_000
    assert not new.show(daily(0.3, 40_000, 42_000, 2))
    assert new.bank.explain(new.slot).stage is Stage.WATCHING
    assert new.bank.explain(new.slot).share == pytest.approx(0.6)
    (found,) = new.show(daily(0.45, 42_000, 44_000, 3))
    assert isinstance(found, Finding)
    assert found.expected == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("signal", "kind", "only_rise", "counted"),
    [("feature:a", Kind.DRIFT, False, Counted.NUMBER), ("error", Kind.PERFORMANCE, True, Counted.LOSS)],
)
def test_numbers_and_losses_are_taken_over_too(
    signal: str, kind: Kind, *, only_rise: bool, counted: Counted
) -> None:
    rng = np.random.default_rng(3)

    def values(size: int, shift: float = 0.0) -> NDArray[np.float64]:
        drawn = rng.normal(size=size) * (1.0 + shift) + shift
        return np.abs(drawn) if only_rise else drawn

    old = Series(signal, kind, only_rise=only_rise)
    old.show(values(30_000))
    baseline = given(old)
    assert baseline.counted is counted
    new = beginning_with(baseline, signal, kind, only_rise=only_rise)
    new.shown = 30_000
    assert not new.show(values(8_000))
    (found,) = new.show(values(3_000, 1.0))
    assert isinstance(found, Finding)


def test_a_restart_before_its_first_reading_changes_nothing() -> None:
    baseline = given(a_seasonal_error())
    straight, restarted = (
        beginning_with(baseline, "error", Kind.PERFORMANCE, only_rise=True) for _ in range(2)
    )
    restarted.restart()
    for series in (straight, restarted):
        series.shown = 40_000
        series.show(daily(0.3, 40_000, 40_500, 2))
    assert straight.bank.snapshot(straight.slot) == restarted.bank.snapshot(restarted.slot)


def test_how_the_first_readings_are_cut_makes_no_difference() -> None:
    baseline = given(a_seasonal_error())
    values = daily(0.3, 40_000, 43_000, 2)
    snapshots = []
    for size in (1, 7, 3_000):
        series = beginning_with(baseline, "error", Kind.PERFORMANCE, only_rise=True)
        for start in range(0, 3_000 if size > 1 else 90, size):
            series.show(values[start : start + size])
        if size == 1:
            series.show(values[90:])
        snapshots.append(series.bank.snapshot(series.slot))
    assert snapshots[0] == snapshots[1] == snapshots[2]


def test_a_series_that_is_taken_over_goes_on_and_its_open_change_is_over() -> None:
    series = Series("error", Kind.PERFORMANCE, only_rise=True)
    series.show(errors((20_000, 0.1), (3_000, 0.3)))
    assert series.bank.explain(series.slot).stage is Stage.CHANGED
    assert series.bank.take(series.slot, given(a_seasonal_error()))
    series.show(errors((64, 0.3)))
    assert series.bank.explain(series.slot).stage is Stage.WATCHING


@pytest.mark.parametrize(
    ("signal", "kind", "only_rise"),
    [("missing:a", Kind.DATA_QUALITY, True), ("feature:a", Kind.DRIFT, False)],
)
def test_what_is_of_another_kind_is_not_taken(signal: str, kind: Kind, *, only_rise: bool) -> None:
    rng = np.random.default_rng(5)
    loss = Series("error", Kind.PERFORMANCE, only_rise=True)
    loss.show(np.abs(rng.normal(size=10_000)))
    other = Series(signal, kind, only_rise=only_rise)
    assert not other.bank.take(other.slot, given(loss))


def test_a_baseline_that_is_too_small_is_not_published() -> None:
    series = Series("error", Kind.PERFORMANCE, only_rise=True)
    assert series.bank.published(series.slot, KEY) is None
    series.show(errors((512, 0.1)))
    assert series.bank.published(series.slot, KEY) is not None
    young = Series("feature:a", Kind.DRIFT, only_rise=False)
    young.show(np.random.default_rng(1).normal(size=600))
    assert young.bank.published(young.slot, KEY) is None


def fields() -> dict[str, Any]:
    return {
        "signal": "error", "counted": "rate", "readings": 1_000.0, "sums": [100.0],
        "noise": [[1.0, 1.0, 1.0]] * 10, "since": "2026-01-01T00:00:00Z", "until": "2026-01-09T00:00:00Z",
    }  # fmt: skip


CELLS: Final = {"counted": "number", "sums": [400.0, 600.0], "edges": [0.5], "middles": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"readings": 255.0}, "Expected `float` >= 256.0"),
        ({"sums": [1_001.0]}, "its sums are not between none and all of its readings"),
        ({"sums": [-1.0]}, "its sums are not between none and all of its readings"),
        ({"sums": [400.0, 600.0]}, "2 sums of a rate"),
        ({"edges": [1.0]}, "edges and middles are not those of its cells"),
        ({**CELLS, "edges": []}, "edges and middles are not those of its cells"),
        ({**CELLS, "sums": [400.0, 500.0]}, "its cells do not hold its readings"),
        (
            {**CELLS, "sums": [400.0, 500.0, 100.0], "edges": [1.0, 0.5], "middles": [0.0, 0.7, 1.0]},
            "the edges do not rise",
        ),
        ({"noise": [[1.0, 1.0, 1.0]] * 9}, "Expected `array` of length >= 10"),
        ({"noise": [[-1.0, 1.0, 1.0]] * 10}, "Expected `float` >= 0.0"),
        ({"unit": 0.0}, "its unit is not above 0, or it ends before it begins"),
        ({"until": "2025-01-01T00:00:00Z"}, "its unit is not above 0, or it ends before it begins"),
        ({"hours": [[1.0, 1.0, 0.5]] * 23}, "its season has other hours, weekdays or cells"),
        ({"hours": [[1.0, 1.0]] * 24}, "its season has other hours, weekdays or cells"),
        ({"weekdays": [[1.0, 2.0, 0.5]] * 7}, "a season has no such numbers of readings and visits"),
        ({"weekdays": [[1.0, 1.0, 1e17]] * 7}, "a season's sums are too large"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any], told: str) -> None:
    msgspec.convert(fields(), PublishedBaseline)
    msgspec.convert({**fields(), **CELLS}, PublishedBaseline)
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert({**fields(), **wrong}, PublishedBaseline)


def test_the_digest_is_that_of_what_is_said() -> None:
    one = msgspec.convert(fields(), PublishedBaseline)
    again = msgspec.json.decode(msgspec.json.encode(one), type=PublishedBaseline)
    assert digest_of([one]) == digest_of([again])
    assert digest_of([one]) != digest_of([msgspec.structs.replace(one, readings=1_001.0)])


@pytest.mark.parametrize("raw", [b"oops", b"{}"])
def test_a_damaged_one_in_a_row_of_state_is_refused(raw: bytes) -> None:
    series = Series("error", Kind.PERFORMANCE, only_rise=True)
    nature = series.bank._natures[series.slot]  # noqa: SLF001 - a row like its own
    row = packed(State("quiet", nature, b"", b"", None, b"", raw))
    with pytest.raises(UnreadableRowError):
        Budgeted(QuietBank()).restore(row, only_rise=True)


def test_one_with_readings_in_a_row_of_state_is_refused() -> None:
    spec = SeriesSpec(key=KEY, kind=Kind.PERFORMANCE, only_rise=True)
    bank = Budgeted(QuietBank())
    nature = bank._natures[bank.add(only_rise=True, spec=spec)]  # noqa: SLF001 - a row like its own
    raw = msgspec.json.encode(msgspec.convert(fields(), PublishedBaseline))
    row = packed(State("quiet", nature, bytes(8), bytes(8), None, b"", raw))
    with pytest.raises(UnreadableRowError, match="has readings"):
        bank.restore(row, only_rise=True)
