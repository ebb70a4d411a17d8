"""Faust as its documentation has it: an agent a topic, one event at a time, its stock transport."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

import faust

from benchmarks.peers.work import JoinedWatch


def build(bootstrap: str, prefix: str, units: int) -> faust.App:
    """Make the app; timeouts are short only because the embedded broker waits for them before it begins."""
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{bootstrap}",
        broker_rebalance_timeout=3.0,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        datadir=tempfile.mkdtemp(prefix="driftline-bench-"),
        store="memory://",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )
    work = JoinedWatch(units, lambda: os._exit(0))  # what follows is not measured, nor is it needed

    async def predictions(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            work.prediction(value)

    async def feedback(stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            work.feedback(value)

    for name, agent in (("predictions", predictions), ("feedback", feedback)):
        topic = app.topic(f"{prefix}{name}", key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=name)(agent)
    return app


async def main(bootstrap: str, prefix: str, units: str) -> None:
    """Do *units* units of work from the topics under *prefix*, then end the process."""
    await build(bootstrap, prefix, int(units)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
