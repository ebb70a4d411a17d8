"""Every detector keeps every promise of the contract; ours detect what river's own detect."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Protocol

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from river import drift

from schemas.policy import Adwin as AdwinSettings
from schemas.policy import Detectors, Shown
from schemas.policy import Kswin as KswinSettings
from schemas.policy import PageHinkley as PageHinkleySettings
from stream.core.errors import UnreadableRowError
from stream.core.ports import Found
from stream.detectors import adwin, kswin, page_hinkley, rivers
from stream.detectors.contract import Shift, ShiftBank, restoring
from stream.detectors.one_each import OneEach
from stream.detectors.recent import CLIP
from stream.detectors.registry import DETECTORS, QUIET, Registry
from stream.detectors.runs import runs_of
from stream.detectors.standardised import State
from tests.checks import bank, detector
from tests.checks.makers import MAKERS, RISE_AND_FALL, WARM_UP, Maker, OneSeries, readings_of


class River(Protocol):
    """What river's detectors have in common."""

    @property
    def drift_detected(self) -> bool: ...

    def update(self, x: float) -> None: ...


class Alone:
    """A bank of shift detectors that has one series."""

    def __init__(self, bank: ShiftBank, *, only_rise: bool = False) -> None:
        self.bank = bank
        bank.grow(1)
        bank.begin(0, only_rise=only_rise)

    def update(self, values: NDArray[np.float64]) -> list[Shift]:
        return self.bank.update(runs_of(np.array([0]), np.array([len(values)])), values)

    def snapshot(self) -> bytes:
        return self.bank.snapshot(0)

    def restore(self, snapshot: bytes) -> None:
        self.bank.restore(0, snapshot)


def _name_of(value: Maker | Callable[[Maker], None]) -> str:
    return value.name if isinstance(value, Maker) else value.__name__


@pytest.mark.parametrize(
    ("maker", "check"), list(product(MAKERS, (*detector.CHECKS, *bank.CHECKS))), ids=_name_of
)
def test_bank(maker: Maker, check: Callable[[Maker], None]) -> None:
    check(maker)


def test_there_are_checks_for_every_detector_alone_and_for_all_together() -> None:
    used = {maker.chosen.use for maker in MAKERS if not maker.name.startswith("rivers_own")}
    assert used == {*((name,) for name in DETECTORS), ("adwin", "page_hinkley")}


@pytest.mark.parametrize("delta", [0.002, 0.2])
def test_adwin_finds_what_rivers_own_finds_reading_by_reading(delta: float) -> None:
    values = RISE_AND_FALL.values.tolist()
    ours = Alone(adwin.Adwin(AdwinSettings(delta=delta)))
    theirs = drift.ADWIN(delta=delta)
    wanted = [place for place, value in enumerate(values) if _detects(theirs, value)]
    assert wanted
    assert [shift.place for shift in ours.update(np.array(values))] == wanted


@pytest.mark.parametrize(("only_rise", "mode"), [(True, "up"), (False, "both")])
def test_page_hinkley_finds_what_rivers_own_finds_reading_by_reading(only_rise: bool, mode: str) -> None:  # noqa: FBT001 - pytest passes parameters by name
    values = RISE_AND_FALL.values.tolist()
    ours = Alone(page_hinkley.PageHinkley(PageHinkleySettings()), only_rise=only_rise)
    theirs = drift.PageHinkley(min_instances=30, delta=0.1, threshold=50.0, mode=mode)
    wanted = [place for place, value in enumerate(values) if _detects(theirs, value)]
    assert wanted
    assert [shift.place for shift in ours.update(np.array(values))] == wanted


