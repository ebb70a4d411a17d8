"""What a worker says of itself: whether it is well, whether it is ready, what it has counted."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stream.shell import clock
from stream.shell.worker import Worker

STALLED_SECONDS = 30.0
"""A worker whose timer has not run for this long is not healthy."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """Reads a worker; all but :meth:`refresh` from any thread."""

    worker: Worker
    registry: CollectorRegistry

    def unhealthy(self) -> str:
        """Say why the worker is better started anew; empty where it is well."""
        silent = clock.steady() - self.worker.last_tick
        return "" if silent < STALLED_SECONDS else f"stalled: the timer has not run for {silent:.0f} s"

    def unready(self) -> str:
        """Say what the worker still waits for, or what has stood still; empty where it is ready.

        A worker that gets nowhere is not ready for as long again as it has stood still, then it ends.
        """
        if not self.worker.is_ready:
            return "partitions are being assigned or restored"
        return self.worker.watchdog.lacking

    async def refresh(self) -> None:
        """Bring the gauges up to date, on the worker's own loop."""
        self.worker.collect()

    async def collected(self) -> CollectorRegistry:
        """Give the metrics as they are now."""
        await self.refresh()
        return self.registry


def new_registry() -> CollectorRegistry:
    """Make a registry that knows of the process already: its memory, CPU, files and garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
