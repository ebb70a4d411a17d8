"""A thread for what must not wait for the main thread's work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from stream.shell.aside import Aside


@pytest_asyncio.fixture
async def aside() -> AsyncIterator[Aside]:
    aside = Aside()
    aside.start()
    yield aside
    await aside.stop()


async def test_work_goes_on_there_while_this_thread_is_busy(aside: Aside) -> None:
    done = threading.Event()

    async def work() -> str:
        await asyncio.sleep(0)
        done.set()
        return threading.current_thread().name

    doing = asyncio.create_task(aside.do(work()))
    await asyncio.sleep(0)
    assert done.wait(30.0)  # no turn of the event loop here
    assert await doing == "aside"


async def test_what_it_raises_is_raised_here(aside: Aside) -> None:
    async def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await aside.do(work())


async def test_who_is_cancelled_cancels_it(aside: Aside) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    doing = asyncio.create_task(aside.do(work()))
    await asyncio.to_thread(begun.wait, 30.0)
    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing
    assert await asyncio.to_thread(cancelled.wait, 30.0)


async def test_to_stop_cancels_what_is_left() -> None:
    aside = Aside()
    aside.start()
    doing = asyncio.create_task(aside.do(asyncio.sleep(3_600)))
    await asyncio.sleep(0)
    await aside.stop()
    with pytest.raises(asyncio.CancelledError):
        await doing


async def test_what_was_never_started_can_be_stopped() -> None:
    await Aside().stop()