def test_page_hinkley_says_that_a_fall_is_none() -> None:
    ours = Alone(page_hinkley.PageHinkley(PageHinkleySettings()))
    shifts = ours.update(np.repeat([0.0, -3.0], [200, 100]))
    assert [shift.rise for shift in shifts][:1] == [False]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("adwin", drift.ADWIN(delta=0.002)),
        ("page_hinkley", drift.PageHinkley(min_instances=30, delta=0.1, threshold=50.0)),
    ],
)
def test_what_is_found_is_what_river_finds_in_readings_measured_by_the_warm_up(
    name: str, theirs: River
) -> None:
    maker = next(maker for maker in MAKERS if maker.name == name)
    values = RISE_AND_FALL.values * 3.0 + 70.0
    warm_up = values[:WARM_UP]
    scaled = np.clip((values[WARM_UP:] - warm_up.mean()) / warm_up.std(), -CLIP, CLIP)
    wanted = [WARM_UP + place for place, z in enumerate(scaled.tolist()) if _detects(theirs, z)]
    assert wanted
    assert [found.index for found in maker.make().update(readings_of(values))] == wanted


def test_readings_in_other_units_are_found_at_the_same_places_with_evidence_in_those_units() -> None:
    maker = next(maker for maker in MAKERS if maker.name == "adwin+page_hinkley")
    plain = maker.make().update(RISE_AND_FALL)
    scaled = maker.make().update(readings_of(RISE_AND_FALL.values * 1024.0))
    assert [found.index for found in scaled] == [found.index for found in plain]
    assert [found.observed for found in scaled] == pytest.approx([f.observed * 1024.0 for f in plain])


def test_a_rate_that_was_zero_in_the_warm_up_can_still_rise() -> None:
    maker = next(maker for maker in MAKERS if maker.name == "adwin+page_hinkley")
    values = np.concatenate([np.zeros(WARM_UP + 300), np.ones(60)])
    first = maker.make().update(readings_of(values))[0]
    assert first.expected < 0.05
    assert first.observed == 1.0


def test_river_that_panics_on_a_snapshot_is_an_unreadable_row(capfd: pytest.CaptureFixture[str]) -> None:
    ours = Alone(adwin.Adwin(AdwinSettings()))
    ours.update(RISE_AND_FALL.values[:500])
    state = msgspec.msgpack.decode(ours.snapshot(), type=adwin.State)
    for size in range(0, len(state.window), 40):
        damaged = msgspec.msgpack.encode(msgspec.structs.replace(state, window=state.window[:size]))
        with pytest.raises(UnreadableRowError, match="adwin"):
            Alone(adwin.Adwin(AdwinSettings())).restore(damaged)
    capfd.readouterr()  # Rust writes its backtraces past Python


@pytest.mark.parametrize("damaged", [b"", b"\x91\x01", msgspec.msgpack.encode([1, "x", 0, 0, 0, 0, False])])
def test_a_damaged_page_hinkley_is_an_unreadable_row(damaged: bytes) -> None:
    with pytest.raises(UnreadableRowError, match="page_hinkley"):
        Alone(page_hinkley.PageHinkley(PageHinkleySettings())).restore(damaged)


@pytest.mark.parametrize("ours_to_stop", [KeyboardInterrupt, SystemExit])
def test_restoring_does_not_swallow_an_interrupt(ours_to_stop: type[BaseException]) -> None:
    with pytest.raises(ours_to_stop), restoring("adwin"):
        raise ours_to_stop


def test_a_snapshot_that_lacks_a_detector_is_an_unreadable_row() -> None:
    maker = next(maker for maker in MAKERS if maker.name == "adwin")
    snapshot = maker.make().snapshot()
    state = msgspec.msgpack.decode(snapshot[4:], type=State)
    state.detectors.clear()
    body = msgspec.msgpack.encode(state)
    with pytest.raises(UnreadableRowError, match="no state of adwin"):
        maker.restore(zlib.crc32(body).to_bytes(4) + body)


def test_a_snapshot_of_another_layout_is_an_unreadable_row() -> None:
    body = msgspec.msgpack.encode(["of an older version"])
    with pytest.raises(UnreadableRowError):
        MAKERS[0].restore(zlib.crc32(body).to_bytes(4) + body)


def _detects(detector: River, value: float) -> bool:
    detector.update(value)
    return bool(detector.drift_detected)


