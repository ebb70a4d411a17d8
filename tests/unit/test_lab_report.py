"""The report says what was measured; a target that is missed is called missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream.cli import main
from stream.lab import charts, lateness, plan, report, sections, targets
from stream.lab.faults import STREAMS, TWENTY, TWIN
from stream.lab.job import Job, Result
from stream.lab.real import SHIFTS

DAY = "2013-07-01T00:00:00+00:00"
DECEMBER = "2013-12-09T00:00:00+00:00"


def false_alarms(stream: str, alarms: int) -> tuple[Job, Result]:
    job = Job(experiment="false alarms", detector=plan.DEFAULT, stream=stream, copies=50, days=30.0)
    return job, {
        "model_months": 50.0,
        "declared": 10.0,
        "alarms": alarms,
        "episodes": alarms,
        "copies": 50,
        "copies_that_alarm": alarms,
        "open_share": 0.01,
        "by_series": {"error": alarms},
    }


def delays(detector: str, late: list[int | None]) -> tuple[Job, Result]:
    job = Job(experiment="delays", detector=detector, stream="error .2 -> .3", copies=len(late))
    return job, {"delays": late, "early": 0, "months_before": 1.0}


def with_part(told: dict[str, Any], **changed: str | None) -> dict[str, Any]:
    """Give the incident with itself as its first part, and another, if it *changed* anything."""
    own = {name: told[name] for name in ("kind", "signal", "at", "until")}
    return told | {"parts": [own, own | changed] if changed else [own]}


def flights(shift: int, days: list[str], *, clocks: int = 0) -> tuple[Job, Result]:
    job = Job(experiment="flights through the pipeline", detector=plan.PIPELINE, stream="flights", seed=shift)
    told = {"signal": "error", "until": None, "detector": "quiet", "observed": 0.3, "expected": 0.2, "n": 64}
    told |= {"kind": "performance", "from": DAY, "late": 0.4, "cancelled": 0.1}
    incidents = [with_part(told | {"at": day, "until": day}) for day in days]
    clock = {"at": "2013-11-03T12:00:00+00:00", "kind": "drift", "signal": "feature:hour"}
    incidents += [with_part(told | clock)] * clocks
    return job, {"shift": shift, "incidents": incidents, "late_share": 0.2, "cancelled_share": 0.02}


def faults(stream: str, seed: int) -> tuple[Job, Result]:
    job = Job(experiment="faults", detector=plan.PIPELINE, stream=stream, seed=seed)
    if stream == TWENTY:
        return job, {"incidents": 1, "signals": 20, "before": 0}
    if stream == TWIN:
        return job, {"incidents": [], "days": 24}
    return job, {"hours": 3.0, "incidents": 1, "others": []}


def all_is_well() -> dict[Job, Result]:
    results = dict([false_alarms("error .2", 8), false_alarms("AR(1) .9", 11)])
    results |= dict([delays(lateness.ORACLE, [100, 200, 300]), delays(plan.DEFAULT, [110, 240, 300])])
    results |= dict(flights(shift, [DAY, DECEMBER]) for shift in SHIFTS)
    results |= dict(faults(stream, seed) for stream in STREAMS for seed in range(2))
    return results


def verdicts(results: dict[Job, Result], size: plan.Size = plan.FULL) -> list[bool | None]:
    return [one.holds for one in targets.judge(results, size)]


def test_targets_hold_where_all_is_well() -> None:
    held = verdicts(all_is_well())
    assert len(held) == 9
    assert all(held)


@pytest.mark.parametrize(
    ("worse", "line"),
    [
        (false_alarms("AR(1) .9", 12), "false alarms"),
        (false_alarms("error .2", 1), "independent"),
        (delays(plan.DEFAULT, [110, 260, 300]), "oracle"),
        (delays(plan.DEFAULT, [110, 240, None]), "oracle"),
        (flights(0, [DAY, *[DECEMBER] * 10]), "performance incidents"),
        (flights(15, [DAY]), "9 December"),
        (flights(30, [DAY, DECEMBER], clocks=11), "of features"),
        ((faults("abrupt score", 0)[0], {"hours": None, "incidents": 0, "others": []}), "injected"),
        ((faults(TWIN, 0)[0], {"incidents": [{"signal": "score"}] * 3, "days": 24}), "twins"),
        ((faults(TWENTY, 0)[0], {"incidents": 20, "signals": 20, "before": 0}), "20 series"),
    ],
)
def test_a_target_that_is_missed_is_called_missed(worse: tuple[Job, Result], line: str) -> None:
    judged = targets.judge(all_is_well() | {worse[0]: worse[1]}, plan.FULL)
    assert [one.verdict() for one in judged if line in one.what] == ["**missed**"]
    assert sum(one.holds is False for one in judged) == 1


@pytest.mark.parametrize(
    ("begun", "until", "verdict"),
    [
        ("2013-07-01T00:00:00+00:00", "2013-07-03T00:00:00+00:00", "holds"),
        ("2013-06-20T00:00:00+00:00", None, "holds"),
        ("2013-06-20T00:00:00+00:00", "2013-08-28T00:00:00+00:00", "holds"),
        ("2013-06-20T00:00:00+00:00", "2013-07-02T00:00:00+00:00", "**missed**"),
        ("2013-07-12T00:00:00+00:00", None, "**missed**"),
    ],
)
def test_a_change_is_told_by_a_part_of_an_incident_that_something_else_opened(
    begun: str, until: str | None, verdict: str
) -> None:
    job, result = flights(0, [DECEMBER], clocks=1)
    *first, clock = result["incidents"]
    error = with_part(clock, kind="performance", signal="error", at=begun, until=until)
    results = all_is_well() | {job: {**result, "incidents": [*first, error]}}
    judged = {one.what: one for one in targets.judge(results, plan.FULL)}
    assert judged["of these, early July and 9 December in each"].verdict() == verdict


def test_an_incident_counts_for_every_kind_that_has_a_part_in_it() -> None:
    job, result = flights(0, [DAY, DECEMBER], clocks=1)
    *first, clock = result["incidents"]
    both = with_part(clock, kind="performance", signal="error")
    judged = targets.judge(all_is_well() | {job: {**result, "incidents": [*first, both]}}, plan.FULL)
    counts = [one.measured.split(", ")[0] for one in judged if one.target == "<= 10 each"]
    assert counts == ["3", "1"]


def test_a_run_that_is_too_small_is_not_judged() -> None:
    judged = targets.judge(all_is_well(), plan.QUICK)
    assert {one.holds for one in judged if "flights" not in one.what and "July" not in one.what} == {None}


def test_the_page_has_its_command_its_table_and_a_section_for_each_experiment() -> None:
    results = all_is_well()
    page = report.page(
        results, len(results) + 2, plan.FULL, "driftline lab --out x.md", [("A", "a.svg")], "x"
    )
    assert "driftline lab --out x.md" in page
    assert f"**{len(results)} of {len(results) + 2} jobs" in page
    assert "![A](x/a.svg)" in page
    assert report.between_markers(page).splitlines() == targets.table(targets.judge(results, plan.FULL))
    sections = [line for line in page.splitlines() if line.startswith("## ")]
    assert len(sections) == 5


def test_what_is_known_of_a_day_explains_an_incident_of_any_start() -> None:
    results = all_is_well() | dict([flights(30, [DAY, DECEMBER], clocks=1)])
    page = "\n".join(sections.flights_through_the_pipeline(results))
    assert "| 30 | 03 Nov | feature:hour | New York's clocks changed on 3 November |" in page


def test_a_page_without_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no table between"):
        report.between_markers("nothing")


def test_charts_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="charts are of the extra `lab`")
    results = all_is_well()
    drawn = charts.draw(results, tmp_path / "a")
    assert charts.draw(results, tmp_path / "b") == drawn
    assert [name for _, name in drawn] == ["false-alarms.svg", "delays.svg", "flights.svg"]
    for _, name in drawn:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_command_writes_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.md"
    arguments: list[Any] = ["lab", "--kept", "--no-charts", "--cache", tmp_path / "none", "--out", out]
    assert main([str(one) for one in arguments]) == 0
    assert out.read_text().startswith("# Alarm quality")
    assert "written to" in capsys.readouterr().out


def test_a_wrong_size_is_an_error_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lab", "--runs", "0"])
    assert ended.value.code == 2
    assert "0 is no number from 1 on" in capsys.readouterr().err
