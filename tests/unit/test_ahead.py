"""A replay of a log in which an event is far ahead: those after it are not late for that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stream import replay as module
from stream.replay import Outputs, replay
from tests.flow.timeline import DAY, HOUR, Alarms, Happening, Log, Output, a_pipeline, at, label, prediction
from tests.flow.timeline import with_horizons as horizons

POLICY = horizons(lateness_seconds=2 * DAY)
Told = list[tuple[float, Happening]]


def steady(count: int, every: float = HOUR, start: float = 0.0, **fields: object) -> Told:
    return [
        (start + every * n, prediction(f"p{start}-{n}-{fields.get('model')}", **fields)) for n in range(count)
    ]


def rejected(folder: Path, told: Told, now: float | None = None) -> Counter[str]:
    """Replay a log; give how many messages were rejected for which reason."""
    log = Log()
    for time, happening in told:
        log.add(at(time), happening)
    file = folder / "log.jsonl"
    file.write_bytes(b"".join((record.value or b"") + b"\n" for record in log.records))
    totals = replay([str(file)], a_pipeline(POLICY, Alarms()), Outputs(), lambda _count: None, now)
    return totals.rejected


def far(days: float) -> tuple[float, Happening]:
    return days * DAY, prediction(f"ahead-{days}")


@pytest.mark.parametrize("size", [1, 3, 8_000])
def test_an_event_that_is_far_ahead_is_rejected_and_makes_no_other_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "BATCH_RECORDS", max(size, 3))
    told = [*steady(20), far(3_000), *steady(20, start=21 * HOUR)]
    assert rejected(tmp_path, told) == {"future": 1}


def test_several_that_are_ahead_are_rejected(tmp_path: Path) -> None:
    told = [*steady(5), far(10), far(500), far(20), *steady(20, start=6 * HOUR)]
    assert rejected(tmp_path, told) == {"future": 3}


def test_an_event_that_is_late_is_what_is_late(tmp_path: Path) -> None:
    told = [*steady(200), (0.0, prediction("late")), *steady(20, start=201 * HOUR)]
    assert rejected(tmp_path, told) == {"late": 1}


def test_a_log_that_makes_a_leap_is_taken(tmp_path: Path) -> None:
    assert rejected(tmp_path, [*steady(20), *steady(20, start=400 * DAY)]) == {}


def test_a_file_that_has_one_model_after_the_other_is_taken(tmp_path: Path) -> None:
    assert rejected(tmp_path, [*steady(100, every=DAY, model="a"), *steady(100, every=DAY, model="b")]) == {}


def test_labels_may_stand_behind_all_predictions(tmp_path: Path) -> None:
    asked = steady(100, every=DAY)
    labels = [(time, label(one["id"], 1)) for time, one in asked]
    assert rejected(tmp_path, [*asked, *labels]) == {}


def test_the_last_event_is_taken_for_what_it_says(tmp_path: Path) -> None:
    assert rejected(tmp_path, [*steady(20), far(3_000)]) == {}


def test_a_replay_with_a_clock_rejects_what_a_worker_rejects(tmp_path: Path) -> None:
    told = [*steady(20), far(30), far(3_000), *steady(20, start=21 * HOUR)]
    log, now, output = Log(), at(100 * DAY), Output()
    for time, happening in told:
        log.add(at(time), happening)
    output.take(a_pipeline(POLICY, Alarms()).step(log.records, now))
    wanted = Counter(str(one.reason) for one in output.rejected)
    assert wanted["future"] == 1
    assert rejected(tmp_path, told, now) == wanted
