"""`driftline baseline accept | reset | freeze`: the event that is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.alerts import Rejected, Source
from schemas.codec import decode
from schemas.events import Lifecycle, LifecycleKind
from stream import cli
from stream.baseline import SAYINGS

SOURCE = Source(topic="driftline.lifecycle", partition=0, offset=0)
WHO = ("--model", "credit", "--by", "dana")


def said(capsysbinary: pytest.CaptureFixture[bytes], *arguments: str) -> Lifecycle:
    assert cli.main(["baseline", *arguments, "--out", "-"]) == 0
    event = decode(capsysbinary.readouterr().out.strip(), SOURCE)
    assert isinstance(event, Lifecycle), event
    return event


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, (kind, _) in SAYINGS.items()])
def test_each_command_says_its_kind_and_by_whom(
    name: str, kind: LifecycleKind, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    event = said(capsysbinary, name, *WHO, "--time", "2026-03-02T10:00Z")
    assert (event.kind, event.model, event.actor, event.actor_role) == (
        kind,
        "credit",
        "dana",
        "data_science_lead",
    )
    assert event.time.isoformat() == "2026-03-02T10:00:00+00:00"
    assert (event.version, event.segment, event.signal) == (None, None, None)


def test_what_it_concerns_and_why_are_said(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    which = ("--version", "2", "--segment", "region=south", "--signal", "error")
    why = ("--comment", "new customers", "--approval", "CHG-1", "--role", "owner")
    event = said(capsysbinary, "accept", *WHO, *which, *why)
    assert (event.version, event.segment, event.signal) == ("2", "region=south", "error")
    assert (event.comment, event.approval, event.actor_role) == ("new customers", "CHG-1", "owner")


def test_no_two_events_have_one_id(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert said(capsysbinary, "accept", *WHO).id != said(capsysbinary, "accept", *WHO).id


def test_a_file_is_added_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "said.jsonl"
    for name in ("accept", "freeze"):
        assert cli.main(["baseline", name, *WHO, "--out", str(file)]) == 0
    events = [decode(line, SOURCE) for line in file.read_bytes().splitlines()]
    assert [None if isinstance(event, Rejected) else event.model for event in events] == ["credit", "credit"]
    assert capsys.readouterr().out.splitlines()[0] == f"baseline_accepted of credit written to {file}"


def test_a_file_that_cannot_be_written_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / "said.jsonl"
    assert cli.main(["baseline", "accept", *WHO, "--out", str(file)]) == 2
    assert capsys.readouterr().err == f"driftline baseline: {file}: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("accept", "--model", "credit"), "the following arguments are required: --by"),
        (("accept", "--by", "dana"), "the following arguments are required: --model"),
        (("accept", *WHO, "--segment", "south"), "'south' is no segment as in region=south"),
        (("accept", *WHO, "--time", "soon"), "soon is no time as in 2026-01-31T12:00Z"),
    ],
)
def test_wrong_usage_is_said_in_a_line(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["baseline", *arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
