"""The table of alarm quality in the README is the one that the laboratory wrote."""

from __future__ import annotations

from stream.lab.report import between_markers
from tests.repo.generated import DOCS, README

PAGE = DOCS / "alarm-quality.md"


def test_the_readme_shows_the_table_of_the_report() -> None:
    """After `make lab`, `python -m tests.repo.generated` puts it there."""
    assert between_markers(README.read_text()) == between_markers(PAGE.read_text())
