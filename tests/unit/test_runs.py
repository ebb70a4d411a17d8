"""Runs: readings of many slots are grouped, and each slot's stay in their order."""

from __future__ import annotations

import numpy as np
import pytest

from stream.detectors.runs import group, ranges, runs_of


def test_what_stands_in_runs_is_left_as_it_is() -> None:
    runs, order = group(np.array([5, 5, 2, 9, 9, 9]))
    assert order is None
    assert (runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist()) == (
        [5, 2, 9],
        [0, 2, 3],
        [2, 1, 3],
    )


@pytest.mark.parametrize("size", [2, 63, 64, 65, 1_000])
def test_what_is_mixed_is_sorted_by_slot_and_then_by_place(size: int) -> None:
    slots = np.random.default_rng(size).integers(0, 7, size)
    slots[-1] = slots[0]
    runs, order = group(np.append(slots, (8, slots[0])))
    assert order is not None
    wanted = sorted(range(size + 2), key=lambda place: ([*slots.tolist(), 8, slots[0]][place], place))
    assert order.tolist() == wanted
    assert runs.lengths.sum() == size + 2
    assert len(set(runs.slots.tolist())) == len(runs)


def test_no_readings_make_no_runs() -> None:
    runs, order = group(np.empty(0, dtype=np.intp))
    assert len(runs) == 0
    assert order is None


def test_the_first_of_each_run_are_left_out_and_runs_that_end_there_with_them() -> None:
    runs, places = runs_of(np.array([4, 1, 3]), np.array([3, 2, 4])).without_first(np.array([1, 2, 0]))
    assert (runs.slots.tolist(), runs.starts.tolist(), runs.lengths.tolist()) == ([4, 3], [0, 2], [2, 4])
    assert places.tolist() == [1, 2, 5, 6, 7, 8]


def test_ranges_follow_each_other() -> None:
    assert ranges(np.array([7, 0, 3]), np.array([2, 0, 3])).tolist() == [7, 8, 3, 4, 5]
    assert ranges(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)).tolist() == []
