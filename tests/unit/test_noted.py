"""What the group is told: everything in the end, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from faust.types import TP

from stream.shell import noted
from stream.shell.noted import Noted

ONE, TWO = TP("predictions", 0), TP("predictions", 1)


class Group:
    """Notes what it is told, and is deaf at first, so many times."""

    def __init__(self, deaf: int = 0) -> None:
        self.deaf = deaf
        self.heard = asyncio.Condition()
        self.told: list[Mapping[TP, int]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def note(self, offsets: Mapping[TP, int]) -> bool:
        await self.answers.wait()
        async with self.heard:
            self.told.append(dict(offsets))
            self.heard.notify_all()
        return len(self.told) > self.deaf

    async def was_told(self, times: int) -> None:
        async with asyncio.timeout(30), self.heard:
            await self.heard.wait_for(lambda: len(self.told) >= times)


async def test_what_the_group_did_not_hear_it_is_told_again_with_what_is_newer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(noted, "AGAIN_SECONDS", 0.0)
    group = Group(deaf=1)
    group.answers.clear()
    telling = Noted(group.note)
    telling.tell({ONE: 1, TWO: 1})
    await asyncio.sleep(0)
    telling.tell({ONE: 2})
    group.answers.set()
    await group.was_told(2)
    assert group.told == [{ONE: 1, TWO: 1}, {ONE: 2, TWO: 1}]


async def test_a_group_that_does_not_answer_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noted, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(noted, "AGAIN_SECONDS", 0.0)
    group = Group()
    group.answers.clear()
    telling = Noted(group.note)
    telling.tell({ONE: 1})
    await asyncio.sleep(0.01)
    assert group.told == []
    monkeypatch.setattr(noted, "ANSWER_SECONDS", 30.0)
    group.answers.set()
    await group.was_told(1)
    assert group.told == [{ONE: 1}]


async def test_who_leaves_tells_once_all_that_is_untold() -> None:
    group = Group(deaf=2)
    telling = Noted(group.note)
    telling.tell({ONE: 1})
    await telling.tell_last({TWO: 5})
    assert group.told == [{ONE: 1, TWO: 5}]
    await telling.tell_last({})
    assert len(group.told) == 1


async def test_nothing_is_told_where_there_is_nothing_to_tell() -> None:
    group = Group()
    Noted(group.note).tell({})
    await asyncio.sleep(0)
    assert group.told == []
