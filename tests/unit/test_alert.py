"""Which findings become alerts, and what identifies them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.alerts import AlertReason, Kind
from stream.core.alert import decide
from stream.core.identity import digest, fingerprint
from stream.core.nouns import Finding, SeriesKey, SeriesSpec, Suppressed, utc


@pytest.mark.parametrize(
    ("last_alert", "reason"),
    [
        (None, AlertReason.FIRST),
        (1_000.0, Suppressed.UNCHANGED),
        (901.0, Suppressed.UNCHANGED),
        (900.0, AlertReason.REPEAT_DUE),
        (0.0, AlertReason.REPEAT_DUE),
    ],
)
def test_a_finding_is_published_first_and_then_when_a_repeat_is_due(
    last_alert: float | None, reason: AlertReason | Suppressed
) -> None:
    assert decide(last_alert, at=1_000.0, repeat_seconds=100.0, escalates=False) is reason


def spec(**other: str) -> SeriesSpec:
    names = {"model": "m", "version": "1", "segment": "", "signal": "error", **other}
    return SeriesSpec(key=SeriesKey(**names), kind=Kind.PERFORMANCE)


def test_a_fingerprint_is_the_same_everywhere_and_always() -> None:
    assert fingerprint(spec()) == "b43ebac2379c5cfc"


@pytest.mark.parametrize("name", ["model", "version", "segment", "signal"])
def test_every_label_is_part_of_the_fingerprint(name: str) -> None:
    assert fingerprint(spec(**{name: "another"})) != fingerprint(spec())


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")


def test_a_finding_is_published_with_its_evidence() -> None:
    finding = Finding(
        index=3, detector="adwin", observed=2.0, expected=1.0, statistic=0.5, threshold=0.4, n=7,
        window_start=0.0, window_end=1.5,
    )  # fmt: skip
    evidence = finding.evidence()
    assert (evidence.observed, evidence.expected, evidence.statistic, evidence.threshold) == (
        2.0,
        1.0,
        0.5,
        0.4,
    )
    assert (evidence.n, evidence.detector) == (7, "adwin")
    assert evidence.window_start == datetime(1970, 1, 1, tzinfo=UTC)
    assert evidence.window_end == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_seconds_become_times_to_the_microsecond() -> None:
    assert utc(0.1 + 0.2).microsecond == 300_000
