"""The report in Markdown: the command that makes it, the targets, then a section for each experiment."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from stream import __version__
from stream.lab import sections, targets
from stream.lab.job import EXPERIMENTS, code_digest
from stream.lab.merged import Results
from stream.lab.plan import WATCHERS, Size

BEGIN: Final = "<!-- alarm quality: begin -->"
END: Final = "<!-- alarm quality: end -->"
"""Around the table that the README shows too; a test compares them."""


def page(results: Results, size: Size, command: str, charts: Sequence[tuple[str, str]], folder: str) -> str:
    """Write the page; *charts* are (title, file name) in *folder*, relative to the page."""
    judged = targets.judge(results, size)
    held = sum(one.holds is True for one in judged)
    missed = sum(one.holds is False for one in judged)
    done = {job.experiment for job in results}
    lines = [
        "# Alarm quality",
        "",
        "Made by",
        "",
        "```sh",
        command,
        "```",
        "",
        f"with Driftline {__version__}, river {version('river')}, numpy {version('numpy')}; the code that was",
        "measured has the digests " + ", ".join(f"{code_digest(name)[:8]} ({name})" for name in EXPERIMENTS if name in done) + ".",
        "The same command on the same code writes the same page. Nothing here is an estimate of anything but the",
        f"streams named: {size.runs} copies of {size.days:g} days where nothing changes, {size.runs} copies of each",
        f"abrupt change, {size.seeds} seeds of each injected fault.",
        "",
        f"Of the targets, {held} hold and {missed} are missed"
        + (f"; {len(judged) - held - missed} are not judged: the run is too small." if held + missed < len(judged) else "."),
        "",
        BEGIN,
        *targets.table(judged),
        END,
        "",
    ]  # fmt: skip
    for title, name in charts:
        lines += [f"![{title}]({folder}/{name})", ""]
    lines += sections.detectors(WATCHERS.values())
    for write in (
        sections.false_alarms,
        sections.delays,
        sections.shapes,
        sections.faults,
        sections.flights,
        sections.flights_through_the_pipeline,
        sections.annotated,
    ):
        lines += write(results)
    return "\n".join(lines).rstrip() + "\n"


def between_markers(text: str) -> str:
    """Give the table between the markers; raises ValueError where there is none."""
    _, begin, rest = text.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no table between {BEGIN} and {END}")
    return table.strip()
