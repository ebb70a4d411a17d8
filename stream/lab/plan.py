"""What a run of the laboratory consists of, and who does each job: this file is the table of contents.

plan -> jobs -> stationary | lateness | real | annotated | faults -> results -> targets -> report
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from stream.lab import annotated, faults, lateness, real, stationary
from stream.lab.changes import SHAPES, STEPS
from stream.lab.families import STATIONARY, Family, Sort
from stream.lab.job import EXPERIMENTS, Job, Result
from stream.lab.river_raw import MAKERS, river
from stream.lab.sources import DAY_READINGS
from stream.lab.watchers import ALWAYS, FALSE_ALARMS, NEVER, SHARE, Watcher, quiet, standardised

COPIES_OF_A_JOB: Final = 50
"""Copies that are watched side by side in one job: a run of 200 is four jobs, with a seed each."""

FEW: Final = 8
"""Copies that detectors get which promise nothing: their rates are far from any target."""

DEFAULT: Final = f"quiet F={FALSE_ALARMS:g}"
PIPELINE: Final = "default policy"

_CHOSEN: Final = (
    quiet(FALSE_ALARMS),
    quiet(10.0 * FALSE_ALARMS),
    standardised("adwin", "ADWIN as a policy chooses it, on standardised readings"),
    standardised("page_hinkley", "Page-Hinkley as a policy chooses it, on standardised readings"),
    *(river(name) for name in MAKERS),
    ALWAYS,
    NEVER,
)
WATCHERS: Final[Mapping[str, Watcher]] = {watcher.key: watcher for watcher in _CHOSEN}

_TOO_SLOW: Final = "river KSWIN"
_LOUDER: Final = f"quiet F={10.0 * FALSE_ALARMS:g}"
"""Its alarms are many enough to be counted; how late it is says nothing of the default."""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is: copies and days of what does not change, copies of what does, seeds of faults."""

    runs: int = 200
    days: float = 30.0
    seeds: int = 10


FULL: Final = Size()
QUICK: Final = Size(runs=4, days=6.0, seeds=1)


def jobs(size: Size, only: Sequence[str] = EXPERIMENTS) -> list[Job]:
    """Give the jobs of a run, the longest experiments first; the same size gives the same jobs."""
    made: list[Job] = []
    for experiment in (name for name in EXPERIMENTS if name in only):
        made += _MAKE[experiment](size)
    return made


def execute(job: Job) -> Result:
    """Do a job."""
    if job.experiment == "faults":
        return faults.run(job)
    if job.experiment == "flights through the pipeline":
        return real.run_pipeline(job)
    if job.detector == lateness.ORACLE:
        return lateness.run_step(job, None)
    watcher = WATCHERS.get(job.detector)
    if watcher is None:
        raise ValueError(f"no detector is called {job.detector!r}: {', '.join(WATCHERS)} are")
    return _SHOW[job.experiment](job, watcher)


def _false_alarms(size: Size) -> Iterator[Job]:
    for name, family in reversed(STATIONARY.items()):
        for watcher in WATCHERS.values():
            if not watcher.fits.issuperset(one.sort for one in family.series):
                continue
            if len(family.series) > 1 and watcher.readings is not None:
                continue  # 21 series at once are shown to what a policy can choose
            wanted = _copies(size, family) if watcher.declares is not None else min(size.runs, FEW)
            if watcher.key == _LOUDER:
                wanted = max(1, wanted // 4)  # it has ten times the alarms
            days = size.days
            if watcher.readings is not None:
                days = min(days, watcher.readings / DAY_READINGS)
                wanted = min(wanted, max(1, int(watcher.readings / (days * DAY_READINGS))))
            if watcher.declares is None and len(family.series) > 1:
                days = min(days, 10.0)
            for seed, copies in _blocks(wanted):
                yield Job(
                    experiment="false alarms",
                    detector=watcher.key,
                    stream=name,
                    seed=seed,
                    copies=copies,
                    days=days,
                )


def _copies(size: Size, family: Family) -> int:
    """Give how many copies of *family* declare as many alarms as *size.runs* of an error do, or more."""
    part = sum(SHARE[sort] for sort in {one.sort for one in family.series})
    return round(size.runs * max(1.0, SHARE[Sort.ERROR] / part))


def _delays(size: Size) -> Iterator[Job]:
    for name, step in STEPS.items():
        for key in (lateness.ORACLE, *WATCHERS):
            watcher = WATCHERS.get(key)
            if key in {_TOO_SLOW, _LOUDER} or (watcher is not None and step.sort not in watcher.fits):
                continue
            is_judged = watcher is None or watcher.declares is not None
            for seed, copies in _blocks(size.runs if is_judged else min(size.runs, FEW)):
                yield Job(experiment="delays", detector=key, stream=name, seed=seed, copies=copies)


def _shapes(size: Size) -> Iterator[Job]:
    for name in SHAPES:
        for key, watcher in WATCHERS.items():
            if key not in {_TOO_SLOW, _LOUDER}:
                wanted = min(size.runs, COPIES_OF_A_JOB if watcher.declares is not None else FEW // 2)
                yield Job(experiment="shapes", detector=key, stream=name, copies=wanted)


def _flights(_size: Size) -> Iterator[Job]:
    for key in WATCHERS:
        if key != _TOO_SLOW:
            yield Job(experiment="flights", detector=key, stream="flights' errors")


def _flights_through_the_pipeline(_size: Size) -> Iterator[Job]:
    for shift in real.SHIFTS:
        yield Job(experiment="flights through the pipeline", detector=PIPELINE, stream="flights", seed=shift)


def _annotated(_size: Size) -> Iterator[Job]:
    for name in annotated.SETS:
        for key, watcher in WATCHERS.items():
            if "number" in watcher.fits:
                yield Job(experiment="annotated", detector=key, stream=name)


def _faults(size: Size) -> Iterator[Job]:
    for stream in faults.STREAMS:
        for seed in range(size.seeds):
            yield Job(experiment="faults", detector=PIPELINE, stream=stream, seed=seed)


def _blocks(copies: int) -> Iterator[tuple[int, int]]:
    """Give (seed, copies) of the jobs that make up so many copies."""
    for seed, start in enumerate(range(0, copies, COPIES_OF_A_JOB)):
        yield seed, min(COPIES_OF_A_JOB, copies - start)


_MAKE: Final[Mapping[str, Callable[[Size], Iterator[Job]]]] = {
    "false alarms": _false_alarms,
    "delays": _delays,
    "shapes": _shapes,
    "flights": _flights,
    "annotated": _annotated,
    "faults": _faults,
    "flights through the pipeline": _flights_through_the_pipeline,
}

_SHOW: Final[Mapping[str, Callable[[Job, Watcher], Result]]] = {
    "false alarms": stationary.run,
    "delays": lateness.run_step,
    "shapes": lateness.run_shape,
    "flights": lambda _job, watcher: real.run_errors(watcher),
    "annotated": annotated.run,
}
