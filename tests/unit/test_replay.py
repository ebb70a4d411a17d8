"""Replay: files in, files and numbers out, and nothing that depends on when or where it runs."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import msgspec
import pytest

from stream import replay as module
from stream.replay import BATCH_RECORDS, Outputs, Totals, lines, replay
from tests.flow.timeline import (
    HOUR,
    ONLY_ERRORS,
    Alarms,
    Happening,
    a_pipeline,
    at,
    label,
    prediction,
    right,
    to_bytes,
    wrong,
)


def write(path: Path, *happened: tuple[float, Happening | bytes]) -> str:
    text = b"".join((h if isinstance(h, bytes) else to_bytes(at(time), h)) + b"\n" for time, h in happened)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


def a_story(path: Path) -> str:
    """Write two wrong predictions four hours apart, and what is wrong with a file."""
    return write(
        path,
        *((0.0, happening) for happening in wrong("a")),
        (1.0, b"not json"),
        (2.0, b'{"type":"prediction"}'),
        (3.0, b""),
        (4.0, prediction("a", 0)),
        *((4 * HOUR, happening) for happening in wrong("b")),
        *((5 * HOUR, happening) for happening in right("c")),
    )


def run(files: list[str], outputs: Outputs | None = None) -> Totals:
    return replay(files, a_pipeline(ONLY_ERRORS, Alarms()), outputs or Outputs(), lambda _count: None)


def test_the_summary_counts_what_went_in_and_what_came_out(tmp_path: Path) -> None:
    summary = run([a_story(tmp_path / "log.jsonl")]).summary(seconds=2.0)
    assert summary == {
        "records": 9,
        "events": 6,
        "duplicates": 1,
        "outcomes": 3,
        "rejected": {"malformed": 1, "missing_field": 1},
        "findings": 2,
        "alerts": 2,
        "incidents": {"performance": 2},
        "open_incidents": 1,
        "seconds": 2.0,
        "events_per_second": 3,
    }


def test_a_replay_that_took_no_time_has_no_rate(tmp_path: Path) -> None:
    assert run([write(tmp_path / "empty.jsonl")]).summary(seconds=0.0)["events_per_second"] == 0


def test_alerts_come_in_order_and_every_incident_once_as_it_was_last(tmp_path: Path) -> None:
    outputs = Outputs(alerts=tmp_path / "a", incidents=tmp_path / "i", rejected=tmp_path / "r")
    run([a_story(tmp_path / "log.jsonl")], outputs)
    alerts, incidents, rejected = (
        [msgspec.json.decode(line) for line in (tmp_path / name).read_bytes().splitlines()] for name in "air"
    )
    assert [alert["trigger"]["offset"] for alert in alerts] == [0, 1]
    assert [(incident["id"], incident["state"]) for incident in incidents] == [
        (alerts[0]["incident_id"], "recovered"),
        (alerts[1]["incident_id"], "detected"),
    ]
    assert [(r["reason"], r["source"]["offset"]) for r in rejected] == [
        ("malformed", 1),
        ("missing_field", 2),
    ]


def test_two_replays_of_a_file_give_the_same_bytes(tmp_path: Path) -> None:
    file = a_story(tmp_path / "log.jsonl")
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        run([file], Outputs(alerts=folder / "a", incidents=folder / "i", rejected=folder / "r"))
    for name in "air":
        first = (tmp_path / "first" / name).read_bytes()
        assert first
        assert first == (tmp_path / "second" / name).read_bytes()


def test_files_are_one_log_in_their_order(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", (0, prediction("a", 0)))
    second = write(tmp_path / "2.jsonl", (1, label("a", 1)))
    assert run([first, second]).summary(1.0)["outcomes"] == 1


def test_a_gz_file_is_unpacked(tmp_path: Path) -> None:
    assert run([a_story(tmp_path / "log.jsonl.gz")]).summary(1.0)["events"] == 6


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    text = to_bytes(at(0), prediction("a")) + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert run(["-"]).summary(1.0)["events"] == 1


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_lines_are_the_same_however_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"one\n\n two \r\n" + b"three" * 40 + b"\n\n\nfour")
    assert list(lines([str(file)])) == [b"one", b"two", b"three" * 40, b"four"]


def test_blank_lines_and_a_missing_last_newline_are_no_matter(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b"\n  one \r\n\t\ntwo")
    assert list(lines([str(file)])) == [b"one", b"two"]


def test_progress_is_told_batch_by_batch(tmp_path: Path) -> None:
    file = write(tmp_path / "log.jsonl", *((n, prediction(f"p{n}")) for n in range(BATCH_RECORDS + 1)))
    told: list[int] = []
    replay([file], a_pipeline(ONLY_ERRORS, Alarms()), Outputs(), told.append)
    assert told == [BATCH_RECORDS, BATCH_RECORDS + 1]


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        run([str(tmp_path / "nowhere.jsonl")])
    assert missing.value.filename == str(tmp_path / "nowhere.jsonl")


@pytest.mark.parametrize("damage", ["no gzip", "truncated", "flipped"])
def test_a_gz_file_that_is_damaged_is_named(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(b"{}\n" * 50_000, mtime=0)
    bad = {"no gzip": b"{}\n", "truncated": whole[:-20], "flipped": whole[:20] + b"\xff" * 9 + whole[29:]}
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(bad[damage])
    with pytest.raises(OSError, match="damaged") as error:
        list(lines([str(file)]))
    assert error.value.filename == str(file)
