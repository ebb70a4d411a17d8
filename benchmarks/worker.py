"""A real `driftline worker` under measurement, seen through what it shows to anybody: /metrics and /proc."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from benchmarks.processes import Failed, cpu_seconds, start, tree
from stream.shell.broker import free_port

DEADLINE_S: Final = 300.0
_STOP_S: Final = 30.0
_LEAST_PAUSE_S: Final = 0.02
_MOST_PAUSE_S: Final = 0.2


class Look(NamedTuple):
    """What a worker had done at one moment; its CPU time is that of all its processes."""

    at: float
    cpu_seconds: float
    outcomes: int
    records: int


class RunningWorker:
    """A worker in a process of its own, or in several, for the length of a block."""

    def __init__(
        self, settings: Mapping[str, str], cores: Iterable[int], log: Path, options: Sequence[str] = ()
    ) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}"
        self._settings = {**settings, "DRIFTLINE_HTTP_PORT": str(port), "DRIFTLINE_HTTP_HOST": "127.0.0.1"}
        self._cores = cores
        self._log = log
        self._arguments = ["worker", *options]
        self.started_at = 0.0

    def __enter__(self) -> Self:
        self.started_at = time.perf_counter()
        self.process = start("stream", self._arguments, self._cores, settings=self._settings, log=self._log)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def look(self) -> Look | None:
        """Scrape it; None while it does not answer. Raises Failed when it has ended."""
        if self.process.poll() is not None:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise Failed(f"the worker ended with {self.process.returncode}: {said[-1] if said else ''}")
        try:
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=10.0) as answer:  # noqa: S310 - http
                text = answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None
        found = _sums(text)
        return Look(
            time.perf_counter(),
            sum(map(cpu_seconds, tree(self.process.pid))),
            int(found["driftline_outcomes_total"]),
            int(found["driftline_events_total"]),
        )

    def run_through(self, records: int) -> tuple[Look, Look]:
        """Give the last look before the first event and the first look after *records* of them.

        A look costs the worker something: it is left alone for half of the time that it still needs at the
        fastest it was seen to go, at most for :data:`_MOST_PAUSE_S`. It is not to stand idle until the last.
        """
        first = self.begin()
        return first, self._await(records, _LEAST_PAUSE_S)[1]

    def begin(self) -> Look:
        """Give the last look before the first event."""
        before, first = self._await(1, 0.02)
        return before or first

    def wait(self, *, records: int) -> Look:
        """Give the first look that shows at least *records* events. Raises Failed where it never comes."""
        return self._await(records, 0.05)[1]

    def _await(self, records: int, every: float) -> tuple[Look | None, Look]:
        deadline = time.perf_counter() + DEADLINE_S
        before, fastest = None, 0.0
        while time.perf_counter() < deadline:
            seen = self.look()
            if seen is not None and seen.records >= records:
                return before, seen
            pause = every
            if before is not None and seen is not None and seen.records > before.records:
                fastest = max(fastest, (seen.records - before.records) / (seen.at - before.at))
                pause = max(every, min(_MOST_PAUSE_S, (records - seen.records) / fastest / 2))
            before = seen or before
            time.sleep(pause)
        raise Failed(f"{before.records if before else 0} of {records} records after {DEADLINE_S:g} s")


def _sums(text: str) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for line in text.splitlines():
        if line.startswith("driftline_"):
            name, value = line.rsplit(" ", 1)
            found[name.partition("{")[0]] += float(value)
    return found
