"""The watchdog: ends a worker that gets nowhere while there is something to do, with what it was doing."""

from __future__ import annotations

from collections.abc import Mapping


class StalledError(Exception):
    """The worker gets nowhere: whoever runs it had better start it anew."""


class Watchdog:
    """Counts for how long things that change while all is well have not changed.

    Looks are counted, not seconds: a process that was stopped for a while is given time to catch up.
    """

    def __init__(self, every_seconds: float, stall_seconds: float) -> None:
        """Be asked *every_seconds*; bear *stall_seconds* of standing still."""
        self.lacking = ""
        """What has not changed for half of the time that is borne; empty where all goes on."""
        self._every = every_seconds
        self._borne = stall_seconds
        self._before: Mapping[str, object] = {}
        self._looks: dict[str, int] = {}

    def look(self, signs: Mapping[str, object]) -> None:
        """Take what is to be seen now, by what is wrong where it stays as it is.

        Raises StalledError where something has stayed for too long.
        """
        self._looks = {
            lack: self._looks.get(lack, 0) + 1 if lack in self._before and self._before[lack] == sign else 0
            for lack, sign in signs.items()
        }
        self._before = signs
        self.lacking = ""
        for lack, count in self._looks.items():
            seconds = count * self._every
            if seconds > self._borne:
                raise StalledError(f"{lack} for {seconds:.0f} s")
            if seconds > self._borne / 2:
                self.lacking = f"{lack} for {seconds:.0f} s"
