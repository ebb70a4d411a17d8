"""Budgeted: series show what they are, join their model's budget in the log's order, and heal."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.alerts import Kind
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding, Healed, SeriesKey, SeriesSpec, Stage, Standing
from stream.core.ports import Found
from stream.detectors.budgeted import HELD, Budgeted
from stream.detectors.forms import Form, Nature, form_of, nature_of
from stream.detectors.quiet import Family, Pool, QuietBank

Values = NDArray[np.float64]
STEP_SECONDS = 60.0


def spec_of(signal: str, kind: Kind, *, only_rise: bool = False, model: str = "m") -> SeriesSpec:
    return SeriesSpec(key=SeriesKey(model, "1", "", signal), kind=kind, only_rise=only_rise)


ERROR = spec_of("error", Kind.PERFORMANCE, only_rise=True)
AGE = spec_of("feature:age", Kind.DRIFT)
SCORE = spec_of("score", Kind.DRIFT)


def new_bank(false_alarms: float = 0.3) -> Budgeted:
    return Budgeted(QuietBank(false_alarms=false_alarms))


def add(bank: Budgeted, spec: SeriesSpec) -> int:
    return bank.add(only_rise=spec.only_rise, spec=spec)


def show(bank: Budgeted, slot: int, values: Values, start: int = 0) -> list[Finding | Healed]:
    times = 1.7e9 + STEP_SECONDS * np.arange(start, start + len(values), dtype=np.float64)
    return [found.finding for found in bank.update(np.full(len(values), slot), values, times)]


def rate(*parts: tuple[int, float], seed: int = 0) -> Values:
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(size) < p).astype(np.float64) for size, p in parts])


def normal(*parts: tuple[int, float], seed: int = 0, spread: float = 1.0) -> Values:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(mean, spread, size) for size, mean in parts])


@pytest.mark.parametrize(
    ("spec", "pool", "is_rate"),
    [
        (ERROR, Pool.PERFORMANCE, False),
        (replace(ERROR, key=SeriesKey("m", "1", "country=DE", "error")), Pool.SEGMENT, False),
        (SCORE, Pool.OUTPUT, False),
        (spec_of("output:yes", Kind.DRIFT), Pool.OUTPUT, True),
        (AGE, Pool.DRIFT, False),
        (spec_of("missing:age", Kind.DATA_QUALITY, only_rise=True), Pool.QUALITY, True),
        (spec_of("latency_ms", Kind.USAGE), Pool.USAGE, False),
        (spec_of("thumbs_down", Kind.FEEDBACK, only_rise=True), Pool.FEEDBACK, True),
        (spec_of("rating", Kind.FEEDBACK), Pool.FEEDBACK, False),
    ],
    ids=lambda value: value.key.signal if isinstance(value, SeriesSpec) else str(value),
)
def test_a_series_draws_on_the_part_of_its_kind(spec: SeriesSpec, pool: Pool, is_rate: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    nature = nature_of(spec, only_rise=spec.only_rise)
    assert (nature.account, nature.pool, nature.is_rate) == ("m", pool, is_rate)


@pytest.mark.parametrize(
    ("values", "nature", "form"),
    [
        ([0.0, 1.0, 1.0], Nature(only_rise=True), Form(family=Family.RATE)),
        ([0.0, 0.0, 0.0], Nature(only_rise=True), Form(family=Family.RATE)),
        ([0.5, 7.0, 3.0], Nature(is_rate=True), Form(family=Family.RATE)),
        ([0.0, 1.0, 1.0], Nature(), Form(family=Family.RATE)),
        ([-3.0, 5.0, 5.0], Nature(), Form(family=Family.RATE, low=-3.0, unit=8.0)),
        ([4.0, 4.0, 4.0], Nature(), Form(family=Family.RATE, low=4.0, differs=True)),
        ([1.0, 2.0, 3.0], Nature(), Form(family=Family.NUMBER)),
        ([1.0, 2.0, 3.0], Nature(only_rise=True), Form(family=Family.LOSS, unit=12.0)),
        ([0.0] * 19 + [8.0], Nature(only_rise=True), Form(family=Family.LOSS, unit=8.0)),
    ],
)
def test_the_first_readings_show_what_a_series_is(values: list[float], nature: Nature, form: Form) -> None:
    assert form_of(np.array(values), nature) == form


def test_a_rise_of_an_error_is_told_once_and_lasts_until_it_heals() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    found = show(bank, slot, rate((40_000, 0.1), (10_000, 0.25), (20_000, 0.1)))
    rise, healed = found
    assert isinstance(rise, Finding)
    assert rise.lasts
    assert 40_000 < rise.index < 42_000
    assert isinstance(healed, Healed)
    assert 50_000 < healed.index < 70_000


def test_an_error_of_quantities_is_told_in_its_own_units() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    values = np.abs(np.concatenate([normal((40_000, 0.0), spread=50.0), normal((4_000, 0.0), spread=100.0)]))
    (rise,) = show(bank, slot, values)
    assert isinstance(rise, Finding)
    assert rise.expected == pytest.approx(50.0 * np.sqrt(2.0 / np.pi), rel=0.05)
    assert rise.observed > 1.05 * rise.expected, "a window may hold some of what was before"


def test_a_fall_of_an_error_of_quantities_is_no_finding() -> None:
    bank = new_bank()
    values = np.abs(np.concatenate([normal((40_000, 0.0), spread=50.0), normal((4_000, 0.0), spread=10.0)]))
    assert not show(bank, add(bank, ERROR), values)


def test_a_number_that_moves_is_told_by_its_mean() -> None:
    bank = new_bank()
    (moved,) = show(bank, add(bank, AGE), normal((40_000, 500.0), (3_000, 520.0), spread=20.0))
    assert isinstance(moved, Finding)
    assert moved.expected == pytest.approx(500.0, abs=1.0)
    assert 505.0 < moved.observed < 530.0
    assert moved.statistic > moved.threshold > 0.0


def test_two_numbers_other_than_0_and_1_are_a_rate_in_their_units() -> None:
    bank = new_bank()
    values = 10.0 + 20.0 * rate((40_000, 0.1), (4_000, 0.3))
    (moved,) = show(bank, add(bank, AGE), values)
    assert isinstance(moved, Finding)
    assert moved.expected == pytest.approx(12.0, abs=0.3)
    assert moved.observed > 14.0


def test_a_number_that_was_always_the_same_is_found_when_it_is_not() -> None:
    bank = new_bank()
    (moved,) = show(bank, add(bank, AGE), np.concatenate([np.full(40_000, 7.0), np.full(2_000, -2.0)]))
    assert isinstance(moved, Finding)
    assert moved.index < 41_000
    assert moved.expected == 0.0, "the rate of those that differ"
    assert 0.0 < moved.observed <= 1.0


def test_a_share_of_the_budget_is_less_when_another_series_joins_and_more_when_it_goes() -> None:
    bank = new_bank()
    first, second = add(bank, AGE), add(bank, spec_of("feature:income", Kind.DRIFT))
    other = add(bank, spec_of("feature:age", Kind.DRIFT, model="another"))
    for slot in (first, other):
        show(bank, slot, normal((HELD, 0.0)))
    show(bank, second, normal((HELD - 1, 0.0)))
    whole = bank.explain(first).share
    assert whole == bank.explain(other).share
    assert bank.explain(second).share is None, "what it is shall be known first"
    show(bank, second, normal((1, 0.0)))
    assert whole is not None
    assert bank.explain(first).share == bank.explain(second).share == whole / 2
    assert bank.explain(other).share == whole
    bank.drop(second)
    assert bank.explain(first).share == whole


def test_a_series_is_explained() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    assert bank.explain(slot).stage is Stage.LEARNING
    values = rate((60_000, 0.1), (4_000, 0.3))
    show(bank, slot, values[:60_000])
    told = bank.explain(slot)
    assert (told.stage, told.readings) == (Stage.WATCHING, 60_000)
    assert told.per_day == pytest.approx(1_440.0, rel=0.01)
    assert told.false_alarms == pytest.approx(0.3 * 0.6)
    assert told.normal == pytest.approx(0.1, abs=0.01)
    day, week, month = (each.rise for each in told.smallest)
    assert day is not None
    assert week is not None
    assert month is not None
    assert told.normal is not None
    assert 0.3 > day > week >= month > told.normal
    assert all(each.fall is None for each in told.smallest)
    show(bank, slot, values[60_000:], start=60_000)
    assert bank.explain(slot).stage is Stage.CHANGED


def test_a_baseline_is_frozen_when_it_is_complete_and_its_digest_stays() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    values = rate((90_000, 0.1))
    show(bank, slot, values[:1_000])
    first = bank.explain(slot).baseline
    show(bank, slot, values[1_000:70_000], start=1_000)
    grown = bank.explain(slot).baseline
    show(bank, slot, values[70_000:84_000], start=70_000)
    frozen = bank.explain(slot).baseline
    show(bank, slot, values[84_000:], start=84_000)
    assert first is not None
    assert grown is not None
    assert frozen is not None
    standings = [each.standing for each in (first, grown, frozen)]
    assert standings == [Standing.LEARNING, Standing.GROWING, Standing.FROZEN]
    assert first.readings < grown.readings < frozen.readings
    assert first.since == grown.since == frozen.since
    assert len({first.digest, grown.digest, frozen.digest}) == 3
    assert bank.explain(slot).baseline == frozen
    other = new_bank()
    assert other.explain(other.restore(bank.snapshot(slot), only_rise=True)).baseline == frozen


@pytest.mark.parametrize("spec", [ERROR, AGE])
def test_a_baseline_has_one_digest_however_its_readings_came(spec: SeriesSpec) -> None:
    values = rate((6_000, 0.1)) if spec is ERROR else normal((6_000, 0.0))
    at_once, in_pieces, another = new_bank(), new_bank(), new_bank()
    slots = [add(bank, spec) for bank in (at_once, in_pieces, another)]
    show(at_once, slots[0], values)
    for start in range(0, len(values), 77):
        show(in_pieces, slots[1], values[start : start + 77], start=start)
    show(another, slots[2], values[::-1])
    expected = at_once.explain(slots[0]).baseline
    other = another.explain(slots[2]).baseline
    assert expected is not None
    assert other is not None
    assert in_pieces.explain(slots[1]).baseline == expected
    assert other.digest != expected.digest


@pytest.mark.parametrize("spec", [ERROR, AGE])
def test_a_baseline_is_frozen_while_a_change_lasts(spec: SeriesSpec) -> None:
    bank = new_bank()
    slot = add(bank, spec)
    before = rate((30_000, 0.1)) if spec is ERROR else normal((30_000, 0.0))
    after = rate((4_000, 0.4), seed=1) if spec is ERROR else normal((4_000, 2.0), seed=1)
    show(bank, slot, before)
    show(bank, slot, after[:2_000], start=30_000)
    assert bank.explain(slot).stage is Stage.CHANGED
    held = bank.explain(slot).baseline
    assert held is not None
    assert held.standing is Standing.FROZEN
    show(bank, slot, after[2_000:], start=32_000)
    assert bank.explain(slot).baseline == held


@pytest.mark.parametrize("days", [1.0, 7.0])
def test_what_is_said_to_be_seen_within_some_days_is_seen_about_then(days: float) -> None:
    """Of runs with the smallest change that is named, a good part has found it by then."""
    found_in_time = 0
    for seed in range(6):
        bank = new_bank()
        slot = add(bank, ERROR)
        show(bank, slot, rate((50_000, 0.1), seed=seed))
        level = next(each.rise for each in bank.explain(slot).smallest if each.days == days)
        assert level is not None
        length = int(days * 1_440)
        found_in_time += bool(show(bank, slot, rate((length, level), seed=100 + seed), start=50_000))
    assert found_in_time >= 2


def test_a_number_explains_what_rise_and_what_fall_it_shows() -> None:
    bank = new_bank()
    slot = add(bank, AGE)
    show(bank, slot, normal((50_000, 500.0), spread=20.0))
    told = bank.explain(slot)
    assert told.normal == pytest.approx(500.0, abs=1.0)
    for each in told.smallest:
        assert each.rise is not None
        assert each.fall is not None
        assert 480.0 < each.fall < 500.0 < each.rise < 520.0


def _timeline(rows: int) -> tuple[NDArray[np.intp], Values, Values, NDArray[np.int64]]:
    """Give a log of three series of a model and one of another; two begin late, and one of those changes."""
    rng = np.random.default_rng(5)
    starts = np.array([0, 0, rows // 3, rows // 2])
    event = np.repeat(np.arange(rows), 4)
    series = np.tile(np.arange(4), rows)
    is_there = event >= starts[series]
    event, series = event[is_there], series[is_there]
    late = event > 0.8 * rows
    values = np.where(
        series == 0, rng.random(len(event)) < np.where(late, 0.3, 0.1), rng.normal(size=len(event))
    )
    values = np.where((series == 2) & late, values + 1.0, values)
    return series, values.astype(np.float64), 1.7e9 + 30.0 * event.astype(np.float64), event.astype(np.int64)


SERIES = (ERROR, AGE, spec_of("feature:income", Kind.DRIFT), spec_of("error", Kind.PERFORMANCE, model="b"))


def _run(cuts: list[int], *, by_series: bool, restart: bool) -> tuple[list[object], list[bytes]]:
    """Show the log cut at the events *cuts*; give what was found by series and event, and the snapshots."""
    series, values, times, order = _timeline(30_000)
    bank = new_bank(30.0)
    slots: dict[int, int] = {}
    said: list[object] = []
    bounds = [0, *cuts, int(order[-1]) + 1]
    for start, stop in pairwise(bounds):
        at = np.flatnonzero((order >= start) & (order < stop))
        if by_series:
            at = at[np.argsort(series[at], kind="stable")]
        for one in dict.fromkeys(series[at].tolist()):
            if one not in slots:
                slots[one] = add(bank, SERIES[one])
        own = np.array([slots[one] for one in series[at].tolist()])
        found: list[Found] = bank.update(own, values[at], times[at], order[at])
        names = {slot: one for one, slot in slots.items()}
        for slot, finding in found:
            event = int(order[at[finding.index]])
            said.append((event, names[slot], replace(finding, index=0)))
        if restart:
            kept = {one: bank.snapshot(slot) for one, slot in slots.items()}
            bank = new_bank(30.0)
            slots = {
                one: bank.restore(kept[one], only_rise=SERIES[one].only_rise)
                for one in sorted(kept, reverse=True)
            }
    said.sort(key=str)
    return said, [bank.snapshot(slots[one]) for one in range(4)]


def test_neither_cuts_nor_restarts_nor_the_order_of_columns_show() -> None:
    wanted = _run([], by_series=False, restart=False)
    assert len(wanted[0]) >= 2
    for cuts in ([7_000, 10_300, 15_200], list(range(0, 30_000, 611))):
        assert _run(cuts, by_series=True, restart=False) == wanted
        assert _run(cuts, by_series=False, restart=True) == wanted
    assert _run([], by_series=True, restart=False) == wanted


def test_a_knob_that_is_turned_leaves_what_was_learned() -> None:
    bank, other = new_bank(0.3), new_bank(3.0)
    slot = add(bank, ERROR)
    show(bank, slot, rate((30_000, 0.1)))
    again = other.restore(bank.snapshot(slot), only_rise=True)
    assert other.snapshot(again) == bank.snapshot(slot)
    before, after = bank.explain(slot).false_alarms, other.explain(again).false_alarms
    assert before is not None
    assert after == pytest.approx(10.0 * before)


def test_what_cannot_be_read_is_an_unreadable_row() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    for size in (100, 3_000):
        show(bank, slot, rate((size, 0.1)))
        snapshot = bank.snapshot(slot)
        for damaged in (b"", snapshot[:-1], snapshot + b"\0", snapshot[:9] + b"\xff" + snapshot[10:]):
            with pytest.raises(UnreadableRowError):
                new_bank().restore(damaged, only_rise=True)
        with pytest.raises(UnreadableRowError, match="only_rise"):
            new_bank().restore(snapshot, only_rise=False)


def test_a_slot_that_is_not_in_use_takes_nothing() -> None:
    bank = new_bank()
    slot = add(bank, ERROR)
    before = bank.snapshot(slot)
    for wrong in (-1, slot + 1, 10_000):
        with pytest.raises(IndexError, match="slot"):
            bank.update(np.array([slot, wrong]), np.zeros(2), np.zeros(2))
        with pytest.raises(IndexError, match="slot"):
            bank.drop(wrong)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            bank.update(np.array([slot]), np.array([bad]), np.zeros(1))
    assert bank.snapshot(slot) == before


def test_any_finite_number_is_taken() -> None:
    bank = new_bank()
    slot = add(bank, AGE)
    huge = np.finfo(np.float64).max
    show(bank, slot, np.tile([huge, -huge, 0.0, 5e-324, 3.0], 2_000))
    again = new_bank()
    assert again.snapshot(again.restore(bank.snapshot(slot), only_rise=False)) == bank.snapshot(slot)


def test_a_number_far_from_two_that_are_next_to_each_other_is_taken() -> None:
    bank = Budgeted(QuietBank())
    slot = bank.add(only_rise=False)
    values = np.array([0.0, 1e-300] * 300 + [1e100, -1e100] * 32)
    bank.update(np.full(len(values), slot), values, np.arange(len(values), dtype=np.float64))
    assert np.isfinite(bank.explain(slot).readings)
