"""What the consumer group is told: how far each partition is, for people and tools. No event waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from faust.types import TP

ANSWER_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 1.0
"""How long the group may take to answer, and how long after that it is told again."""


class Noted:
    """Tells a group offsets, again where it did not hear."""

    def __init__(self, note: Callable[[Mapping[TP, int]], Awaitable[bool]]) -> None:
        """Let *note* tell them, and say whether it was heard."""
        self._note = note
        self._untold: dict[TP, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, offsets: Mapping[TP, int]) -> None:
        """Tell *offsets* when what was to be told before has been heard."""
        self._untold |= offsets
        if self._untold and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell_for_ever())

    async def tell_last(self, offsets: Mapping[TP, int]) -> None:
        """Tell *offsets*, and what is not told yet, once: nobody is here to do it again."""
        untold, self._untold = self._untold, {}
        await self._was_heard({**untold, **offsets})

    async def _tell_for_ever(self) -> None:
        while self._untold:
            offsets, self._untold = self._untold, {}
            if not await self._was_heard(offsets):
                self._untold = offsets | self._untold
                await asyncio.sleep(AGAIN_SECONDS)

    async def _was_heard(self, offsets: Mapping[TP, int]) -> bool:
        with suppress(TimeoutError):
            return not offsets or await asyncio.wait_for(self._note(offsets), ANSWER_SECONDS)
        return False
