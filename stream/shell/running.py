"""Running: a worker until it is asked to stop, or cannot go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stream.shell.worker import Worker


async def run_until(
    worker: Worker, stop: asyncio.Event, on_end: Callable[[BaseException | None], None] = lambda _reason: None
) -> BaseException | None:
    """Run *worker* until *stop* is set or it cannot go on; give the reason in that case.

    *on_end* is told before the worker disconnects, which takes time where the broker is gone.
    """
    running = asyncio.ensure_future(worker.run())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    reason: BaseException | None = running.exception() if running.done() else None
    on_end(reason)
    for task in (running, stopping):
        task.cancel()
    await asyncio.gather(running, stopping, return_exceptions=True)
    await worker.stop(in_good_order=reason is None)
    return reason
