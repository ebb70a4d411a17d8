"""Turns of the event loop."""

from __future__ import annotations

import asyncio


async def settled() -> None:
    """Let all that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)
