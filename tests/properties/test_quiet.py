"""What quiet concludes does not depend on how the log is cut, on its neighbours, or on restarts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.core.nouns import Finding
from stream.detectors.quiet import Family, Pool, QuietBank, Spec

N = 24_000
SPECS = (
    (True, Spec(account="a", season=True)),
    (False, Spec(account="a", pool=Pool.DRIFT, family=Family.NUMBER)),
    (True, Spec(account="b", pool=Pool.QUALITY)),
    (False, Spec(account="b", pool=Pool.DRIFT, family=Family.CATEGORY, psi=0.05)),
    (True, Spec(account="b", family=Family.LOSS)),
    (True, Spec(account="c")),
    (False, Spec(account="c", pool=Pool.DRIFT, family=Family.NUMBER)),
)
"""Series of every family, of three models; those of the last one go from bad to worse."""


def _readings() -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(11)
    rate = np.where(np.arange(N) % 12_000 < 9_000, 0.1, 0.35)
    columns = [
        (rng.random(N) < rate) * 1.0,
        rng.normal(size=N) + (np.arange(N) > 15_000),
        (rng.random(N) < np.where(np.arange(N) > 18_000, 0.03, 0.001)) * 1.0,
        rng.integers(0, np.where(np.arange(N) > 14_000, 6, 4)) * 1.0,
        rng.beta(2, np.where(np.arange(N) > 20_000, 4, 8)),
        (rng.random(N) < np.select([np.arange(N) > 18_000, np.arange(N) > 13_000], [0.5, 0.2], 0.1)) * 1.0,
        rng.normal(size=N) + np.select([np.arange(N) > 20_000, np.arange(N) > 16_000], [2.5, 0.7], 0.0),
    ]
    times = 1.7e9 + 45.0 * np.arange(N) - rng.integers(0, 4_000, N)
    kinds = np.tile(np.arange(len(SPECS)), N)
    return kinds, np.stack(columns, 1).ravel(), np.repeat(times, len(SPECS))


KINDS, VALUES, TIMES = _readings()


def _new() -> tuple[QuietBank, NDArray[np.intp]]:
    bank = QuietBank(false_alarms=3.0)
    return bank, np.array([bank.add(only_rise=rise, spec=spec) for rise, spec in SPECS], np.intp)


def _run(cuts: list[int], *, restart: bool) -> tuple[list[tuple[int, int, Finding]], list[bytes]]:
    """Show all readings, cut at *cuts*; give what was found by kind and place, and the last snapshots."""
    bank, slots = _new()
    found: list[tuple[int, int, Finding]] = []
    bounds = sorted({0, *cuts, len(KINDS)})
    for start, end in pairwise(bounds):
        part = slice(start, end)
        for one in bank.update(slots[KINDS[part]], VALUES[part], TIMES[part]):
            kind = int(np.flatnonzero(slots == one.slot)[0])
            finding = one.finding
            found.append((kind, start + finding.index, _placed(finding)))
        if restart:
            kept = [bank.snapshot(int(slot)) for slot in slots]
            bank = QuietBank(false_alarms=3.0)
            order = np.random.default_rng(end).permutation(len(kept))
            slots = np.zeros(len(kept), np.intp)
            for kind in order.tolist():
                slots[kind] = bank.restore(kept[kind], only_rise=SPECS[kind][0])
    return found, [bank.snapshot(int(slot)) for slot in slots]


def _placed(finding: Finding) -> Finding:
    """Give *finding* without its place in the batch, which depends on the cut."""
    return Finding(
        index=0,
        detector=finding.detector,
        observed=finding.observed,
        expected=finding.expected,
        statistic=finding.statistic,
        threshold=finding.threshold,
        n=finding.n,
        window_start=finding.window_start,
        window_end=finding.window_end,
        is_worse=finding.is_worse,
    )


def test_every_series_of_these_tests_has_something_to_find() -> None:
    found, _ = _run([], restart=False)
    assert {kind for kind, _, _ in found} == set(range(len(SPECS)))
    assert {kind for kind, _, finding in found if finding.is_worse} >= {5, 6}


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, N * len(SPECS)), max_size=40), restart=st.booleans())
def test_cuts_and_restarts_are_invisible(cuts: list[int], *, restart: bool) -> None:
    found, snapshots = _run([], restart=False)
    assert _run(cuts, restart=restart) == (found, snapshots)


def test_small_batches_find_the_same() -> None:
    assert _run(list(range(0, N * len(SPECS), 333)), restart=False) == _run([], restart=False)


def test_runs_of_one_series_find_what_interleaved_readings_find() -> None:
    bank, slots = _new()
    order = np.argsort(KINDS, kind="stable")
    found = bank.update(slots[KINDS[order]], VALUES[order], TIMES[order])
    placed = sorted((int(order[one.finding.index]), one.slot) for one in found)
    other, slots = _new()
    there = other.update(slots[KINDS], VALUES, TIMES)
    assert placed == sorted((one.finding.index, one.slot) for one in there)
    assert [bank.snapshot(int(slot)) for slot in slots] == [other.snapshot(int(slot)) for slot in slots]
