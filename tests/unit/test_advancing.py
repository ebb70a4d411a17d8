"""Several partitions of one worker: each has its turn, whatever the others wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from stream.core.merge import Merge
from stream.core.nouns import Topic
from stream.shell.fuller import Fuller
from stream.shell.noted import Noted
from stream.shell.worker import Worker


class Steps:
    """A partition that has always more to do, and whose checkpoint ends when it is let."""

    def __init__(self, number: int, *, is_due: bool) -> None:
        self.number = number
        self.merge = Merge({}, max_idle=0.0)
        self.is_due = is_due
        self.steps = 0
        self.stepped = asyncio.Event()
        self.saved = asyncio.Event()
        self.error: Exception | None = None

    async def advance(self, _empty_at: Mapping[Topic, float]) -> int:
        await asyncio.sleep(0)
        self.steps += 1
        self.stepped.set()
        return 1

    def is_checkpoint_due(self, _seconds: float) -> bool:
        return self.is_due

    async def checkpoint(self) -> Mapping[Topic, int]:
        await self.saved.wait()
        self.is_due = False
        if self.error is not None:
            raise self.error
        return {}

    async def steps_again(self) -> None:
        self.stepped.clear()
        await asyncio.wait_for(self.stepped.wait(), 30.0)


def a_worker(*partitions: Steps) -> Any:  # noqa: ANN401 - its private parts are looked at
    worker: Any = object.__new__(Worker)
    worker._partitions = {one.number: one for one in partitions}
    worker._saving, worker._inputs = {}, {}
    worker._news, worker.room = asyncio.Event(), asyncio.Event()
    worker._options = SimpleNamespace(checkpoint_seconds=5.0)
    worker._fuller = Fuller({}, lambda: worker, worker._news)
    worker._noted = Noted(lambda _offsets: asyncio.sleep(0, result=True))
    worker._empty_at = lambda _partition: {}
    worker._news.set()
    return worker


async def test_a_partition_that_writes_its_checkpoint_keeps_nobody_waiting_nor_itself() -> None:
    saving, other = Steps(0, is_due=True), Steps(1, is_due=False)
    worker = a_worker(saving, other)
    running = asyncio.create_task(worker._advance_for_ever())
    for _ in range(5):
        await other.steps_again()
        await saving.steps_again()
    assert (worker.room.is_set(), list(worker._saving)) == (True, [0])
    first = worker._saving[0]
    assert not first.done()
    saving.saved.set()
    await first
    running.cancel()


async def test_a_checkpoint_that_fails_ends_the_worker() -> None:
    saving, other = Steps(0, is_due=True), Steps(1, is_due=False)
    worker = a_worker(saving, other)
    running = asyncio.create_task(worker._advance_for_ever())
    await other.steps_again()
    saving.error = RuntimeError("the state takes nothing")
    saving.saved.set()
    with pytest.raises(RuntimeError, match="the state takes nothing"):
        await asyncio.wait_for(running, 30.0)


async def test_a_checkpoint_under_way_is_not_begun_again() -> None:
    saving = Steps(0, is_due=True)
    worker = a_worker(saving)
    worker._save_if_due(saving)
    first = worker._saving[0]
    worker._save_if_due(saving)
    assert worker._saving == {0: first}
    saving.saved.set()
    await first
    assert worker._news.is_set()
