"""Jobs give the same results however they are run, and a run that was stopped goes on where it was."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from stream.lab import changes, plan, stationary
from stream.lab.families import STATIONARY
from stream.lab.job import Job
from stream.lab.kept import Kept, run
from stream.lab.lateness import run_step
from stream.lab.sources import DAY_READINGS
from stream.lab.watchers import ALWAYS, NEVER, quiet

SMALL = Job(experiment="false alarms", detector="always fires", stream="error .2", copies=2, days=1.5)


def marked(name: str) -> Job:
    return Job(experiment="annotated", detector=name, stream="coal employment")


def test_who_always_fires_alarms_at_every_reading_in_one_episode() -> None:
    result = stationary.run(SMALL, ALWAYS)
    assert result["alarms"] == 2 * 1.5 * DAY_READINGS
    assert result["episodes"] == 2
    assert result["open_share"] == 1.0


def test_who_never_fires_has_no_alarm() -> None:
    result = stationary.run(SMALL, NEVER)
    assert (result["alarms"], result["episodes"], result["open_share"]) == (0, 0, 0.0)


def test_who_always_fires_is_never_late_and_who_never_fires_misses_all() -> None:
    job = Job(experiment="delays", detector="", stream="error .2 -> .3", copies=2)
    always, never = run_step(job, ALWAYS), run_step(job, NEVER)
    assert always["delays"] == [1, 1]
    assert always["early"] > 2 * changes.LEAD - 1
    assert never["delays"] == [None, None]


def test_the_oracle_and_the_detectors_are_shown_the_same_change() -> None:
    job = Job(experiment="delays", detector="", stream="mean 0 -> 1 sd", copies=3)
    oracle, found = run_step(job, None)["delays"], run_step(job, quiet(0.3))["delays"]
    assert None not in found
    assert all(1 <= first <= second <= 20 * first for first, second in zip(oracle, found, strict=True))


@pytest.mark.parametrize("name", changes.SHAPES)
def test_before_its_onset_nothing_of_a_change_is_there(name: str) -> None:
    since = np.arange(-500, 20 * DAY_READINGS)
    strength = changes.strength(name, since)
    assert not strength[:500].any()
    assert strength.max() == 1.0


def test_a_burst_heals_and_a_recurring_change_comes_back() -> None:
    day = DAY_READINGS
    assert changes.strength("burst that heals", np.array([0, day])).tolist() == [1.0, 0.0]
    assert changes.strength("recurring", np.array([0, day, 3 * day])).tolist() == [1.0, 0.0, 1.0]


def test_a_second_run_does_nothing_that_is_kept(tmp_path: Path) -> None:
    path, said = tmp_path / "deep" / "results.jsonl", list[str]()
    jobs = [marked("never fires"), marked("always fires")]
    first = run(jobs[:1], Kept(path), processes=1, say=said.append)
    both = run(jobs, Kept(path), processes=1, say=said.append)
    again = run(jobs, Kept(path), processes=1, say=said.append)
    assert list(both) == jobs
    assert both == again
    assert both[jobs[0]] == first[jobs[0]]
    assert said == [
        f"1/1 {jobs[0].label()}",
        "1 of 2 jobs are kept from before",
        f"2/2 {jobs[1].label()}",
        "2 of 2 jobs are kept from before",
    ]


def test_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    jobs = [marked("never fires"), marked("always fires")]
    one = run(jobs, Kept(tmp_path / "one"), processes=1, say=lambda _text: None)
    two = run(jobs, Kept(tmp_path / "two"), processes=2, say=lambda _text: None)
    assert one == two


def test_a_line_that_a_crash_cut_off_is_done_again(tmp_path: Path) -> None:
    path, job = tmp_path / "results.jsonl", marked("never fires")
    result = run([job], Kept(path), processes=1, say=lambda _text: None)[job]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert Kept(path).get(job) is None
    assert run([job], Kept(path), processes=1, say=lambda _text: None)[job] == result
    assert Kept(path).get(job) == result


def test_a_result_belongs_to_all_that_it_follows_from() -> None:
    other = [
        msgspec.structs.replace(SMALL, **change)
        for change in ({"seed": 1}, {"copies": 3}, {"days": 2.0}, {"detector": "x"}, {"stream": "normal"})
    ]
    assert len({SMALL.key(), *(job.key() for job in other)}) == 6
    assert SMALL.key() == msgspec.structs.replace(SMALL).key()


def test_a_run_has_every_detector_on_every_stream_that_it_fits() -> None:
    jobs = plan.jobs(plan.FULL)
    assert len(set(jobs)) == len(jobs)
    copies = {
        stream: sum(job.copies for job in jobs if (job.stream, job.detector) == (stream, plan.DEFAULT))
        for stream in STATIONARY
    }
    # Of a number a model's budget buys a fourth of what it buys of an error: as many alarms are declared.
    many = {"normal", "lognormal", "AR(1) .5", "AR(1) .9"}
    assert copies == {name: plan.FULL.runs * (4 if name in many else 1) for name in STATIONARY}
    numbers = {job.detector for job in jobs if job.stream == "normal"}
    assert {"river ADWIN", "always fires", "never fires"} <= numbers
    assert "river DDM" not in numbers
