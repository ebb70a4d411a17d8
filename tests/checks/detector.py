"""What every detector promises of one series, as functions that take a maker of banks.

``check_*`` raise AssertionError where a promise is broken; :data:`CHECKS` names them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
import pytest

from schemas.policy import Detectors
from stream.core.errors import UnreadableRowError
from stream.core.nouns import Finding, Readings
from tests.checks.makers import FALL, RISE, RISE_AND_FALL, WARM_UP, Maker, OneSeries, normal, readings_of

DELAY_MAX: Final = 200
"""Readings within which a shift of three standard deviations has to be found."""

SNAPSHOT_MAX_BYTES: Final = 16_384
"""Largest snapshot of a detector, however many readings it has taken."""

BATCH: Final = 97


def found_in(
    detector: OneSeries,
    readings: Readings,
    batch: int,
    between: Callable[[OneSeries], OneSeries] = lambda d: d,
) -> list[Finding]:
    """Show *readings* in batches of *batch*; give the findings by their place among all of them."""
    findings: list[Finding] = []
    for start in range(0, len(readings), batch):
        part = slice(start, start + batch)
        detector = between(detector)
        found = detector.update(Readings(values=readings.values[part], times=readings.times[part]))
        findings += [replace(finding, index=start + finding.index) for finding in found]
    return findings


def check_refuses_what_is_not_finite(maker: Maker) -> None:
    detector = maker.make()
    detector.update(readings_of(normal(4, (WARM_UP + 50, 0.0))))
    before = detector.snapshot()
    for bad in (np.nan, np.inf, -np.inf):
        for values, times in (([1.0, bad], [0.0, 1.0]), ([1.0, 2.0], [0.0, bad])):
            with pytest.raises(ValueError, match="finite"):
                detector.update(Readings(values=np.array(values), times=np.array(times)))
    assert detector.snapshot() == before, "something was taken of a batch that was refused"


def check_is_deterministic(maker: Maker) -> None:
    first, second = maker.make(), maker.make()
    assert first.update(RISE_AND_FALL) == second.update(RISE_AND_FALL)
    assert first.snapshot() == second.snapshot()


def check_finds_something_in_the_data_of_these_checks(maker: Maker) -> None:
    assert len(maker.make().update(RISE_AND_FALL)) >= 2


def check_restore_is_invisible(maker: Maker) -> None:
    steady = found_in(maker.make(), RISE_AND_FALL, BATCH)
    restored = found_in(maker.make(), RISE_AND_FALL, BATCH, lambda d: maker.restore(d.snapshot()))
    assert steady == restored


def check_a_snapshot_of_what_was_restored_is_the_same(maker: Maker) -> None:
    for size in (0, 1, WARM_UP - 1, WARM_UP, WARM_UP + 1, 1_700):
        detector = maker.make()
        detector.update(readings_of(RISE_AND_FALL.values[:size]))
        snapshot = detector.snapshot()
        assert maker.restore(snapshot).snapshot() == snapshot


def check_the_cut_into_batches_is_invisible(maker: Maker) -> None:
    whole = maker.make().update(RISE_AND_FALL)
    for batch in (1, 7, BATCH, WARM_UP, 1_024):
        assert found_in(maker.make(), RISE_AND_FALL, batch) == whole


def check_an_empty_batch_changes_nothing(maker: Maker) -> None:
    detector = maker.make()
    for size in (0, WARM_UP + 50):
        detector.update(readings_of(normal(5, (size, 0.0))))
        before = detector.snapshot()
        assert not detector.update(readings_of(np.empty(0)))
        assert detector.snapshot() == before


def check_memory_is_bounded(maker: Maker) -> None:
    detector = maker.make()
    half = maker.many(5_000)
    for batch in range(20):
        detector.update(readings_of(normal(batch, (half, 0.0), (half, batch % 3)), start=batch * 10_000.0))
        assert len(detector.snapshot()) <= SNAPSHOT_MAX_BYTES


def check_is_silent_while_warming_up(maker: Maker) -> None:
    values = normal(6, (WARM_UP // 2, 0.0), (WARM_UP // 2, 50.0))
    assert not maker.make().update(readings_of(values))


def check_finds_a_large_rise_soon(maker: Maker) -> None:
    findings = maker.make().update(readings_of(RISE))
    assert findings
    assert 2_000 <= findings[0].index < 2_000 + DELAY_MAX


def check_a_fall_is_found_unless_only_a_rise_counts(maker: Maker) -> None:
    findings = maker.make().update(readings_of(FALL))
    if maker.only_rise:
        assert not findings
    else:
        assert findings
        assert 2_000 <= findings[0].index < 2_000 + DELAY_MAX


def check_a_rise_after_a_fall_is_found(maker: Maker) -> None:
    values = normal(7, (2_000, 0.0), (1_000, -3.0), (1_000, 0.0))
    findings = maker.make().update(readings_of(values))
    assert any(3_000 <= finding.index < 3_000 + DELAY_MAX for finding in findings)


def check_is_silent_on_a_constant(maker: Maker) -> None:
    for constant in (0.0, 1.0, -3.5, 1e-9, 1e9, 1e100, -1.7e308):
        assert not maker.make().update(readings_of(np.full(maker.many(20_000), constant))), constant


def check_takes_any_finite_number(maker: Maker) -> None:
    huge = np.finfo(np.float64).max
    detector = maker.make()
    detector.update(readings_of(np.tile([huge, -huge, 0.0, 5e-324], WARM_UP)))
    assert maker.restore(detector.snapshot()).snapshot() == detector.snapshot()


def check_evidence_is_in_the_units_of_the_series(maker: Maker) -> None:
    readings = readings_of(RISE, start=1_700_000_000.0)
    finding = maker.make().update(readings)[0]
    assert finding.expected == pytest.approx(100.0, abs=0.5)
    assert abs(finding.observed - 103.0) < abs(finding.observed - 100.0), "nearer to what it was"
    assert finding.statistic > finding.threshold > 0


def check_the_window_is_the_part_since_the_change(maker: Maker) -> None:
    readings = readings_of(RISE, start=1_700_000_000.0)
    finding = maker.make().update(readings)[0]
    assert finding.window_end == readings.times[finding.index]
    assert finding.window_start == pytest.approx(readings.times[2_000], abs=32.0)
    assert 1 <= finding.n <= finding.window_end - finding.window_start + 1


def check_every_finding_is_plausible(maker: Maker) -> None:
    low, high = RISE_AND_FALL.values.min(), RISE_AND_FALL.values.max()
    for finding in maker.make().update(RISE_AND_FALL):
        assert finding.window_start <= finding.window_end
        assert finding.n >= 1
        assert low <= finding.observed <= high
        assert low <= finding.expected <= high
        assert finding.detector in maker.chosen.use


def check_a_change_right_after_the_warm_up_is_measured_against_it(maker: Maker) -> None:
    adwin = msgspec.structs.replace(maker.chosen.adwin, delta=0.9)
    page_hinkley = msgspec.structs.replace(maker.chosen.page_hinkley, min_instances=1, threshold=5.0)
    chosen = msgspec.structs.replace(maker.chosen, adwin=adwin, page_hinkley=page_hinkley)
    if "page_hinkley" not in chosen.use:
        return  # ADWIN looks at its window every 32 readings only
    values = np.concatenate([normal(8, (WARM_UP + 2, 10.0)), normal(9, (12, 16.0))])
    findings = replace(maker, chosen=chosen).make().update(readings_of(values))
    assert findings
    assert findings[0].expected == pytest.approx(10.0, abs=0.5)


def check_a_damaged_snapshot_is_unreadable(maker: Maker) -> None:
    for size in (10, WARM_UP + 700):
        detector = maker.make()
        detector.update(readings_of(RISE_AND_FALL.values[:size]))
        snapshot = detector.snapshot()
        for damaged in (*_truncated(snapshot), *_flipped(snapshot), snapshot + b"\0"):
            with pytest.raises(UnreadableRowError):
                maker.restore(damaged)


def check_a_foreign_snapshot_is_unreadable(maker: Maker) -> None:
    for foreign in (b"", b"\x00", b"\x80\x04N.", b"{}", bytes(400), b"\xff" * 64):
        with pytest.raises(UnreadableRowError):
            maker.restore(foreign)


def check_a_snapshot_of_other_settings_is_unreadable(maker: Maker) -> None:
    snapshot = maker.make().snapshot()
    others: Sequence[Detectors] = (
        msgspec.structs.replace(maker.chosen, warm_up=WARM_UP + 1),
        msgspec.structs.replace(maker.chosen, adwin=msgspec.structs.replace(maker.chosen.adwin, delta=0.1)),
        msgspec.structs.replace(maker.chosen, use=tuple(reversed((*maker.chosen.use, "adwin")))),
    )
    for other in others:
        with pytest.raises(UnreadableRowError, match="made with"):
            replace(maker, chosen=other).restore(snapshot)


def _truncated(snapshot: bytes) -> Iterator[bytes]:
    for size in range(0, len(snapshot), max(1, len(snapshot) // 60)):
        yield snapshot[:size]


def _flipped(snapshot: bytes) -> Iterator[bytes]:
    for place in range(0, len(snapshot), max(1, len(snapshot) // 60)):
        damaged = bytearray(snapshot)
        damaged[place] ^= 0x10
        yield bytes(damaged)


CHECKS: Final[tuple[Callable[[Maker], None], ...]] = tuple(
    check for name, check in list(globals().items()) if name.startswith("check_")
)
