"""Detect: every series has its detector, its clock and its row."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.alerts import Kind
from schemas.policy import Bounds, Detectors, Policy
from stream.core.detect import Banks, Watch
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Readings, SeriesKey, SeriesSpec, Tally
from tests.flow.timeline import Alarms

ERROR = SeriesSpec(key=SeriesKey("m", "1", "", "error"), kind=Kind.PERFORMANCE, only_rise=True)
SCORE = SeriesSpec(key=SeriesKey("m", "1", "", "score"), kind=Kind.DRIFT)
OTHER = SeriesSpec(key=SeriesKey("m", "2", "", "error"), kind=Kind.PERFORMANCE)


def a_watch() -> Watch:
    return Watch(Policy(), Banks(Alarms()))


def readings(*values: float, times: tuple[float, ...] | None = None) -> Readings:
    at = times or tuple(float(n) for n in range(len(values)))
    return Readings(values=np.array(values), times=np.array(at))


def test_what_was_read_is_given_with_what_was_found() -> None:
    [part] = a_watch().watch([(ERROR, readings(0.0, 1.0))], Tally())
    assert part.spec is ERROR
    assert [finding.index for finding in part.findings] == [1]


def test_the_clock_of_a_series_never_goes_back() -> None:
    watch = a_watch()
    [first] = watch.watch([(ERROR, readings(0.0, 0.0, 0.0, times=(5.0, 3.0, 7.0)))], Tally())
    [second] = watch.watch([(ERROR, readings(0.0, 0.0, times=(6.0, 8.0)))], Tally())
    assert first.readings.times.tolist() == [5.0, 5.0, 7.0]
    assert second.readings.times.tolist() == [7.0, 8.0]


def test_every_series_has_a_clock_of_its_own() -> None:
    watch = a_watch()
    watch.watch([(ERROR, readings(0.0, times=(9.0,)))], Tally())
    [part] = watch.watch([(SCORE, readings(0.0, times=(1.0,)))], Tally())
    assert part.readings.times.tolist() == [1.0]


def test_the_series_of_all_models_with_the_same_detectors_share_a_bank() -> None:
    alarms = Alarms()
    banks = Banks(alarms)
    for policy in (Policy(), Policy(bounds=Bounds(versions=3)), Policy(detectors=Detectors(warm_up=50))):
        Watch(policy, banks).watch([(ERROR, readings(0.0)), (SCORE, readings(0.0))], Tally())
    assert [len(bank.taken) for bank in alarms.banks] == [4, 2]


def test_columns_of_a_call_have_their_own_findings_by_their_own_places() -> None:
    columns = [(ERROR, readings(1.0, 0.0)), (SCORE, readings(0.0)), (OTHER, readings(0.0, 0.0, 1.0, 1.0))]
    parts = a_watch().watch(columns, Tally())
    assert [[finding.index for finding in part.findings] for part in parts] == [[0], [], [2, 3]]


def test_nothing_read_is_nothing_watched() -> None:
    assert a_watch().watch([], Tally()) == []


def test_values_and_findings_are_counted() -> None:
    tally = Tally()
    a_watch().watch([(ERROR, readings(0.0, 1.0, 1.0))], tally)
    assert tally.gauges["signal_value", ("m", "1", "error")] == pytest.approx(2 / 3)
    assert tally.counts["findings_total", ("m", "error", "alarm")] == 2


def test_only_series_that_changed_are_written_in_the_order_of_their_names() -> None:
    watch = a_watch()
    watch.watch([(spec, readings(0.0)) for spec in (SCORE, OTHER, ERROR)], Tally())
    assert list(watch.rows()) == [ERROR.key, SCORE.key, OTHER.key]
    watch.watch([(SCORE, readings(0.0))], Tally())
    assert list(watch.rows()) == [SCORE.key]
    assert watch.rows() == {}


def test_a_version_that_is_forgotten_is_neither_watched_nor_written() -> None:
    watch = a_watch()
    watch.watch([(spec, readings(0.0)) for spec in (SCORE, OTHER, ERROR)], Tally())
    assert watch.forget("1") == [ERROR.key, SCORE.key]
    assert list(watch.rows()) == [OTHER.key]


def test_a_restored_series_has_its_clock_and_its_detector() -> None:
    watch, restored = a_watch(), a_watch()
    watch.watch([(ERROR, readings(0.0, 0.0, times=(1.0, 9.0)))], Tally())
    restored.restore(ERROR.key, watch.rows()[ERROR.key])
    for one in (watch, restored):
        [part] = one.watch([(ERROR, readings(1.0, times=(2.0,)))], Tally())
        assert part.readings.times.tolist() == [9.0]
    assert restored.rows() == watch.rows()


@pytest.mark.parametrize("row", [b"", b"\xc1", b"\x93\xc3\xcb"])
def test_a_row_that_cannot_be_read_says_so(row: bytes) -> None:
    with pytest.raises(UnreadableRowError):
        a_watch().restore(ERROR.key, row)
