"""How many predictions per second: the worker, the peers, the bare loop, a replay."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Entry, Load, entries, write
from benchmarks.processes import Failed, figures_of, rates, start
from benchmarks.worker import RunningWorker


@cache
def log_of(units: int) -> tuple[Entry, ...]:
    """Give the log of *units* predictions and their labels, one model, one version."""
    return tuple(entries(Load(predictions=units)))


def _file_of(context: Context, units: int) -> Path:
    path = context.directory / f"log-{units}.jsonl"
    if not path.exists():
        write(path, log_of(units))
    return path


def bare(context: Context) -> Figures:
    """Run the yardstick."""
    file = _file_of(context, context.sizes.bare)
    return figures_of("benchmarks.peers.bare_loop", [str(file)], context.cores, context.path("bare.log"))


def two_bare(context: Context) -> Figures:
    """Run the yardstick on two cores at once: what a second one is worth on this machine at this time."""
    others = sorted(os.sched_getaffinity(0) - context.cores)
    if not others:
        raise Failed("there is one core")
    file = str(_file_of(context, context.sizes.bare))
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = [
            pool.submit(
                figures_of, "benchmarks.peers.bare_loop", [file], on, context.path(f"bare-{place}.log")
            )
            for place, on in enumerate((context.cores, {others[0]}))
        ]
    return {"predictions/s": sum(one.result()["predictions/s"] for one in running)}


def worker(context: Context) -> Figures:
    """Run a worker over a log that is there before it starts; time it from its first events to its last."""
    units = context.sizes.worker
    policy = policies.write(context.directory, policies.THROUGHPUT)
    settings = worker_settings(context.bootstrap, context.prefix("worker"), policy)
    fill(settings, log_of(units))
    with RunningWorker(settings, context.cores, context.path("worker.log")) as running:
        first, last = running.run_through(2 * units)
    if last.outcomes != units:
        raise Failed(f"{last.outcomes} of {units} outcomes")
    return rates(
        units=last.outcomes - first.outcomes,
        records=last.records - first.records,
        seconds=last.at - first.at,
        cpu_seconds=last.cpu_seconds - first.cpu_seconds,
    )


def replay(context: Context) -> Figures:
    """Replay a file; the time is what the command says of itself."""
    units = context.sizes.worker
    file, summary = _file_of(context, units), context.path("summary.json")
    policy = policies.write(context.directory, policies.THROUGHPUT)
    arguments = ["replay", str(file), "--policy", str(policy), "--summary", str(summary)]
    for name in ("alerts", "incidents"):
        arguments += [f"--{name}", str(context.path(f"{name}.jsonl"))]
    process = start("stream", arguments, context.cores, log=context.path("replay.log"))
    process.communicate()
    if process.returncode != 0:
        raise Failed(f"replay ended with {process.returncode}")
    said = json.loads(summary.read_bytes())
    return {
        "predictions/s": said["outcomes"] / said["seconds"],
        "records/s": said["events"] / said["seconds"],
    }


def _peer(module: str, units_of: Callable[[Context], int], name: str) -> Callable[[Context], Figures]:
    def run(context: Context) -> Figures:
        units = units_of(context)
        prefix = context.prefix(name)
        policy = policies.write(context.directory, policies.THROUGHPUT)
        fill(worker_settings(context.bootstrap, prefix, policy), log_of(units))
        arguments = [context.bootstrap, prefix, str(units)]
        if name == "raw":
            arguments[-1] = str(_file_of(context, units))
        return figures_of(module, arguments, context.cores, context.path(f"{name}.log"))

    return run


MEASURES = (
    Measure(name="bare loop", run=bare, on_broker=False),
    Measure(name="2 bare loops", run=two_bare, on_broker=False),
    Measure(name="replay", run=replay, on_broker=False),
    Measure(name="worker", run=worker),
    Measure(name="faust", run=_peer("benchmarks.peers.plain_faust", lambda c: c.sizes.faust, "faust")),
    Measure(name="quix", run=_peer("benchmarks.peers.quix", lambda c: c.sizes.quix, "quix")),
    Measure(name="raw aiokafka", run=_peer("benchmarks.peers.raw_aiokafka", lambda c: c.sizes.bare, "raw")),
)
