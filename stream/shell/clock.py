"""The only place that reads a clock."""

from __future__ import annotations

import time


def wall() -> float:
    """Give the time of day, in seconds since the epoch."""
    return time.time()


def steady() -> float:
    """Give seconds of a clock that never goes back; only differences mean anything."""
    return time.monotonic()


class Pauses:
    """Counts the times that this process was stopped: nothing looked here for more than *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._looked = steady()
        self.count = 0

    def look(self) -> int:
        """Give how many there were; to be called more often than every *seconds*."""
        now = steady()
        self.count += now - self._looked > self._seconds
        self._looked = now
        return self.count
