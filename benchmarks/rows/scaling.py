"""Two processes against one: broker and load share the cores with them, so CPU time counts too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Load, entries
from benchmarks.processes import ROOT, Failed, cpu_seconds, start, tree
from benchmarks.worker import DEADLINE_S
from stream.shell.broker import free_port

PARTITIONS = 8
MODELS = 64


def _scaling(processes: int) -> Callable[[Context], Figures]:
    def run(context: Context) -> Figures:
        command = [sys.executable, "-m", "stream", "worker", "--help"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        if "--processes" not in said.stdout:
            raise Failed("not available: `driftline worker` has no --processes yet")
        return _measure(context, ["worker", "--processes", str(processes)], f"processes{processes}")

    return run


def _measure(context: Context, arguments: list[str], name: str) -> Figures:
    """Time a worker from its first committed events to the last; it may have children."""
    units = context.sizes.worker
    policy = policies.write(context.directory, policies.THROUGHPUT)
    settings = worker_settings(
        context.bootstrap,
        context.prefix(name),
        policy,
        partitions=PARTITIONS,
        checkpoint_seconds="0.5",
        http_port=str(free_port()),
    )
    fill(settings, entries(Load(predictions=units, models=MODELS)))
    log = context.path(f"{name}.log")
    everything = context.cores | os.sched_getaffinity(0)
    process = start("stream", arguments, everything, settings=settings, log=log)
    try:
        return asyncio.run(_watch(process, settings, 2 * units))
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _watch(process: subprocess.Popen[bytes], settings: Mapping[str, str], records: int) -> Figures:
    """Look at what the group has committed: a record counts when its state would survive a crash."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings["DRIFTLINE_BROKERS"])
    await admin.start()
    group, prefix = settings["DRIFTLINE_GROUP"], settings["DRIFTLINE_PREFIX"]
    inputs = [
        TopicPartition(f"{prefix}{topic}", number)
        for topic in ("predictions", "feedback")
        for number in range(PARTITIONS)
    ]
    first: tuple[float, float, int] | None = None
    deadline = time.perf_counter() + DEADLINE_S
    try:
        while time.perf_counter() < deadline:
            if process.poll() is not None:
                raise Failed(f"the worker ended with {process.returncode}")
            offsets = await admin.list_consumer_group_offsets(group, partitions=inputs)
            done = sum(max(0, found.offset) for found in offsets.values())
            used = sum(map(cpu_seconds, tree(process.pid)))
            now = time.perf_counter()
            if first is None and done:
                first = (now, used, done)
            if first is not None and done >= records:
                units = (done - first[2]) / 2
                return {
                    "predictions/s": units / (now - first[0]),
                    "CPU us per event": (used - first[1]) / units * 5e5,
                }
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
    raise Failed(f"not all of {records} records were committed after {DEADLINE_S:g} s")


MEASURES = (
    Measure(name="1 process", run=_scaling(1)),
    Measure(name="2 processes", run=_scaling(2)),
)
