"""From the start of a worker to its first event, with a large state to restore."""

from __future__ import annotations

import asyncio
from itertools import islice

from benchmarks import policies
from benchmarks.brokers import fill, worker_settings
from benchmarks.context import Context, Figures, Measure
from benchmarks.events import Load, entries
from benchmarks.probes.stepping import BATCH_RECORDS, record
from benchmarks.worker import RunningWorker
from stream.config import Settings, load_settings
from stream.core.nouns import Topic
from stream.core.pipeline import Pipeline
from stream.shell.state import StateStore
from stream.shell.topics import STATE
from stream.wiring import build_connection, build_replay_pipeline, build_topics

VERSIONS_PER_MODEL = 10
EXTRA_FEATURES = 2


def restart(context: Context) -> Figures:
    """Put a state into the topic as a worker would have left it, start a worker, time its first event."""
    policy = policies.write(context.directory, policies.MANY_SERIES)
    settings = worker_settings(context.bootstrap, context.prefix("restart"), policy)
    versions = context.sizes.versions
    models = max(1, versions // VERSIONS_PER_MODEL)
    load = Load(
        predictions=context.sizes.pending,
        models=models,
        versions=versions // models,
        extra_features=EXTRA_FEATURES,
        labels=False,
    )
    fill(settings, entries(Load(start=load.predictions, predictions=1, models=models, labels=False)))
    rows = _state_of(load, load_settings(settings))
    asyncio.run(_store(load_settings(settings), rows))
    with RunningWorker(settings, context.cores, context.path("restart.log")) as running:
        first = running.wait(records=1)
        seconds = first.at - running.started_at
    return {"start to first event s": seconds, "state MB": sum(map(len, rows.values())) / 1e6}


def _state_of(load: Load, settings: Settings) -> dict[bytes, bytes]:
    """Give the rows of a pipeline that has taken *load*, at the beginning of its topics."""
    pipeline: Pipeline = build_replay_pipeline(settings)
    log = entries(load)
    place = 0
    while chunk := list(islice(log, BATCH_RECORDS)):
        pipeline.step([record(entry, place + at) for at, entry in enumerate(chunk)], float("inf"))
        place += len(chunk)
    pipeline.positions = dict.fromkeys(Topic, 0)
    return {key: row for key, row in pipeline.rows().items() if row is not None}


async def _store(settings: Settings, rows: dict[bytes, bytes]) -> None:
    store = StateStore(build_connection(settings), build_topics(settings).full(STATE))
    await store.start()
    try:
        restored = await store.restore([0], "benchmark")
        await restored[0].writer.write(rows)
    finally:
        await store.stop()


MEASURES = (Measure(name="restart", run=restart, rounds=1, is_large=True),)
