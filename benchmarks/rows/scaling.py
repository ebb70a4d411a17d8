"""Two processes against one: broker and load share the cores with them, so CPU time counts too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import count

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Load, entries
from benchmarks.processes import ROOT, Failed, cpu_seconds, tree
from benchmarks.worker import DEADLINE_S, RunningWorker
from stream.shell.topics import Topics

PARTITIONS = 8
MODELS = 64
"""As many for each partition: the processes have the same to do, however names happen to be hashed."""

LOGS = 4
"""So many times the length of the other rows' log: start and last checkpoint weigh little then."""


def _scaling(processes: int) -> Callable[[Context], Figures]:
    def run(context: Context) -> Figures:
        command = [sys.executable, "-m", "stream", "worker", "--help"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        if "--processes" not in said.stdout:
            raise Failed("not available: `driftline worker` has no --processes yet")
        return _measure(context, ["--processes", str(processes)], f"processes{processes}")

    return run


def _measure(context: Context, options: list[str], name: str) -> Figures:
    """Time a worker with all its processes, from the last look before its first event to its last commit."""
    units = LOGS * context.sizes.worker
    policy = policies.write(context.directory, policies.THROUGHPUT)
    settings = worker_settings(
        context.bootstrap,
        context.prefix(name),
        policy,
        partitions=PARTITIONS,
        checkpoint_seconds="0.5",
    )
    names = _spread(Topics(prefix="", partitions=PARTITIONS))
    fill(settings, entries(Load(predictions=units, models=MODELS, names=names)))
    log = context.path(f"{name}.log")
    everything = context.cores | os.sched_getaffinity(0)
    with RunningWorker(settings, everything, log, options) as running:
        first = running.begin()
        at, used = asyncio.run(_committed(running.process, settings, 2 * units))
    done = units - first.records / 2
    return {
        "predictions/s": done / (at - first.at),
        "CPU us per event": (used - first.cpu_seconds) / done * 5e5,
    }


def _spread(topics: Topics) -> list[str]:
    """Give the names of as many models for each partition, dealt in turn."""
    names: list[list[str]] = [[] for _ in range(topics.partitions)]
    for number in count():
        mine = names[topics.partition_of(name := f"fraud-{number}")]
        if len(mine) < MODELS // topics.partitions:
            mine.append(name)
        elif all(len(one) == MODELS // topics.partitions for one in names):
            break
    return [name for together in zip(*names, strict=True) for name in together]


async def _committed(
    process: subprocess.Popen[bytes], settings: Mapping[str, str], records: int
) -> tuple[float, float]:
    """Give the time, and the CPU time used, when the group has committed *records*.

    A record counts when its state would survive a crash. The endpoints are left alone meanwhile: what
    looking costs would count as well.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=settings["DRIFTLINE_BROKERS"])
    await admin.start()
    group, prefix = settings["DRIFTLINE_GROUP"], settings["DRIFTLINE_PREFIX"]
    inputs = [
        TopicPartition(f"{prefix}{topic}", number)
        for topic in ("predictions", "feedback")
        for number in range(PARTITIONS)
    ]
    deadline = time.perf_counter() + DEADLINE_S
    try:
        while time.perf_counter() < deadline:
            if process.poll() is not None:
                raise Failed(f"the worker ended with {process.returncode}")
            offsets = await admin.list_consumer_group_offsets(group, partitions=inputs)
            done = sum(max(0, found.offset) for found in offsets.values())
            if done >= records:
                return time.perf_counter(), sum(map(cpu_seconds, tree(process.pid)))
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    raise Failed(f"not all of {records} records were committed after {DEADLINE_S:g} s")


MEASURES = (
    Measure(name="1 process", run=_scaling(1)),
    Measure(name="2 processes", run=_scaling(2)),
)