@pytest.mark.parametrize("only_rise", [True, False])
def test_page_hinkley_by_batch_and_reading_by_reading_agree_to_the_last_bit(only_rise: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    """Over many blocks, alarms and sizes of batches: the same state, the same shifts, and river's."""
    rng = np.random.default_rng(5)
    values = np.clip(rng.normal(size=9_000) + np.repeat(rng.normal(0, 0.6, 18), 500), -CLIP, CLIP)
    settings = PageHinkleySettings(threshold=15.0)
    mode = "up" if only_rise else "both"
    theirs = drift.PageHinkley(min_instances=30, delta=0.1, threshold=15.0, mode=mode)
    wanted = [place for place, value in enumerate(values.tolist()) if _detects(theirs, value)]
    assert len(wanted) > 5
    seen = []
    for size in (1, 7, 64, 500, 3_000, len(values)):
        ours = Alone(page_hinkley.PageHinkley(settings), only_rise=only_rise)
        found = []
        for start in range(0, len(values), size):
            shifts = ours.update(values[start : start + size])
            found += [(start + shift.place, shift.latest, shift.statistic) for shift in shifts]
        seen.append((found, ours.snapshot()))
    assert [place for place, _, _ in seen[0][0]] == wanted
    assert all(other == seen[0] for other in seen)


@pytest.mark.parametrize("use", [("adwin",), ("page_hinkley",), ("adwin", "page_hinkley")])
def test_many_series_side_by_side_have_the_findings_of_rivers_own(use: tuple[str, ...]) -> None:
    ours, theirs = (
        next(maker for maker in MAKERS if maker.chosen.use == use and maker.name.startswith(kind)).bank()
        for kind in ("", "rivers_own")
    )
    rng = np.random.default_rng(8)
    shifts = np.repeat(rng.normal(0.0, 1.5, (60, 12)), 80, axis=1)
    values = rng.normal(size=shifts.shape) + shifts
    found: list[list[Found]] = []
    for each in (ours, theirs):
        slots = np.array([each.add(only_rise=bool(number % 2)) for number in range(len(values))])
        found.append([])
        for start in range(0, values.shape[1], 4):
            part = values[:, start : start + 4]
            times = np.tile(np.arange(start, start + 4.0), len(values))
            found[-1] += each.update(slots.repeat(4), part.reshape(-1), times)
    assert len(found[0]) > 30
    for own, other in zip(*found, strict=True):
        assert own.finding.statistic == pytest.approx(other.finding.statistic, rel=1e-6)
        assert own.slot == other.slot
        assert replace(own.finding, statistic=0.0) == replace(other.finding, statistic=0.0)


@pytest.mark.parametrize(("n", "alpha"), [(10, 0.05), (30, 0.005), (30, 1e-7), (100, 1e-4)])
def test_the_distance_that_is_too_large_for_kswin_is_that_of_scipys_exact_test(n: int, alpha: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    critical = kswin.critical(n, alpha)
    for h, is_over in ((critical - 1, False), (critical, True)):
        one, other = np.arange(n, dtype=np.float64), np.arange(n) + h - 0.5
        level = stats.ks_2samp(one, other, method="exact").pvalue
        assert bool(level <= alpha) is is_over, (h, level)


def test_kswin_finds_what_rivers_own_finds_reading_by_reading() -> None:
    values = RISE_AND_FALL.values[1_000:2_600]
    ours = Alone(OneEach("kswin", lambda _only_rise: kswin.Kswin(KswinSettings(alpha=0.001))))
    theirs = drift.KSWIN(alpha=0.001, window_size=100, stat_size=30, seed=kswin.SEED)
    wanted = [place for place, value in enumerate(values.tolist()) if _detects(theirs, value)]
    assert len(wanted) >= 2
    assert [shift.place for shift in ours.update(values)] == wanted


@pytest.mark.parametrize(
    ("name", "theirs", "flipped"),
    [
        ("ddm", drift.binary.DDM(warm_start=200, drift_threshold=3.5), False),
        ("hddm", drift.binary.HDDMA(drift_confidence=1e-5), False),
        ("fhddm", drift.binary.FHDDM(sliding_window_size=100, confidence_level=1e-8), True),
    ],
)
def test_a_binary_detector_finds_what_rivers_own_finds_in_what_lies_high(
    name: str,
    theirs: River,
    flipped: bool,  # noqa: FBT001 - pytest passes parameters by name
) -> None:
    maker = next(maker for maker in MAKERS if maker.name == f"{name}:only_rise")
    values = RISE_AND_FALL.values
    warm_up = values[:WARM_UP]
    high = (values[WARM_UP:] - warm_up.mean()) / warm_up.std() > rivers.FAR
    wanted = [WARM_UP + place for place, far in enumerate(high) if _detects(theirs, float(far != flipped))]
    assert wanted
    assert [found.index for found in maker.make().update(readings_of(values))] == wanted


RAW = Detectors(use=("adwin", "page_hinkley"), shown=Shown.RAW, warm_up=30)


def test_raw_detectors_find_what_river_finds_in_single_events_as_they_come() -> None:
    values = 50.0 * RISE_AND_FALL.values + 7_000.0
    wanted = []
    for theirs in (drift.ADWIN(delta=0.002), drift.PageHinkley(min_instances=30, delta=0.1, threshold=50.0)):
        wanted += [30 + place for place, value in enumerate(values[30:].tolist()) if _detects(theirs, value)]
    bank = Registry().bank(RAW)
    ours = OneSeries(bank, bank.add(only_rise=False)).update(readings_of(values))
    assert len(wanted) > 10
    assert [found.index for found in ours] == sorted(wanted)
    assert all(values.min() <= found.observed <= values.max() for found in ours)


@pytest.mark.parametrize(
    "check",
    [
        detector.check_restore_is_invisible,
        detector.check_the_cut_into_batches_is_invisible,
        detector.check_every_finding_is_plausible,
        detector.check_evidence_is_in_the_units_of_the_series,
        bank.check_series_that_share_a_batch_do_not_show,
    ],
    ids=_name_of,
)
def test_raw_detectors_keep_the_promises(check: Callable[[Maker], None]) -> None:
    chosen = msgspec.structs.replace(RAW, warm_up=WARM_UP)
    check(Maker(name="raw", make_bank=Registry().bank, chosen=chosen, only_rise=False))


def test_a_snapshot_of_raw_readings_is_not_restored_for_standardised_ones() -> None:
    raw, other = Registry().bank(RAW), Registry().bank(Detectors(use=RAW.use, warm_up=30))
    snapshot = raw.snapshot(raw.add(only_rise=False))
    with pytest.raises(UnreadableRowError, match="made with"):
        other.restore(snapshot, only_rise=False)


@pytest.mark.parametrize(
    "check",
    [
        detector.check_is_deterministic,
        detector.check_a_snapshot_of_what_was_restored_is_the_same,
        detector.check_an_empty_batch_changes_nothing,
        detector.check_memory_is_bounded,
        detector.check_refuses_what_is_not_finite,
        detector.check_is_silent_while_warming_up,
        detector.check_is_silent_on_a_constant,
        detector.check_takes_any_finite_number,
        detector.check_a_damaged_snapshot_is_unreadable,
        detector.check_a_foreign_snapshot_is_unreadable,
        bank.check_a_slot_that_was_dropped_takes_nothing,
        bank.check_a_snapshot_that_is_refused_leaves_no_series_behind,
        bank.check_a_series_is_restored_beside_others,
    ],
    ids=_name_of,
)
@pytest.mark.parametrize("only_rise", [False, True])
def test_quiet_keeps_what_needs_no_finding(check: Callable[[Maker], None], only_rise: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    """What it finds takes longer logs: tests/unit/test_budgeted.py."""
    check(Maker(name=QUIET, make_bank=Registry().bank, chosen=Detectors(), only_rise=only_rise))
