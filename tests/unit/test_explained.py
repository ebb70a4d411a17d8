"""`driftline config explain`: what a series still lacks, of which too little was read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stream import cli
from tests.flow.timeline import DAY, MODEL, Log, at, label, prediction

SEGMENTED = '[default]\nsegments = ["region"]\n'
WARM_UP = '[default.detectors]\nuse = ["adwin"]\nwarm_up = 1000\n'


def stages(
    folder: Path, capsys: pytest.CaptureFixture[str], *, every: float, readings: int, policy: str
) -> dict[str, str]:
    """Give the stage of each series of a model that predicts *every* so many seconds."""
    log = Log()
    for number in range(readings):
        segments = {"region": "south" if number % 2 else "north"}
        said = label(f"p{number}", int(number % 10 == 0))
        log.add(at(every * number), prediction(f"p{number}", 0, segments=segments, version="1"), said)
    events, policy_file = folder / "events.jsonl", folder / "policy.toml"
    events.write_bytes(b"\n".join(record.value or b"" for record in log.records))
    policy_file.write_text(policy)
    which = ("--model", MODEL, "--replay", str(events), "--policy", str(policy_file))
    assert cli.main(["config", "explain", *which]) == 0
    lines = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    return {line[1]: line[-1] for line in lines if line[0] == "1"}


def test_a_sporadic_model_is_counted_and_says_what_it_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stages(tmp_path, capsys, every=DAY / 10, readings=700, policy=SEGMENTED) == {
        "error": "insufficient data, 672 readings of 2,000",
        "error [region=north]": "insufficient data, 350 readings of 2,000",
        "error [region=south]": "insufficient data, 350 readings of 2,000",
        "output": "insufficient data, 672 readings of 2,000",
    }


def test_a_busy_one_that_is_young_says_until_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = stages(tmp_path, capsys, every=10.0, readings=3_200, policy="")
    assert set(said.values()) == {
        "insufficient data, 3,200 readings: until 2026-01-04T00:00:00+00:00, or 20,000"
    }


def test_one_that_has_enough_is_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = stages(tmp_path, capsys, every=DAY / 10, readings=2_100, policy="")
    assert set(said.values()) == {"watching"}


def test_of_other_detectors_the_warm_up_is_what_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = stages(tmp_path, capsys, every=10.0, readings=700, policy=WARM_UP)
    assert set(said.values()) == {"insufficient data, 700 readings of 1,000"}
