"""An event loop in a thread of its own, for what must not wait until a step of the core is done.

A step keeps the main thread for tens of milliseconds. A transaction asks the broker three things, one after
the other, and would wait for a step each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")


async def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Do *work* here: for who has no other thread."""
    return await work


class Aside:
    """Does what is brought to it in its own thread, from :meth:`start` to :meth:`stop`."""

    def __init__(self) -> None:
        self._is_up = Event()
        self._thread = Thread(target=self._run, name="aside", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._is_over: asyncio.Event

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._is_up.wait()

    def _run(self) -> None:
        asyncio.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        self._is_up.set()
        await self._is_over.wait()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do *work* there; what it gives or raises is given or raised here. Who is cancelled cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def stop(self) -> None:
        """Cancel what is still being done there, and end the thread; nothing where it was never started."""
        if self._is_up.is_set():
            self._loop.call_soon_threadsafe(self._is_over.set)
            await asyncio.to_thread(self._thread.join)
