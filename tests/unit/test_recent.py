"""What a series was like lately: where its change lies, from what to what, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from stream.detectors.recent import BLOCK, LEVELS, PER_LEVEL, Recent


def recent(*parts: tuple[int, float], scale: float = 1.0, seed: int = 1) -> Recent:
    """Give parts of so many readings around a mean, one a second."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(mean, 0.5, size) for size, mean in parts])
    those = Recent()
    those.add(values.tolist(), (values * scale).tolist(), [float(n) for n in range(len(values))])
    return those


def test_the_best_cut_lies_where_the_mean_changed() -> None:
    cut = recent((500, 0.0), (100, 3.0)).best_cut(600)
    assert cut is not None
    assert cut.since == pytest.approx(500, abs=BLOCK)
    assert cut.mean_before == pytest.approx(0.0, abs=0.2)
    assert cut.mean_after == pytest.approx(3.0, abs=0.3)
    assert cut.before + cut.after == 600


def test_a_change_long_ago_is_found_less_finely() -> None:
    cut = recent((5_000, 0.0), (5_000, 3.0)).best_cut(10_000)
    assert cut is not None
    assert cut.since == pytest.approx(5_000, rel=0.25)


def test_only_the_latest_readings_are_cut() -> None:
    cut = recent((500, 9.0), (300, 0.0), (60, 3.0)).best_cut(200)
    assert cut is not None
    assert cut.since == pytest.approx(800, abs=BLOCK)
    assert cut.before + cut.after < 400


def test_the_means_are_given_in_the_units_of_the_series_too() -> None:
    cut = recent((500, 1.0), (100, 3.0), scale=1_000.0).best_cut(600)
    assert cut is not None
    assert cut.observed == pytest.approx(cut.mean_after * 1_000.0)
    assert cut.expected == pytest.approx(cut.mean_before * 1_000.0)


def test_an_outlier_in_one_part_leaves_the_mean_of_the_other_as_it_is() -> None:
    those = Recent()
    values = [1e100, *[5.0] * 31, *[7.0] * 32]
    those.add([0.0] * 32 + [9.0] * 32, values, [0.0] * 64)
    cut = those.best_cut(64)
    assert cut is not None
    assert cut.observed == 7.0


def test_too_few_readings_for_two_buckets_are_not_cut() -> None:
    assert Recent().best_cut(10) is None
    assert recent((BLOCK - 1, 0.0)).best_cut(5) is None
    assert recent((BLOCK, 0.0)).best_cut(5) is None


def test_readings_that_lie_in_one_bucket_are_cut_from_the_bucket_before() -> None:
    cut = recent((10 * BLOCK, 0.0), (5, 9.0)).best_cut(3)
    assert cut is not None
    assert (cut.before, cut.after) == (BLOCK, 5)


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK])
def test_the_first_readings_are_cut_from_the_warm_up(size: int) -> None:
    cut = recent((size, 4.0), scale=10.0).against_warm_up(200, mean=7.0)
    assert (cut.before, cut.after, cut.expected, cut.since) == (200, size, 7.0, 0.0)
    assert cut.mean_after == pytest.approx(4.0, abs=1.5)
    assert cut.observed == pytest.approx(cut.mean_after * 10.0)


@pytest.mark.parametrize("cut", [1, 5, BLOCK, 100])
def test_what_is_kept_does_not_depend_on_how_readings_came(cut: int) -> None:
    values = np.random.default_rng(2).normal(size=1_000).tolist()
    times = [float(n) for n in range(1_000)]
    whole, pieces = Recent(), Recent()
    whole.add(values, values, times)
    for start in range(0, 1_000, cut):
        part = slice(start, start + cut)
        pieces.add(values[part], values[part], times[part])
    assert pieces.state() == whole.state()


def test_memory_grows_with_the_logarithm_and_then_no_more() -> None:
    those = Recent()
    block = [0.0] * (BLOCK * 1_000)
    for _ in range(60):
        those.add(block, block, block)
    assert len(those.state().levels) <= PER_LEVEL * LEVELS


def test_at_the_bound_the_oldest_bucket_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.detectors.recent.LEVELS", 3)
    those = recent((50_000, 0.0))
    assert len(those.state().levels) <= PER_LEVEL * 3
    assert those.state().starts[0] > 49_000


def test_a_restored_one_goes_on_alike() -> None:
    those = recent((777, 0.0))
    restored = Recent(those.state())
    for one in (those, restored):
        one.add([1.0] * 100, [2.0] * 100, [900.0] * 100)
    assert restored.state() == those.state()
