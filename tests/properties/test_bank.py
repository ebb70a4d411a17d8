"""What a bank finds in a series depends on the series alone: not on its neighbours, not on the cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.policy import Adwin, Detectors, PageHinkley
from stream.core.nouns import Finding
from stream.core.ports import Bank
from stream.detectors.registry import Registry

EASILY = Detectors(
    use=("adwin", "page_hinkley"),
    warm_up=30,
    adwin=Adwin(delta=0.5),
    page_hinkley=PageHinkley(threshold=4.0, min_instances=2, delta=0.05),
)
"""Finds something every few dozen readings, so that what follows a finding is tried as well."""

Series = NDArray[np.float64]


def made(seed: int, lengths: list[int]) -> list[Series]:
    """Give series of *lengths* whose mean wanders."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=length) + np.repeat(rng.normal(0, 2.0, length // 40 + 1), 40)[:length]
        for length in lengths
    ]


def alone(one: Series, *, only_rise: bool) -> tuple[list[Finding], bytes]:
    """Show a series to a bank of its own, reading by reading."""
    bank = Registry().bank(EASILY)
    slot = bank.add(only_rise=only_rise)
    found: list[Finding] = []
    for place in range(len(one)):
        each = bank.update(np.array([slot]), one[place : place + 1], np.array([float(place)]))
        found += [replace(one, index=place) for _, one in each if isinstance(one, Finding)]
    return found, bank.snapshot(slot)


def together(
    bank: Bank, series: list[Series], order: NDArray[np.intp], sizes: list[int]
) -> tuple[list[list[Finding]], list[bytes]]:
    """Show all series to *bank*, mixed by *order*, in batches of *sizes*."""
    slots = np.array([bank.add(only_rise=bool(number % 2)) for number in range(len(series))], dtype=np.intp)
    place = np.empty(len(order), dtype=np.intp)
    for number in range(len(series)):
        place[order == number] = np.arange(len(series[number]))
    values = np.array([series[number][at] for number, at in zip(order, place, strict=True)])
    found: list[list[Finding]] = [[] for _ in series]
    start = turn = 0
    while start < len(order):
        part = slice(start, start + sizes[turn % len(sizes)])
        for slot, finding in bank.update(slots[order[part]], values[part], place[part].astype(np.float64)):
            number, at = order[start + finding.index], place[start + finding.index]
            assert slot == slots[number]
            found[number].append(replace(finding, index=int(at)))
        start, turn = part.stop, turn + 1
    return found, [bank.snapshot(slot) for slot in slots.tolist()]


@settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    seed=st.integers(0, 2**32),
    lengths=st.one_of(
        st.lists(st.sampled_from((0, 3, 29, 30, 31, 47, 150, 1_200)), min_size=1, max_size=8),
        st.lists(st.sampled_from((20, 33, 60, 110)), min_size=35, max_size=45),
    ),
    is_mixed=st.booleans(),
    sizes=st.lists(st.sampled_from((1, 5, 64, 400, 5_000)), min_size=1, max_size=4),
)
def test_series_that_share_a_bank_do_not_show(
    seed: int,
    lengths: list[int],
    is_mixed: bool,  # noqa: FBT001 - as Hypothesis draws it
    sizes: list[int],
) -> None:
    """Long runs, short runs and single readings take ways of their own: the same to the last bit."""
    series = made(seed, lengths)
    order = np.arange(len(series)).repeat(lengths)
    if is_mixed:
        order = np.random.default_rng(seed).permutation(order)
    found, snapshots = together(Registry().bank(EASILY), series, order, sizes)
    wanted = [alone(one, only_rise=bool(number % 2)) for number, one in enumerate(series)]
    event(f"findings: {min(sum(map(len, found)) // 10 * 10, 50)} or more")
    assert found == [findings for findings, _ in wanted]
    assert snapshots == [snapshot for _, snapshot in wanted]
