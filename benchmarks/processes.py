"""Programs under measurement: started on a core of their own, their CPU time read from /proc."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
TIMEOUT_S: Final = 900.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Failed(Exception):  # noqa: N818 - it reads as what happened: the measure failed
    """A measure has no figures: the text says why."""


def cores() -> tuple[set[int], set[int]]:
    """Give the cores of what is measured and of all the rest: brokers, load, and this process."""
    available = sorted(os.sched_getaffinity(0))
    return {available[0]}, set(available[1:]) or {available[0]}


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give this process' environment without settings of Driftline, and with *more*."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(more or {})}


def start(
    module: str,
    arguments: Sequence[str],
    on: Iterable[int],
    *,
    settings: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `python -m module` on the cores *on*; what it says goes to *log*, else its output is piped."""
    stderr = log.open("wb") if log is not None else None
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    os.sched_setaffinity(process.pid, on)  # threads come later and inherit it
    if stderr is not None:
        stderr.close()
    return process


def figures_of(module: str, arguments: Sequence[str], on: Iterable[int], log: Path) -> dict[str, float]:
    """Run a peer or a probe to its end; give the figures that its last line of output is."""
    process = start(module, arguments, on, log=log)
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Failed(f"{module} did not end within {TIMEOUT_S:g} s") from None
    if process.returncode != 0 or not output.strip():
        said = log.read_text(errors="replace").strip().splitlines()
        raise Failed(f"{module} ended with {process.returncode}: {said[-1] if said else 'no word'}")
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def rates(*, units: int, records: int, seconds: float, cpu_seconds: float) -> dict[str, float]:
    """Give the figures of a run: one unit of work is a prediction together with its label."""
    return {
        "predictions/s": units / seconds,
        "predictions/CPU-s": units / cpu_seconds,
        "records/s": records / seconds,
        "share of a core": cpu_seconds / seconds,
    }


def report(figures: Mapping[str, Any]) -> None:
    """Print the figures of a peer or a probe, for :func:`figures_of`."""
    print(json.dumps(figures), flush=True)


def cpu_seconds(pid: int) -> float:
    """Give the CPU time, user and system, that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes() -> int:
    """Give the memory of this process that is resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """Give a process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
