"""The workers of one group, kept running as a service manager keeps them: what ends is started again."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.integration.running import RunningWorker

RESTART_S: Final = 1.0
_POLL_S: Final = 0.05
WORDS_MAX: Final = 120
_NUMBER: Final = re.compile(r"\d+")
_SAID: Final = re.compile(r"^(?:\S+ \S+ ERROR )?driftline: (.*)$", re.MULTILINE)
_LAST_WORDS: Final = "stopped by an error: "


@dataclass(slots=True)
class Place:
    """Where one worker after the other runs; *due* is when the next one starts, None while one runs."""

    log: Path
    worker: RunningWorker | None = None
    due: float | None = 0.0
    is_frozen: bool = False


@dataclass(slots=True)
class Fleet:
    """*size* workers with one *environment*, their logs in *folder*.

    A worker that ends by itself is counted in *ended*, by its last words, and started again.
    """

    environment: Mapping[str, str]
    folder: Path
    size: int
    ended: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    _places: list[Place] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start them all."""
        self._places = [Place(self.folder / f"worker-{number}.log") for number in range(self.size)]
        self._look_after()
        return self

    def __exit__(self, *_: object) -> None:
        for place in self._places:
            if place.worker is not None:
                place.worker.kill()

    def wait(self, seconds: float) -> None:
        """Let *seconds* pass."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._look_after()
            time.sleep(_POLL_S)

    def until(self, condition: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for *condition*, at most *deadline_s* seconds; whether it came."""
        end = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > end:
                return False
            self.wait(5 * _POLL_S)
        return True

    def running(self) -> list[int]:
        """Give the numbers of the places whose worker runs and is not frozen."""
        self._look_after()
        return [n for n, place in enumerate(self._places) if place.worker is not None and not place.is_frozen]

    def worker(self, number: int) -> RunningWorker | None:
        """Give the worker of a place."""
        return self._places[number].worker

    def kill(self, number: int, down_s: float) -> None:
        """End a worker as a crash would; the next one starts after *down_s* seconds."""
        place = self._places[number]
        if place.worker is not None:
            place.worker.kill()
            place.worker, place.is_frozen, place.due = None, False, time.monotonic() + down_s

    def freeze(self, number: int) -> None:
        """Stop a worker's clock."""
        place = self._places[number]
        if place.worker is not None:
            place.worker.freeze()
            place.is_frozen = True

    def thaw(self, number: int) -> None:
        """Let it go on."""
        place = self._places[number]
        if place.worker is not None:
            place.worker.thaw()
            place.is_frozen = False

    def rest(self, number: int) -> None:
        """Ask a worker to stop, and start no other until :meth:`resume`."""
        place = self._places[number]
        if place.worker is not None:
            self._note(place.worker, place.worker.terminate())
            place.worker, place.due = None, float("inf")

    def resume(self) -> None:
        """Start whatever rests."""
        for place in self._places:
            if place.worker is None:
                place.due = 0.0
        self._look_after()

    def is_at_work(self) -> bool:
        """Tell whether some worker has processed something since it started, or found nothing to do."""
        workers = [self._places[number].worker for number in self.running()]
        ready = [it for it in workers if it is not None and it.is_ready]
        return any(it.metric("events_total") > 0 or it.has_caught_up for it in ready)

    def metric(self, name: str) -> float:
        """Give the sum of a metric over the workers that run."""
        workers = [self._places[number].worker for number in self.running()]
        return sum(it.metric(name) for it in workers if it is not None)

    def has_caught_up(self, partitions: int) -> bool:
        """Tell whether the workers have all *partitions* between them, and nothing left to do."""
        owned = 0.0
        for number in self.running():
            worker = self._places[number].worker
            if worker is None:
                return False
            own = worker.metric("partitions")
            if own and not worker.has_caught_up:
                return False
            owned += own
        return owned == partitions

    def stop(self) -> None:
        """Ask all to stop; no other starts."""
        for number in range(len(self._places)):
            self.rest(number)

    def _look_after(self) -> None:
        now = time.monotonic()
        for place in self._places:
            worker = place.worker
            if worker is not None and worker.status is not None:
                self._note(worker, worker.status)
                place.worker, place.is_frozen, place.due = None, False, now + RESTART_S
            elif worker is None and place.due is not None and now >= place.due:
                place.worker, place.due = RunningWorker(self.environment, place.log), None
                self.starts += 1

    def _note(self, worker: RunningWorker, status: int) -> None:
        if status in {0, -signal.SIGTERM}:  # asked to stop before it knew how to
            return
        said = _SAID.findall(worker.log)
        lines = [line for line in said if _LAST_WORDS in line] or said or ["silent"]
        last = _NUMBER.sub("N", lines[-1].split(_LAST_WORDS)[-1])
        self.ended[f"status {status}: {last[:WORDS_MAX]}"] += 1
