"""Results that are kept: a run that was stopped goes on where it was, and a new one does only what is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from stream.lab.errors import LabError
from stream.lab.job import Job, Result
from stream.lab.plan import execute

Say = Callable[[str], None]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file of results."""

    key: str
    job: Job
    result: dict[str, Any]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Kept:
    """The results in a file of JSON Lines, by key; a line that a crash cut off counts as never written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._results: dict[str, Result] = {}
        self._is_torn = False
        if path.exists():
            held = path.read_bytes()
            self._is_torn = bool(held) and not held.endswith(b"\n")
            for raw in held.splitlines():
                try:
                    line = _decode(raw)
                except msgspec.DecodeError:
                    continue
                self._results[line.key] = line.result

    def get(self, job: Job) -> Result | None:
        """Give what *job* gave, where it is known."""
        return self._results.get(job.key())

    def put(self, job: Job, result: Result) -> None:
        """Keep what *job* gave."""
        line = Line(key=job.key(), job=job, result=dict(result))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(b"\n" * self._is_torn + _encode(line) + b"\n")
        self._is_torn = False
        # As the file gives it back, so that a report does not tell new results from kept ones.
        self._results[line.key] = _decode(_encode(line)).result


def run(jobs: Sequence[Job], kept: Kept, *, processes: int, say: Say) -> dict[Job, Result]:
    """Do what of *jobs* is not kept yet, in so many processes; give the results in the order of *jobs*.

    *say* is told of each job that is done. Raises LabError where a process dies.
    """
    left = [job for job in jobs if kept.get(job) is None]
    done = len(jobs) - len(left)
    if done:
        say(f"{done} of {len(jobs)} jobs are kept from before")
    if processes == 1:
        for job in left:
            kept.put(job, execute(job))
            done += 1
            say(f"{done}/{len(jobs)} {job.label()}")
    elif left:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(execute, job): job for job in left}
            try:
                for future in as_completed(running):
                    job = running[future]
                    kept.put(job, future.result())
                    done += 1
                    say(f"{done}/{len(jobs)} {job.label()}")
            except BrokenProcessPool as error:
                raise LabError(
                    "a process of the laboratory died, perhaps for want of memory: what is done is kept, "
                    "start it again, with --processes 1 if it dies again"
                ) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return {job: result for job in jobs if (result := kept.get(job)) is not None}
