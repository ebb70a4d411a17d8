"""The measures say what they say on episodes made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stream.lab.measures import Timeline, agreement, missed_share, poisson_interval, quantiles


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390), (100, 81.36, 121.63)]
)
def test_the_poisson_interval_is_garwoods(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=0.01)


def test_a_change_that_is_missed_counts_as_the_patience() -> None:
    delays = [10, 20, None, 30, None]
    assert quantiles(delays, 100.0) == (30.0, 100.0)
    assert missed_share(delays) == 0.4


def test_an_alarm_while_one_lasts_is_no_new_episode() -> None:
    timeline = Timeline(1, 1)
    nothing, one, two = np.zeros((1, 1)), np.ones((1, 1)), np.full((1, 1), 2.0)
    timeline.take(nothing, nothing, nothing)
    timeline.take(two, one, nothing)
    timeline.take(one, one, one)
    timeline.take(nothing, nothing, one)
    assert (int(timeline.alarms[0, 0]), int(timeline.episodes[0, 0])) == (3, 1)
    assert timeline.share_open() == 0.5


def test_who_says_nothing_agrees_with_whoever_marked_nothing() -> None:
    agreed = agreement([], {"a": [], "b": []}, before=5, after=30)
    assert (agreed.precision, agreed.recall, agreed.f1) == (1.0, 1.0, 1.0)


def test_a_change_point_is_found_once_and_each_person_counts_alike() -> None:
    # Of 3 that were said (the begin, 98, 101) two are marks of somebody; a has 2 of 2, b has 1 of 3.
    agreed = agreement([98, 101], {"a": [100], "b": [300, 500]}, before=5, after=30)
    assert agreed.precision == pytest.approx(2 / 3)
    assert agreed.recall == pytest.approx((2 / 2 + 1 / 3) / 2)


def test_an_alarm_long_after_a_mark_has_not_found_it() -> None:
    late = agreement([131], {"a": [100]}, before=5, after=30)
    in_time = agreement([130], {"a": [100]}, before=5, after=30)
    assert late.recall < in_time.recall == 1.0
