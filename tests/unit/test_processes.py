"""`driftline worker --processes`: when there is a supervisor, and how it starts its processes."""

from __future__ import annotations

from pathlib import Path

import pytest

import stream
from stream import cli
from stream.config import HASH_SEED, ConfigError, Settings, load_settings
from stream.serve import _command

ROOT = Path(stream.__file__).parents[1]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Note how the worker is run instead of running it."""
    calls: list[tuple[object, ...]] = []

    async def work(settings: Settings) -> int:
        calls.append(("alone", settings.processes))
        return 0

    async def supervise(settings: Settings, config: Path | None) -> int:
        calls.append(("supervised", settings.processes, config))
        return 3

    async def work_under_supervision(_settings: Settings, line: int) -> int:
        calls.append(("one of several", line))
        return 0

    for made in (work, supervise, work_under_supervision):
        monkeypatch.setattr(cli, made.__name__, made)
    monkeypatch.delenv("DRIFTLINE_PROCESSES", raising=False)
    monkeypatch.delenv(HASH_SEED, raising=False)
    return calls


def test_a_worker_has_no_supervisor_unless_it_is_asked_for(ran: list[tuple[object, ...]]) -> None:
    assert [cli.main(["worker"]), cli.main(["worker", "--processes", "1"])] == [0, 0]
    assert ran == [("alone", 1), ("alone", 1)]


def test_several_processes_have_a_supervisor_whose_exit_status_counts(ran: list[tuple[object, ...]]) -> None:
    assert cli.main(["worker", "--processes", "3"]) == 3
    assert ran == [("supervised", 3, None)]


def test_the_command_line_goes_before_the_setting(
    ran: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_PROCESSES", "4")
    cli.main(["worker"])
    cli.main(["worker", "--processes", "1"])
    assert ran == [("supervised", 4, None), ("alone", 1)]


def test_one_of_several_is_no_supervisor_whatever_the_setting(
    ran: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_PROCESSES", "4")
    cli.main(["worker", "--child", "2", "17"])
    assert ran == [("one of several", 17)]


@pytest.mark.parametrize("number", ["0", "-1", "257", "two"])
def test_a_number_of_processes_that_cannot_be_is_wrong_usage(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["worker", f"--processes={number}"])
    assert ended.value.code == 2
    assert f"{number} is no number from 1 to 256" in capsys.readouterr().err


def test_a_setting_that_cannot_be_names_its_variable() -> None:
    with pytest.raises(ConfigError, match="DRIFTLINE_PROCESSES"):
        load_settings({"DRIFTLINE_PROCESSES": "0"})


def test_a_process_reads_the_settings_file_of_its_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    command = _command(file, 2, 17)
    assert command[-6:] == ["--config", str(file), "worker", "--child", "2", "17"]


def test_a_process_does_not_take_a_folder_that_happens_to_be_here_for_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _command(None, 1, 3)[1:4] == ["-P", "-m", "stream"]
    monkeypatch.chdir(ROOT)
    assert _command(None, 1, 3)[1:3] == ["-m", "stream"]


@pytest.mark.parametrize(
    "arguments", [["worker"], ["worker", "--processes", "2"], ["worker", "--child", "1", "9"]]
)
@pytest.mark.parametrize("seed", ["0", "42"])
def test_a_worker_whose_hashes_of_ids_can_be_known_does_not_start(
    ran: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seed: str,
    arguments: list[str],
) -> None:
    """With a known seed two ids of one hash can be found, and the second passes for a duplicate."""
    monkeypatch.setenv(HASH_SEED, seed)
    assert cli.main(arguments) == 2
    assert ran == []
    assert "PYTHONHASHSEED is set" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["", "random"])
def test_a_worker_whose_hashes_are_salted_anew_starts(
    ran: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, seed: str
) -> None:
    monkeypatch.setenv(HASH_SEED, seed)
    assert cli.main(["worker"]) == 0
    assert ran == [("alone", 1)]
