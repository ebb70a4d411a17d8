"""Quiet: what its bank promises, and the pieces that have a right answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding
from stream.detectors.quiet import (
    Family,
    Pool,
    QuietBank,
    Spec,
    bins,
    budget,
    engine,
    noise,
    rates,
    scan,
    season,
)
from stream.detectors.quiet.records import DAY, Columns, layout
from stream.detectors.quiet.tails import fisher_tail, student_tail

Values = NDArray[np.float64]
NUMBER = Spec(family=Family.NUMBER, pool=Pool.DRIFT)
CATEGORY = Spec(family=Family.CATEGORY, pool=Pool.DRIFT)
STEP_SECONDS = 60.0


class Bank(Protocol):
    """Detectors of many series, one slot each, as the core asks for them."""

    def add(self, *, only_rise: bool) -> int: ...
    def drop(self, slot: int) -> None: ...
    def update(
        self, slots: NDArray[np.intp], values: Values, times: Values
    ) -> Sequence[tuple[int, Finding]]: ...
    def snapshot(self, slot: int) -> bytes: ...
    def restore(self, snapshot: bytes, *, only_rise: bool) -> int: ...


def watch(
    values: Values, spec: Spec, *, only_rise: bool = True, step: float = STEP_SECONDS
) -> tuple[QuietBank, int, list[Finding]]:
    bank = QuietBank()
    slot = bank.add(only_rise=only_rise, spec=spec)
    times = 1.7e9 + step * np.arange(len(values), dtype=np.float64)
    found = bank.update(np.full(len(values), slot), values, times)
    return bank, slot, [one.finding for one in found]


def rate(*parts: tuple[int, float], seed: int = 0) -> Values:
    rng = np.random.default_rng(seed)
    return np.concatenate([(rng.random(size) < p).astype(np.float64) for size, p in parts])


def test_it_is_a_bank() -> None:
    bank: Bank = QuietBank()
    slot = bank.add(only_rise=True)
    again = bank.restore(bank.snapshot(slot), only_rise=True)
    assert bank.snapshot(again) == bank.snapshot(slot)
    assert not bank.update(np.array([], np.intp), np.empty(0), np.empty(0))


def test_a_rise_is_found_with_its_evidence() -> None:
    values = rate((40_000, 0.1), (4_000, 0.2))
    _, _, (finding,) = watch(values, Spec())
    assert 40_000 < finding.index < 41_500
    assert finding.expected == pytest.approx(0.1, abs=0.005)
    assert finding.observed > 0.15
    assert finding.statistic > finding.threshold > 0
    assert finding.window_end == 1.7e9 + STEP_SECONDS * finding.index
    assert finding.window_end - finding.window_start == pytest.approx(STEP_SECONDS * finding.n)
    assert finding.n % 32 == 0


def test_a_fall_is_found_unless_only_a_rise_counts() -> None:
    values = rate((40_000, 0.3), (4_000, 0.15))
    assert not watch(values, Spec())[2]
    assert watch(values, Spec(), only_rise=False)[2]


def test_an_incident_speaks_once_and_is_over_when_the_series_is_well_again() -> None:
    values = rate((40_000, 0.1), (10_000, 0.25), (20_000, 0.1))
    bank, slot, findings = watch(values[:50_000], Spec())
    assert len(findings) == 1
    assert bank.is_open(slot)
    bank, slot, findings = watch(values, Spec())
    assert len(findings) == 1
    assert not bank.is_open(slot)


def test_a_second_incident_is_measured_against_the_same_normal() -> None:
    values = rate((40_000, 0.1), (4_000, 0.25), (20_000, 0.1), (4_000, 0.25))
    _, _, (first, second) = watch(values, Spec())
    assert second.expected == pytest.approx(first.expected, abs=0.005)


def test_nothing_is_tested_before_three_days_or_twenty_thousand_readings() -> None:
    values = rate((2_500, 0.05), (1_500, 0.6))
    assert not watch(values, Spec())[2]
    assert watch(values, Spec(), step=100.0)[2]


@pytest.mark.parametrize("constant", [0.0, 1.0])
def test_a_constant_rate_is_silent(constant: float) -> None:
    assert not watch(np.full(60_000, constant), Spec(), only_rise=False)[2]


@pytest.mark.parametrize("constant", [0.0, -3.5, 1e300, -1.7e308])
def test_a_constant_number_is_silent(constant: float) -> None:
    assert not watch(np.full(30_000, constant), NUMBER)[2]


def test_the_first_failures_of_a_clean_series_are_found() -> None:
    values = rate((40_000, 0.0), (4_000, 0.05))
    (finding,) = watch(values, Spec(pool=Pool.QUALITY))[2]
    assert finding.index < 41_000


def test_few_events_of_a_data_quality_series_say_nothing() -> None:
    values = np.zeros(60_000)
    values[50_000:50_004] = 1.0
    assert not watch(values, Spec(pool=Pool.QUALITY))[2]


def test_a_shifted_number_is_found_and_a_small_shift_is_not_worth_it() -> None:
    rng = np.random.default_rng(3)
    before = rng.normal(0.0, 1.0, 40_000)
    assert watch(np.concatenate((before, rng.normal(0.7, 1.0, 4_000))), NUMBER)[2]
    assert not watch(np.concatenate((before, rng.normal(0.05, 1.0, 20_000))), NUMBER)[2]


def test_a_category_that_takes_over_is_found() -> None:
    rng = np.random.default_rng(4)
    names = np.array([3.0, 7.0, 1e9, -2.0])
    before = rng.choice(names, 40_000, p=[0.5, 0.3, 0.15, 0.05])
    after = rng.choice(names, 4_000, p=[0.2, 0.6, 0.15, 0.05])
    assert not watch(before, CATEGORY)[2]
    (finding,) = watch(np.concatenate((before, after)), CATEGORY)[2]
    assert finding.observed >= CATEGORY.psi


def test_a_daily_swing_is_learned_and_then_no_cause_for_alarm() -> None:
    rng = np.random.default_rng(5)
    day = np.arange(60_000) * STEP_SECONDS / DAY
    values = (rng.random(60_000) < 0.3 + 0.2 * np.sin(2 * np.pi * day)).astype(np.float64)
    bank, slot, findings = watch(values, Spec(season=True))
    assert not findings
    shift = bank._engines[0].columns.hour_shift[slot >> 1, :, 0]  # noqa: SLF001 - what was learned is not shown
    hours = (np.arange(24) + 0.5) / 24
    start = 1.7e9 / DAY % 1
    assert shift == pytest.approx(0.2 * np.sin(2 * np.pi * (hours - start)), abs=0.05)


def test_what_is_not_finite_is_refused_before_anything_is_taken() -> None:
    bank, slot, _ = watch(rate((1_000, 0.1)), Spec())
    before = bank.snapshot(slot)
    for bad in (np.nan, np.inf, -np.inf):
        for values, times in (([0.0, bad], [0.0, 1.0]), ([0.0, 1.0], [0.0, bad])):
            with pytest.raises(ValueError, match="finite"):
                bank.update(np.full(2, slot), np.array(values), np.array(times))
    with pytest.raises(ValueError, match="slot 4 is not in use"):
        bank.update(np.array([slot, 4]), np.zeros(2), np.zeros(2))
    assert bank.snapshot(slot) == before


def test_a_slot_that_was_dropped_is_forgotten() -> None:
    bank, slot, _ = watch(rate((5_000, 0.1)), Spec())
    bank.drop(slot)
    with pytest.raises(ValueError, match="not in use"):
        bank.update(np.array([slot]), np.zeros(1), np.zeros(1))
    again = bank.add(only_rise=True, spec=Spec())
    fresh = QuietBank()
    assert bank.snapshot(again) == fresh.snapshot(fresh.add(only_rise=True, spec=Spec()))


def test_more_series_than_there_was_room_for_keep_what_they_had() -> None:
    bank = QuietBank()
    values = rate((320, 0.5))
    slots = [bank.add(only_rise=True, spec=Spec()) for _ in range(3)]
    bank.update(np.repeat(slots, 320), np.tile(values, 3), np.tile(np.arange(320.0), 3))
    before = bank.snapshot(slots[1])
    for _ in range(100):
        bank.add(only_rise=True, spec=Spec())
    assert bank.snapshot(slots[1]) == before


@pytest.mark.parametrize(("spec", "most"), [(Spec(season=True), 4_096), (NUMBER, 12_288), (CATEGORY, 12_288)])
def test_a_series_is_small_at_every_age(spec: Spec, most: int) -> None:
    rng = np.random.default_rng(6)
    bank = QuietBank()
    slot = bank.add(only_rise=True, spec=spec)
    for start in range(0, 20_000, 500):
        times = 60.0 * np.arange(start, start + 500, dtype=np.float64)
        bank.update(np.full(500, slot), rng.integers(0, 2, 500).astype(np.float64), times)
        assert len(bank.snapshot(slot)) <= most


def test_a_damaged_or_foreign_snapshot_is_unreadable() -> None:
    bank, slot, _ = watch(rate((5_000, 0.1)), Spec())
    whole = bank.snapshot(slot)
    assert QuietBank().restore(whole, only_rise=True) == 0
    damaged = [whole[:size] for size in range(0, len(whole), 97)] + [whole + b"\0", b"", bytes(400)]
    for place in range(0, len(whole), 61):
        flipped = bytearray(whole)
        flipped[place] ^= 0x10
        damaged.append(bytes(flipped))
    for snapshot in damaged:
        with pytest.raises(UnreadableRowError):
            QuietBank().restore(snapshot, only_rise=True)
    with pytest.raises(UnreadableRowError, match="only_rise"):
        QuietBank().restore(whole, only_rise=False)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="false_alarms is 0"):
        QuietBank(false_alarms=0.0)


def test_a_models_budget_is_shared_out_in_full_and_never_twice() -> None:
    accounts = budget.Accounts()
    for pool, members in (
        (Pool.PERFORMANCE, 1),
        (Pool.SEGMENT, 4),
        (Pool.DRIFT, 5),
        (Pool.QUALITY, 3),
        (Pool.OUTPUT, 1),
    ):
        for _ in range(members):
            accounts.enter("m", pool)
    accounts.enter("other", Pool.DRIFT)
    shares = {pool: accounts.share("m", pool) for pool in Pool}
    assert shares[Pool.PERFORMANCE] == pytest.approx(0.3)
    total = shares[Pool.PERFORMANCE] + 4 * shares[Pool.SEGMENT] + 5 * shares[Pool.DRIFT]
    assert total + 3 * shares[Pool.QUALITY] + shares[Pool.OUTPUT] == pytest.approx(0.95)
    for _ in range(4):
        accounts.leave("m", Pool.SEGMENT)
    assert accounts.share("m", Pool.PERFORMANCE) == pytest.approx(0.6)
    assert accounts.share("other", Pool.DRIFT) == pytest.approx(0.15)


def test_traffic_is_what_it_was_lately() -> None:
    columns = Columns(layout(width=1, kept=scan.KEPT, cells=False), 1)
    columns.clear(0)
    columns.share[0] = 0.6
    at, now = np.array([0]), 1.7e9
    for gap in (3_200.0, 320.0):
        for _ in range(int(200 * DAY / gap)):
            lately = budget.traffic(columns, at, np.array([[now]]), np.array([[now + gap]]))
            lately.keep(columns, at, np.array([0]))
            now += gap
        monthly = 30 * DAY * 32 / gap
        assert budget.allowed(columns, at, lately, 0.3)[0, 0] == pytest.approx(0.18 / monthly, rel=0.05)


def test_numbers_fall_between_deciles_and_rare_cells_are_pooled() -> None:
    assert bins.of_numbers(np.arange(512.0)).cells == 10
    mostly_zero = np.concatenate((np.zeros(300), np.arange(1.0, 213.0)))
    cells = bins.of_numbers(mostly_zero)
    counted = np.bincount((mostly_zero[:, None] >= cells.edges).sum(1), minlength=cells.cells)
    assert counted.min() >= 0.05 * 512
    named = bins.of_categories(np.repeat([1.0, 2.0, 3.0, 4.0], [300, 190, 12, 10]))
    assert (named.cells, named.other) == (3, 2)
    few = bins.of_categories(np.repeat([1.0, 2.0, 3.0], [300, 202, 10]))
    assert (few.cells, few.other) == (2, 1)


def test_tails_are_those_of_the_distributions() -> None:
    for t, df in ((2.0, 3.0), (4.3, 60.0), (6.0, 12.5)):
        grid = np.linspace(0.0, 1.0, 2_000_001)[1:]
        x = t / grid
        log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        density = np.exp(log - 0.5 * (df + 1) * np.log1p(x * x / df)) * t / grid**2
        assert student_tail(t, df) == pytest.approx(float(np.trapezoid(density, grid)), rel=1e-4)
    assert fisher_tail(5.0, 2.0, 30.0) == pytest.approx((30.0 / 40.0) ** 15, rel=1e-9)
    assert fisher_tail(3.0, 1.0, 40.0) == pytest.approx(2 * student_tail(math.sqrt(3.0), 40.0), rel=1e-9)
    assert fisher_tail(0.0, 3.0, 3.0) == 1.0


def test_the_skewness_of_a_chain_of_zeros_and_ones_is_what_is_taken_off() -> None:
    p, dependence, n = 0.2, 0.5, 20_000
    inflation = (1 + dependence) / (1 - dependence)
    transition = np.array(
        [
            [1 - p * (1 - dependence), p * (1 - dependence)],
            [(1 - p) * (1 - dependence), 1 - (1 - p) * (1 - dependence)],
        ]
    )

    def growth(s: float) -> float:
        """Give the cumulant generating function of a step of the chain, Perron's eigenvalue."""
        return math.log(max(np.linalg.eigvals(transition @ np.diag([1.0, math.exp(s)])).real))

    h = 0.02
    second = (growth(h) - 2 * growth(0.0) + growth(-h)) / h**2
    third = (growth(2 * h) - 2 * growth(h) + 2 * growth(-h) - growth(-2 * h)) / (2 * h**3)
    skewness = third / second**1.5 / math.sqrt(n)
    independent = (1 - 2 * p) / math.sqrt(p * (1 - p) * n / inflation)
    z = 4.0
    taken_off = z - rates.without_clumps(z, p + 0.01, p, n, inflation)
    assert taken_off == pytest.approx((skewness - independent) * (z * z - 1) / 6, rel=0.02)


