"""Targets, rows and the page that says which targets hold; what is missed is called missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Target:
    """What a row has to reach: at least or at most *bound*."""

    relation: str
    bound: float

    def holds(self, value: float) -> bool:
        """Tell whether *value* reaches it."""
        return value >= self.bound if self.relation == ">=" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table: a value with its spread, or *missing*, the reason why there is none.

    *judged* is false where the run was too small to say whether the target holds.
    """

    name: str
    broker: str
    unit: str
    target: Target | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""
    judged: bool = True

    def verdict(self) -> str:
        """Give 'holds' or 'missed', or why neither can be said."""
        if self.value is None:
            return self.missing or "not available"
        if self.target is None:
            return "for comparison"
        said = "holds" if self.target.holds(self.value) else "missed"
        return said if self.judged else f"{said} at a tenth of the size: not judged"


@dataclass(frozen=True, slots=True)
class Report:
    """All that is published of one run of the benchmarks."""

    date: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    settings: str
    rows: Sequence[Row]
    figures: Sequence[tuple[str, str, Mapping[str, Sequence[float]]]]
    """Of every measure on every broker: its figures by name, one for each round."""


def markdown(report: Report) -> str:
    """Write the page."""
    missed = [row for row in report.rows if row.verdict() == "missed"]
    summary = (
        f"**{len(missed)} missed:** " + "; ".join(f"{_label(row)} ({_number(row.value)})" for row in missed)
        if missed
        else "No target that was measured is missed."
    )
    machine = "; ".join(f"{name} {value}" for name, value in report.machine.items())
    versions = ", ".join(f"{name} {value}" for name, value in report.versions.items())
    return "\n".join(
        [
            "# Benchmarks: results",
            "",
            "Written by `make bench`. Everything that is compared ran in turns (A B C A B C ...), so that a",
            "noisy machine disturbs all alike: trust the ratios, not the absolute numbers. A ratio is that",
            "of the medians; the spread is the smallest and the largest ratio of one round. A prediction and",
            "its label are two records and one unit of work; the bare loop has no labels to read. Where the",
            "share of a core is well below 1, something else had the core: only CPU-seconds count then.",
            "",
            f"- Date: {report.date}",
            f"- Machine: {machine}",
            f"- Versions: {versions}",
            f"- Run: {report.settings}",
            "",
            summary,
            "",
            *rows_table(report.rows),
            "",
            "## Medians",
            "",
            *_figures_table(report.figures),
            "",
        ]
    )


def rows_table(rows: Sequence[Row]) -> list[str]:
    """Give the lines of the table of rows."""
    lines = [
        "| what | broker | target | median | min..max | unit | target holds? |",
        "|---|---|---|--:|--:|---|---|",
    ]
    for row in rows:
        spread = "" if row.low is None else f"{_number(row.low)}..{_number(row.high)}"
        cells = (
            row.name,
            row.broker,
            str(row.target or "-"),
            _number(row.value),
            spread,
            row.unit,
            row.verdict(),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _figures_table(figures: Sequence[tuple[str, str, Mapping[str, Sequence[float]]]]) -> list[str]:
    lines = ["| measure | broker | figure | median | min..max | rounds |", "|---|---|---|--:|--:|--:|"]
    for measure, broker, of_measure in figures:
        for name, values in of_measure.items():
            spread = f"{_number(min(values))}..{_number(max(values))}"
            middle = _number(median(values))
            lines.append(f"| {measure} | {broker} | {name} | {middle} | {spread} | {len(values)} |")
    return lines


def _label(row: Row) -> str:
    return row.name if row.broker == "-" else f"{row.name} on {row.broker}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
