"""What a series was like lately: where its change lies, from what to what, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.detectors.cut import BLOCK, History
from stream.detectors.recent import LEVELS, PER_LEVEL, Recent, Scale
from stream.detectors.runs import runs_of


class One:
    """The history of one series, kept in slot 2 of three, whose readings have a mean of 0."""

    def __init__(self, sd: float = 1.0) -> None:
        self._sd = sd
        self.kept = Recent()
        self.kept.grow(3)

    def add(self, values: NDArray[np.float64], start: float = 0.0) -> None:
        """Take one reading a second."""
        times = start + np.arange(len(values), dtype=np.float64)
        self.kept.add(runs_of(np.array([2]), np.array([len(values)])), values, times, self._scale())

    def history(self) -> History:
        return self.kept.history(2, 0.0, self._sd)

    def _scale(self) -> Scale:
        return Scale(np.zeros(1), np.array([self._sd]))


def recent(*parts: tuple[int, float], scale: float = 1.0, seed: int = 1) -> History:
    """Give parts of so many readings around a mean, one a second."""
    rng = np.random.default_rng(seed)
    one = One(scale)
    one.add(np.concatenate([rng.normal(mean, 0.5, size) for size, mean in parts]) * scale)
    return one.history()


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
    one = One()
    one.add(np.array([1e100, *[5.0] * 31, *[7.0] * 32]))
    cut = one.history()._cut(0, 2, [BLOCK] * 4, [0.0] * 4, 1.0)  # noqa: SLF001 - the outlier hides every other cut
    assert cut.observed == 7.0


def test_too_few_readings_for_two_buckets_are_not_cut() -> None:
    assert One().history().best_cut(10) is None
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


@pytest.mark.parametrize("cut", [1, 5, BLOCK, 100, 900])
def test_what_is_kept_does_not_depend_on_how_readings_came(cut: int) -> None:
    values = np.random.default_rng(2).normal(size=5_000)
    whole, pieces = One(), One()
    whole.add(values)
    for start in range(0, len(values), cut):
        pieces.add(values[start : start + cut], start)
    assert pieces.history() == whole.history()


def test_buckets_are_merged_as_reading_by_reading() -> None:
    """A level that has one bucket too many makes its two oldest one of the next level."""
    values = np.random.default_rng(3).normal(size=3_333)
    one = One()
    one.add(values)
    buckets: list[tuple[int, float, float]] = []
    for start in range(0, len(values) - BLOCK + 1, BLOCK):
        total = 0.0
        for value in values[start : start + BLOCK].tolist():
            total += value
        buckets.append((0, total, float(start)))
        for level in range(LEVELS):
            own = [place for place, bucket in enumerate(buckets) if bucket[0] == level]
            if len(own) <= PER_LEVEL:
                break
            (_, older, since), (_, younger, _) = buckets[own[0] : own[0] + 2]
            buckets[own[0] : own[0] + 2] = [(level + 1, older + younger, since)]
    kept = one.history()
    assert list(zip(kept.levels, kept.totals, kept.starts, strict=True)) == buckets
    assert kept.open_values == values[-(len(values) % BLOCK) :].tolist()


def test_memory_grows_with_the_logarithm_and_then_no_more() -> None:
    one = One()
    for _ in range(60):
        one.add(np.zeros(BLOCK * 10_000))
    assert len(one.history().levels) <= PER_LEVEL * LEVELS


def test_at_the_bound_the_oldest_bucket_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.detectors.recent.LEVELS", 3)
    whole, pieces = One(), One()
    whole.add(np.arange(50_000.0))
    for start in range(0, 50_000, 1_000):
        pieces.add(np.arange(start, start + 1_000.0), start)
        assert pieces.history().levels.count(2) == PER_LEVEL, "one too many drops no more than one"
    kept = whole.history()
    assert len(kept.levels) <= PER_LEVEL * 3
    assert kept.starts[0] > 49_000
    assert pieces.history() == kept
    for start in range(50_000, 51_000, 8):
        pieces.add(np.arange(start, start + 8.0), start)
        assert pieces.history().levels.count(2) == PER_LEVEL
    whole.add(np.arange(50_000.0, 51_000.0), 50_000.0)
    assert pieces.history() == whole.history()


def test_a_restored_one_goes_on_alike() -> None:
    one, restored = One(), One()
    one.add(np.random.default_rng(4).normal(size=7_777))
    restored.kept.restore(2, one.history())
    for each in (one, restored):
        each.add(np.ones(100), 9_000.0)
    assert restored.history() == one.history()


@pytest.mark.parametrize(
    "levels",
    [[0, 1], [0] * (PER_LEVEL + 1), [LEVELS], [-1]],
    ids=["wrong order", "too many", "too high", "too low"],
)
def test_a_history_that_cannot_be_is_refused(levels: list[int]) -> None:
    zeros = [0.0] * len(levels)
    with pytest.raises(ValueError, match="buckets of levels"):
        One().kept.restore(2, History(levels, zeros, zeros, zeros, zeros, [], [], 0.0))


def test_a_history_that_lacks_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        One().kept.restore(2, History([0], [], [], [], [], [], [], 0.0))
    with pytest.raises(ValueError, match="16 readings in an open block"):
        One().kept.restore(2, History([], [], [], [], [], [], [0.0] * BLOCK, 0.0))


def test_a_slot_that_is_cleared_gives_its_pages_to_others() -> None:
    one = One()
    one.add(np.zeros(100_000))
    size = len(one.kept._pages)  # noqa: SLF001 - memory shows nowhere else
    for _ in range(50):
        one.kept.clear(2)
        one.add(np.zeros(100_000))
    assert len(one.kept._pages) == size  # noqa: SLF001 - as above
