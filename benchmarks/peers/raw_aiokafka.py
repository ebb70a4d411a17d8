"""A consumer by hand: aiokafka, decode and the same detectors; no join, no state, no rebalance."""

from __future__ import annotations

import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.peers.bare_loop import load
from benchmarks.peers.work import Watch, decode_prediction
from benchmarks.processes import rates, report


async def main(bootstrap: str, prefix: str, path: str) -> None:
    """Read the predictions under *prefix*; their errors are computed beforehand from the file *path*."""
    errors = iter(load(path)[1])
    units = len(load(path)[0])
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    partition = TopicPartition(f"{prefix}predictions", 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    watch, taken, began = Watch(), 0, None
    while taken < units:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).values():
            began = began or (time.perf_counter(), time.process_time())
            for record in records:
                watch.prediction(decode_prediction(record.value))
                watch.error(next(errors))
            taken += len(records)
    assert began is not None  # noqa: S101 - the loop ran
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    report(rates(units=taken, records=taken, seconds=seconds, cpu_seconds=cpu_seconds))
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
