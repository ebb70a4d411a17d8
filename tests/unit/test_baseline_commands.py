"""`driftline baseline accept | reset | freeze | export`: the events that are written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.alerts import Rejected, Source
from schemas.codec import decode
from schemas.events import Lifecycle, LifecycleKind
from stream import baseline, cli
from stream.baseline import SAYINGS
from stream.detectors.quiet.printed import digest_of
from tests.flow.timeline import MODEL, Log, at, label, prediction

SOURCE = Source(topic="driftline.lifecycle", partition=0, offset=0)
NONE_YET = "has no baseline that is large enough yet"
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


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a week of predictions of one version of a model, and a few of another."""
    log = Log()
    for number in range(10_000):
        name, version = f"p{number}", "2" if number >= 9_990 else "1"
        fields = {"version": version, "features": {"age": (number * 7_919) % 101 + number % 3 / 10}}
        said = label(name, int(number % 10 == 0))
        log.add(at(60.0 * number), prediction(name, 0, **fields), said)
    file = tmp_path_factory.mktemp("events") / "events.jsonl"
    file.write_bytes(b"\n".join(record.value or b"" for record in log.records))
    return file


def export(events: Path, *arguments: str) -> list[str]:
    which = ("--model", MODEL, "--by", "dana", "--replay", str(events))
    return ["baseline", "export", *which, *arguments]


def test_what_is_exported_is_what_show_shows_and_can_be_read_again(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "published.jsonl"
    assert cli.main(export(events, "--version", "1", "--for", "3", "--out", str(out))) == 0
    event = decode(out.read_bytes().strip(), SOURCE)
    assert isinstance(event, Lifecycle)
    assert (event.kind, event.version, event.actor) == (LifecycleKind.BASELINE_SET, "3", "dana")
    assert {one.signal for one in event.baselines or ()} >= {"error", "feature:age", "missing:age"}
    capsys.readouterr()
    assert cli.main(["baseline", "show", "--model", MODEL, "--replay", str(events)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = {line[1]: line[-1] for line in lines if line[0] == "1"}
    for one in event.baselines or ():
        assert shown[one.signal] == digest_of(one.readings, one.sums, one.edges)


def test_many_baselines_are_cut_into_events_that_brokers_take(
    events: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(baseline, "EVENT_BYTES", 1)
    assert cli.main(export(events, "--version", "1", "--for", "3", "--out", "-")) == 0
    read = [decode(line, SOURCE) for line in capsysbinary.readouterr().out.splitlines()]
    each = [one.baselines or () for one in read if isinstance(one, Lifecycle)]
    assert len(each) == len(read) > 2
    assert {len(own) for own in each} == {1}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--for", "3"), f"{MODEL} has the versions 1, 2: --version says which is meant"),
        (
            ("--for", "3", "--version", "2"),
            f"version '2' of {MODEL} has no baseline that is large enough yet",
        ),
        (
            ("--for", "3", "--version", "9"),
            f"version '9' of {MODEL} has no baseline that is large enough yet",
        ),
    ],
)
def test_what_cannot_be_exported_is_said_in_a_line(
    arguments: tuple[str, ...], told: str, events: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(export(events, *arguments)) == 1
    assert capsys.readouterr().err == f"driftline: {told}\n"


def test_a_log_that_is_not_there_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(export(Path("nowhere.jsonl"), "--for", "3")) == 2
    assert capsys.readouterr().err == "driftline baseline export: nowhere.jsonl: No such file or directory\n"
