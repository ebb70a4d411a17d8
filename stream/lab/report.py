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


def page(
    results: Results, planned: int, size: Size, command: str, charts: Sequence[tuple[str, str]], folder: str
) -> str:
    """Write the page of a run of *planned* jobs; *charts* are (title, file name) in *folder* beside the page."""
    judged = targets.judge(results, size)
    lines = [
        "# Alarm quality",
        "",
        "Made by",
        "",
        "```sh",
        command,
        "```",
        "",
        f"with Driftline {__version__}, river {version('river')}, numpy {version('numpy')}. The code that was measured:",
        f"{_digests(results)}. The same command on the same code writes the same page.",
        "",
        _extent(len(results), planned, size),
        "",
        _verdicts(judged),
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


def _digests(results: Results) -> str:
    done = {job.experiment for job in results}
    return ", ".join(f"`{code_digest(name)[:8]}` ({name})" for name in EXPERIMENTS if name in done)


def _extent(done: int, planned: int, size: Size) -> str:
    whole = "All" if done == planned else f"**{done} of"
    end = "" if done == planned else "**; what is missing below was not run"
    return (
        f"{whole} {planned} jobs of this size are done{end}. The size is {size.runs} copies of {size.days:g} days where nothing\n"
        f"changes (four times as many of a number, of which a fourth is declared; fewer for detectors that promise nothing), {size.runs} copies of each abrupt change, {size.seeds} seeds of\n"
        "each injected fault. Each table says how much stands behind a line: where that is\n"
        "less than the size, its verdict rests on less."
    )


def _verdicts(judged: Sequence[targets.Target]) -> str:
    held = sum(one.holds is True for one in judged)
    missed = sum(one.holds is False for one in judged)
    left = len(judged) - held - missed
    said = f"Of {len(judged)} targets, {held} hold and {missed} are missed"
    return f"{said}; {left} are not judged: the run is too small." if left else f"{said}."


def between_markers(text: str) -> str:
    """Give the table between the markers; raises ValueError where there is none."""
    _, begin, rest = text.partition(BEGIN)
    table, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no table between {BEGIN} and {END}")
    return table.strip()
