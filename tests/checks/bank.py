"""What every bank promises of series that share it, as functions that take a maker of banks.

A new kind of bank gets these checks, and those of one series, for a line in the makers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding, Readings
from tests.checks.makers import RISE, RISE_AND_FALL, WARM_UP, Maker, OneSeries, normal, readings_of


def _neighbours(maker: Maker, seed: int) -> tuple[list[bool], list[Readings]]:
    """Give series of all lengths, some of which shift: whether only rises count, and the readings."""
    sizes = [0, 1, WARM_UP - 1, WARM_UP, WARM_UP + 40, 700, 900, 2_500]
    shifts = [3.0, -3.0, 3.0, 0.0, -2.0, 3.0, 4.0, 3.0]
    directions = [maker.only_rise if place % 3 else not maker.only_rise for place in range(len(sizes))]
    read = [
        readings_of(normal(seed + size, (size - size // 3, 0.0), (size // 3, shift)), start=float(size))
        for size, shift in zip(sizes, shifts, strict=True)
    ]
    return directions, read


def check_series_that_share_a_batch_do_not_show(maker: Maker) -> None:
    directions, read = _neighbours(maker, 10)
    alone = [replace(maker, only_rise=only_rise).make() for only_rise in directions]
    wanted = [one.update(readings) for one, readings in zip(alone, read, strict=True)]
    assert any(wanted)
    bank = maker.bank()
    slots = [bank.add(only_rise=only_rise) for only_rise in directions]
    rng = np.random.default_rng(11)
    series = rng.permutation(np.repeat(np.arange(len(read)), [len(readings) for readings in read]))
    found: list[list[Finding]] = [[] for _ in read]
    taken = np.zeros(len(read), dtype=np.intp)
    for start in range(0, len(series), 777):
        batch = series[start : start + 777]
        places = np.array([int((batch[:place] == one).sum()) for place, one in enumerate(batch.tolist())])
        values = [read[one].values[taken[one] + at] for one, at in zip(batch, places, strict=True)]
        times = [read[one].times[taken[one] + at] for one, at in zip(batch, places, strict=True)]
        for slot, finding in bank.update(np.array(slots)[batch], np.array(values), np.array(times)):
            assert isinstance(finding, Finding)
            one = slots.index(slot)
            own = int(taken[one] + places[finding.index])
            found[one].append(replace(finding, index=own))
        taken += np.bincount(batch, minlength=len(read))
    assert found == wanted
    assert [bank.snapshot(slot) for slot in slots] == [one.snapshot() for one in alone]


def check_findings_stand_in_the_order_of_the_readings(maker: Maker) -> None:
    bank = maker.bank()
    slots = np.array([bank.add(only_rise=maker.only_rise) for _ in range(3)])
    length = len(RISE_AND_FALL)
    values, times = np.repeat(RISE_AND_FALL.values, 3), np.repeat(RISE_AND_FALL.times, 3)
    found = bank.update(np.tile(slots, length), values, times)
    indices = [finding.index for _, finding in found]
    assert indices == sorted(indices)
    assert {slot for slot, _ in found} == set(slots.tolist())
    assert all(slot == slots[finding.index % 3] for slot, finding in found)


def check_a_slot_is_used_again_as_if_it_were_new(maker: Maker) -> None:
    bank = maker.bank()
    kept = bank.add(only_rise=maker.only_rise)
    wanted = maker.make().update(RISE_AND_FALL)
    used = set()
    for _ in range(3):
        for size in (5, WARM_UP + 900):
            slot = bank.add(only_rise=not maker.only_rise)
            OneSeries(bank, slot).update(readings_of(normal(12, (size, 3.0))))
            bank.drop(slot)
            used.add(slot)
        slot = bank.add(only_rise=maker.only_rise)
        assert OneSeries(bank, slot).update(RISE_AND_FALL) == wanted
        bank.drop(slot)
        used.add(slot)
    assert len(used) == 1
    assert kept not in used


def check_a_slot_that_was_dropped_takes_nothing(maker: Maker) -> None:
    bank = maker.bank()
    kept, gone = (bank.add(only_rise=maker.only_rise) for _ in range(2))
    bank.drop(gone)
    before = bank.snapshot(kept)
    for slot in (gone, -1, 10_000):
        with pytest.raises(IndexError, match="slot"):
            bank.update(np.array([kept, slot]), np.zeros(2), np.zeros(2))
        with pytest.raises(IndexError, match="slot"):
            bank.drop(slot)
    assert bank.snapshot(kept) == before


def check_a_series_is_restored_beside_others(maker: Maker) -> None:
    bank = maker.bank()
    others = [OneSeries(bank, bank.add(only_rise=maker.only_rise)) for _ in range(maker.many(40))]
    for one in others:
        one.update(readings_of(RISE))
    before = [one.snapshot() for one in others]
    steady = maker.make()
    steady.update(readings_of(RISE_AND_FALL.values[:1_400]))
    restored = OneSeries(bank, bank.restore(steady.snapshot(), only_rise=maker.only_rise))
    rest = readings_of(RISE_AND_FALL.values[1_400:])
    assert restored.update(rest) == steady.update(rest)
    assert [one.snapshot() for one in others] == before


def check_a_snapshot_that_is_refused_leaves_no_series_behind(maker: Maker) -> None:
    bank = maker.bank()
    snapshot = maker.make().snapshot()
    expected = bank.add(only_rise=maker.only_rise)
    bank.drop(expected)
    for damaged in (b"", snapshot[:-1], snapshot + b"\0"):
        with pytest.raises(UnreadableRowError):
            bank.restore(damaged, only_rise=maker.only_rise)
    assert bank.add(only_rise=maker.only_rise) == expected


CHECKS: Final[tuple[Callable[[Maker], None], ...]] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_")
)
