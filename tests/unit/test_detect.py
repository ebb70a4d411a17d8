"""Detect: every series has its detector, its clock and its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.policy import Bounds, Detectors, Policy, Signals
from stream.core.columns import Batch
from stream.core.detect import Banks, Watch
from stream.core.errors import UnreadableRowError
from stream.core.forms import COLUMN, Forms
from stream.core.nouns import Finding, SeriesKey, Tally, Watched
from stream.core.observe import Observer
from stream.core.sheets import Block, Stands, sheet_of
from tests.flow.timeline import AlarmBank, Alarms

Series = tuple[str, str]
"""A series by its version and signal."""

ERROR, SCORE, OTHER = ("1", "error"), ("1", "score"), ("2", "error")
TIMES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=6)


@dataclass
class Watching:
    """A bank of alarms, and the versions of a model that are watched by it."""

    bank: AlarmBank = field(default_factory=AlarmBank)
    versions: dict[str, Observer] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.watch = Watch(self.bank)
        self.forms = Forms()

    def version(self, name: str) -> Observer:
        return self.versions.setdefault(name, Observer("m", name, Policy()))

    def read(
        self,
        readings: Mapping[Series, Sequence[float]],
        times: Mapping[Series, Sequence[float]] | None = None,
    ) -> dict[Series, Watched]:
        """Watch readings, a second apart where no *times* are given; give what has to be followed."""
        lanes = [self.version(version) for version, _ in readings]
        blocks, stands, lane = [], list[float](), list[int]()
        for number, (series, values) in enumerate(readings.items()):
            lanes[number].form(self.forms)
            places = np.arange(len(stands), len(stands) + len(values))
            stands += (times or {}).get(series) or [float(n) for n in range(len(values))]
            lane += [number] * len(values)
            blocks.append(Block([COLUMN[series[1]]], places, np.array(values)))
        where = Stands(np.array(lane), np.arange(len(lane)), np.array(stands))
        numbers = np.arange(len(stands))
        batch = Batch([], [], np.array(stands), numbers.astype(np.int8), numbers, numbers)
        watched = self.watch.watch(sheet_of(lanes, where, blocks), batch, self.tally)
        return {(part.spec.key.version, part.spec.key.signal): part for part in watched}

    def followed(
        self, readings: Mapping[Series, Sequence[float]], times: Mapping[Series, Sequence[float]]
    ) -> dict[Series, list[float]]:
        """Watch readings; give the times of those that are followed, which are those of their findings."""
        parts = self.read(readings, times)
        for part in parts.values():
            for finding in part.findings:
                assert isinstance(finding, Finding)
                assert finding.window_end == part.readings.times[finding.index]
        return {series: part.readings.times.tolist() for series, part in parts.items()}

    def rows(self) -> dict[SeriesKey, bytes]:
        """Give the rows that changed, version by version."""
        rows: dict[SeriesKey, bytes] = {}
        for name in sorted(self.versions):
            rows |= self.watch.rows(self.versions[name])
        return rows


def key(series: Series) -> SeriesKey:
    return SeriesKey("m", series[0], "", series[1])


def test_a_series_in_which_something_was_found_is_given_with_it() -> None:
    parts = Watching().read({ERROR: [0.0, 1.0], SCORE: [0.0, 0.0]})
    assert list(parts) == [ERROR]
    assert parts[ERROR].spec.only_rise
    assert parts[ERROR].readings.values.tolist() == [0.0, 1.0]
    assert [finding.index for finding in parts[ERROR].findings] == [1]


def test_a_series_with_an_open_incident_is_given_without_a_finding_too() -> None:
    watching = Watching()
    watching.read({ERROR: [0.0], SCORE: [0.0]})
    watching.version("1").alarming.add("score")
    parts = watching.read({ERROR: [0.0], SCORE: [0.0, 0.5]})
    assert {series: len(part.readings) for series, part in parts.items()} == {SCORE: 2}


def test_the_clock_of_a_series_never_goes_back() -> None:
    watching = Watching()
    assert watching.followed({ERROR: [0.0, 0.0, 1.0]}, {ERROR: [5.0, 3.0, 7.0]}) == {ERROR: [5.0, 5.0, 7.0]}
    assert watching.followed({ERROR: [0.0, 1.0]}, {ERROR: [6.0, 8.0]}) == {ERROR: [7.0, 8.0]}


def test_every_series_has_a_clock_of_its_own() -> None:
    watching = Watching()
    watching.read({ERROR: [0.0]}, {ERROR: [9.0]})
    assert watching.followed({SCORE: [1.0]}, {SCORE: [1.0]}) == {SCORE: [1.0]}


@given(batches=st.lists(st.dictionaries(st.sampled_from((ERROR, SCORE, OTHER)), TIMES, min_size=1)))
def test_a_reading_has_the_newest_time_of_its_series(batches: list[dict[Series, list[float]]]) -> None:
    watching, newest = Watching(), dict[Series, float]()
    for times in batches:
        wanted: dict[Series, list[float]] = {}
        for series, own in times.items():
            for time in own:
                newest[series] = max(newest.get(series, 0.0), time)
                wanted.setdefault(series, []).append(newest[series])
        assert watching.followed({series: [1.0] * len(own) for series, own in times.items()}, times) == wanted


def test_the_series_of_all_models_with_the_same_detectors_share_a_bank() -> None:
    alarms = Alarms()
    banks = Banks(alarms)
    policies = (Policy(), Policy(bounds=Bounds(versions=3)), Policy(signals=Signals(error=False)))
    first, second, third = map(banks.of, policies)
    assert first is second
    assert first is not third
    assert first.watch is third.watch
    assert banks.of(Policy(detectors=Detectors(warm_up=50))).watch is not first.watch
    assert len(alarms.banks) == 2


def test_series_of_a_call_have_their_own_findings_by_their_own_places() -> None:
    parts = Watching().read({ERROR: [1.0, 0.0], SCORE: [0.0], OTHER: [0.0, 0.0, 1.0, 1.0]})
    found = {series: [finding.index for finding in part.findings] for series, part in parts.items()}
    assert found == {ERROR: [0], OTHER: [2, 3]}


def test_the_mean_of_the_latest_readings_is_kept_and_findings_are_counted() -> None:
    watching = Watching()
    watching.read({ERROR: [0.0, 1.0, 1.0], SCORE: [5.0]})
    watching.read({SCORE: [0.25, 0.75]})
    assert watching.watch.means(watching.version("1")) == pytest.approx({"error": 2 / 3, "score": 0.5})
    assert watching.tally.counts["findings_total", ("m", "error", "alarm")] == 2


def test_only_series_that_changed_are_written_in_the_order_of_their_names() -> None:
    watching = Watching()
    watching.read({SCORE: [0.0], OTHER: [0.0], ERROR: [0.0]})
    assert list(watching.rows()) == [key(ERROR), key(SCORE), key(OTHER)]
    watching.read({SCORE: [0.0]})
    assert list(watching.rows()) == [key(SCORE)]
    assert watching.rows() == {}


def test_the_series_of_a_version_that_is_forgotten_leave_the_bank() -> None:
    watching = Watching()
    watching.read({SCORE: [0.0], OTHER: [0.0], ERROR: [0.0]})
    assert watching.watch.forget(watching.versions.pop("1")) == [key(ERROR), key(SCORE)]
    assert len(watching.bank.taken) == 1
    assert list(watching.rows()) == [key(OTHER)]


def test_a_restored_series_has_its_clock_and_its_detector_but_no_mean() -> None:
    watching, restored = Watching(), Watching()
    watching.read({ERROR: [0.0, 0.0]}, {ERROR: [1.0, 9.0]})
    restored.version("1").give("error", restored.watch.restore(watching.rows()[key(ERROR)]))
    assert restored.watch.means(restored.version("1")) == {}
    for one in (watching, restored):
        assert one.followed({ERROR: [1.0]}, {ERROR: [2.0]}) == {ERROR: [9.0]}
    assert restored.rows() == watching.rows()


@pytest.mark.parametrize("row", [b"", b"\xc1", b"\x93\xc3\xcb"])
def test_a_row_that_cannot_be_read_says_so(row: bytes) -> None:
    with pytest.raises(UnreadableRowError):
        Watching().watch.restore(row)
