"""A worker that gets nowhere is first not ready and then ended, by looks and not by the clock."""

from __future__ import annotations

import pytest

from stream.shell.watchdog import StalledError, Watchdog


def test_what_changes_is_never_lacking() -> None:
    watchdog = Watchdog(1.0, 4.0)
    for look in range(20):
        watchdog.look({"nothing was fetched": look})
        assert watchdog.lacking == ""


def test_what_stands_still_is_told_at_half_of_the_time_and_ends_it_at_the_whole() -> None:
    watchdog, told = Watchdog(1.0, 4.0), []
    for _ in range(5):
        watchdog.look({"nothing was fetched": 7})
        told.append(watchdog.lacking)
    with pytest.raises(StalledError, match="nothing was fetched for 5 s"):
        watchdog.look({"nothing was fetched": 7})
    assert told == ["", "", "", "nothing was fetched for 3 s", "nothing was fetched for 4 s"]


def test_what_goes_on_again_is_forgotten() -> None:
    watchdog = Watchdog(1.0, 4.0)
    for sign in (1, 1, 1, 1, 2):
        watchdog.look({"nothing was fetched": sign})
    assert watchdog.lacking == ""
    watchdog.look({})
    for _ in range(3):
        watchdog.look({"nothing was fetched": 2})
    assert watchdog.lacking == ""
