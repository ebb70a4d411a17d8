"""Pages for a terminal: names that somebody sent cannot give it orders."""

from __future__ import annotations

import pytest

from stream.explain import table


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("feature:\N{LATIN SMALL LETTER U WITH DIAERESIS}ber uns", "feature:über uns"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("two\nlines", r"two\nlines"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}", r"\u202e"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(name: str, shown: str) -> None:
    assert table([("a", "series"), ("1", name)], {0}) == f"a  series\n1  {shown}\n"


def test_columns_are_as_wide_as_what_is_shown() -> None:
    assert table([("\n", "x"), ("12345", "y")], set()).splitlines() == [r"\n     x", "12345  y"]
