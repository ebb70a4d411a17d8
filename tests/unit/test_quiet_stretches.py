"""What quiet leaves out of a stretch could not have mattered, and how readings stand in a batch does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream.detectors.quiet import Family, Pool, QuietBank, Spec, blocks, cells, rates, season, windows
from stream.detectors.quiet.records import DAY, Columns, layout
from stream.detectors.quiet.tails import fisher_tail, student_tail

HOUR = 3_600.0
SPECS = (
    Spec(account="m", season=True),
    Spec(account="m", family=Family.NUMBER, pool=Pool.DRIFT, season=True),
    Spec(account="m", pool=Pool.QUALITY),
)


def shown(*, mixed: bool, batch: int) -> list[bytes]:
    """Give the snapshots of some series after readings that stand *mixed*, or series after series."""
    rng = np.random.default_rng(3)
    n = 6_000
    table = np.stack((rng.random(n) < 0.2, rng.normal(size=n), rng.random(n) < 0.002)).astype(np.float64)
    bank = QuietBank()
    slots = np.array([bank.add(only_rise=not spec.has_cells, spec=spec) for spec in SPECS])
    for start in range(0, n, batch):
        part = table[:, start : start + batch]
        times = 1.7e9 + 60.0 * (start + np.arange(part.shape[1]))
        if mixed:
            given = np.tile(slots, len(times)), part.T.ravel(), np.repeat(times, len(slots))
        else:
            given = np.repeat(slots[::-1], len(times)), part[::-1].ravel(), np.tile(times, len(slots))
        bank.update(*given)
    return [bank.snapshot(int(slot)) for slot in slots]


def test_how_the_readings_of_several_series_are_mixed_makes_no_difference() -> None:
    assert shown(mixed=True, batch=1_000) == shown(mixed=False, batch=1_000) == shown(mixed=False, batch=77)


@pytest.mark.parametrize("slots", [[4, 4, 2, 2, 2, 7], [4, 2, 4, 7, 2, 2], [5], [3, 3, 1 << 20, 3]])
def test_runs_hold_the_readings_of_each_slot_in_the_order_in_which_they_came(slots: list[int]) -> None:
    given = np.array(slots)
    runs, order = blocks.grouped(given)
    at = np.arange(len(slots)) if order is None else order
    own = {
        slot: at[start : start + length].tolist()
        for slot, start, length in zip(runs.slots.tolist(), runs.starts, runs.lengths, strict=True)
    }
    assert own == {slot: np.flatnonzero(given == slot).tolist() for slot in sorted(set(slots))}
    assert list(own) == sorted(own)


def test_no_window_of_cells_that_is_left_out_reaches_a_level() -> None:
    for free, least in enumerate(cells._LEAST.tolist()):  # noqa: SLF001 - the bound itself
        for nu in np.linspace(1.0, max(free, 1), 9).tolist():
            for df in (10.0, 60.0, 1e6):
                assert free == 0 or fisher_tail(least, nu, nu * df) > rates.ALPHA_MAX


def test_no_rate_whose_normal_tail_is_too_large_alarms_by_students() -> None:
    for statistic in (0.5, 2.0, 4.0, 6.0):
        normal = 0.5 * math.erfc(statistic * math.sqrt(0.5))
        for df in (1.0, 2.9, 10.0, 200.0, 1e6):
            assert student_tail(statistic, df) > normal
            assert rates.fewer_looks(statistic, df) <= 2.0


def test_a_block_visits_every_hour_that_it_lies_in() -> None:
    times = DAY + HOUR * np.array([[1.5] * 32, [1.9] * 20 + [2.1] * 12, [2.5] * 32])
    values = np.arange(96.0).reshape(3, 32)
    visits = season.clock_of(values, times).during(np.array([1]), np.array([1]), 2).visits
    assert visits.block.tolist() == [0, 0, 1]
    assert visits.hour.tolist() == [1, 2, 2]
    assert visits.n.tolist() == [20.0, 12.0, 32.0]
    assert visits.total[:, 0].tolist() == [values[1, :20].sum(), values[1, 20:].sum(), values[2].sum()]


def test_a_day_is_counted_once_however_often_time_goes_back_to_it() -> None:
    columns = Columns(layout(width=1, kept=8, cells=False), 1)
    columns.clear(0)
    columns.seasonal[0] = 1
    place, days = np.array([0]), np.array([3, 4, 3, 4, 6, 5])
    times = np.repeat(DAY * days[:, None] + HOUR, 32, 1)
    dates = season.clock_of(np.ones((6, 32)), times).during(place, np.array([5]), 6)
    seen = season.take_out(columns, place, np.full((1, 6, 1), 32.0), dates)
    season.keep(columns, place, seen, np.array([4]))
    assert (columns.hour_visits[0, 1], columns.hour_day[0, 1], columns.hour_n[0, 1]) == (3, 6, 160.0)
    assert columns.weekday_visits[0].sum() == 3
    season.keep(columns, place, seen, np.array([1]))
    assert (columns.hour_visits[0, 1], columns.hour_n[0, 1]) == (3, 224.0)


def test_amounts_are_added_one_after_the_other() -> None:
    amounts = np.array([1e16, 1.0, 1.0, -1e16])
    added = windows.add(np.zeros((1, 2)), np.array([1, 1, 1, 1]), amounts)
    assert added.tolist() == [[0.0, 0.0]]
