"""The only place that reads a clock."""

from __future__ import annotations

import time


def wall() -> float:
    """Give the time of day, in seconds since the epoch."""
    return time.time()


def steady() -> float:
    """Give seconds of a clock that never goes back; only differences mean anything."""
    return time.monotonic()