def test_so_skewed_are_the_sums_of_an_autoregression_beyond_a_threshold() -> None:
    rng = np.random.default_rng(3)
    runs, n, p = 20_000, 512, 0.2
    now, sums = rng.standard_normal(runs), np.zeros(runs)
    for _ in range(n):
        now = 0.9 * now + math.sqrt(1 - 0.9**2) * rng.standard_normal(runs)
        sums += now > 0.8416
    inflation = float(sums.var()) / (n * p * (1 - p))
    skewness = float(((sums - sums.mean()) ** 3).mean() / sums.std() ** 3)
    independent = (1 - 2 * p) / math.sqrt(p * (1 - p) * n / inflation)
    z = 4.0
    taken_off = z - rates.without_clumps(z, p + 0.01, p, n, inflation)
    assert taken_off == pytest.approx((skewness - independent) * (z * z - 1) / 6, rel=0.25)


def test_dependent_readings_raise_the_noise_and_independent_ones_do_not() -> None:
    clumped = np.repeat(rate((10_000, 0.2)), 4)
    for values, wanted in ((rate((40_000, 0.2)), 1.0), (clumped, 4.0)):
        bank, _, _ = watch(values, Spec())
        found = bank._engines[0].columns.inflation[0, 1:6]  # noqa: SLF001 - the ladder itself
        assert found == pytest.approx(np.full(5, wanted), rel=0.25)


def ladder_of(bank: QuietBank) -> noise.Ladder:
    return noise.present(bank._engines[0].columns, 0)  # noqa: SLF001 - the ladder itself


def test_a_burst_that_healed_counts_at_its_own_scale() -> None:
    """Runs go on through an incident: one that is as long as it is counted, once the series is well again."""
    values = rate((40_000, 0.2), (600, 0.5), (30_000, 0.2))
    bank, slot, found = watch(values, Spec())
    assert len(found) == 1
    assert not bank.is_open(slot)
    ladder = ladder_of(bank)
    assert ladder.n[4] > 70_600 / 512 - 16
    assert ladder.inflation[5] > 1.0


def test_what_fills_up_a_stretch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A series in a bank with others, which have more blocks to take, ends as it does alone."""
    values = rate((40_000, 0.2), (3_000, 0.4), (7_000, 0.2))
    alone, slot, found = watch(values, Spec(season=True))
    monkeypatch.setattr(engine, "LONGEST", 7)
    bank = QuietBank()
    slots = np.array([bank.add(only_rise=True, spec=Spec(season=True, account=name)) for name in "ab"])
    both = np.concatenate((np.full(len(values), slots[0]), np.full(2 * len(values), slots[1])))
    late = 1.7e9 + STEP_SECONDS * np.arange(2 * len(values), dtype=np.float64)
    times = late[: len(values)]
    news = bank.update(both, np.tile(values, 3), np.concatenate((times, late)))
    assert [one.finding for one in news if one.slot == slots[0]] == found
    assert bank._engines[0].columns.rung_q[0] == pytest.approx(  # noqa: SLF001 - the ladder itself
        alone._engines[0].columns.rung_q[slot // 2],  # noqa: SLF001 - the ladder itself
        rel=0.0,
    )


def test_bursts_give_heavy_tails_and_independent_readings_none() -> None:
    rng = np.random.default_rng(9)
    level = np.repeat(np.where(rng.random(400) < 0.05, 0.6, 0.1), 100)
    bursty = (rng.random(len(level)) < level).astype(np.float64)
    calm, _, _ = watch(rate((40_000, 0.2)), Spec())
    wild, _, _ = watch(bursty, Spec())
    assert ladder_of(calm).tail_freedom(3) > 30.0
    assert ladder_of(wild).tail_freedom(3) < 10.0


def test_a_clock_is_read_in_utc() -> None:
    monday_one_o_clock = 1_767_574_800.0  # 2026-01-05T01:00:00Z
    clock = season.clock_of(np.ones((1, 32)), np.full((1, 32), monday_one_o_clock))
    dates = clock.during(np.array([0]), np.array([0]), 1)
    assert dates.weekday[0, 0] == 0
    assert [part.tolist() for part in dates.visits] == [[0], [0], [1], [32.0], [[32.0]]]
