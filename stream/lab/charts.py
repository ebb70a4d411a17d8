"""The charts of the report, as SVG; the same results give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from stream.lab import lateness, merged
from stream.lab.changes import PATIENCE
from stream.lab.errors import LabError
from stream.lab.merged import Results
from stream.lab.plan import DEFAULT
from stream.lab.targets import AT_MOST, JUDGED_STEPS

_SETTINGS: Final = {
    "svg.hashsalt": "driftline",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_KINDS: Final = {"performance": "C3", "drift": "C0", "data_quality": "C1", "usage": "C2", "feedback": "C4"}


def draw(results: Results, directory: Path) -> list[tuple[str, str]]:
    """Write the charts that *results* have data for; give (title, file name) of each.

    Raises LabError where matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LabError(
            "charts need matplotlib: pip install 'driftline[lab]', or write the report with --no-charts"
        ) from error
    drawn: list[tuple[str, str]] = []
    with mpl.rc_context(_SETTINGS):
        for title, name, paint in (
            ("False alarms, measured over declared", "false-alarms.svg", _false_alarms),
            ("How late changes are found", "delays.svg", _delays),
            ("Incidents of the flights", "flights.svg", _flights),
        ):
            figure = Figure(layout="constrained")
            if paint(figure, results):
                directory.mkdir(parents=True, exist_ok=True)
                figure.savefig(
                    directory / name, format="svg", metadata={"Date": None, "Creator": "driftline lab"}
                )
                drawn.append((title, name))
    return drawn


def _false_alarms(figure: Any, results: Results) -> bool:
    rows = [row for row in merged.false_alarms(results) if row.detector == DEFAULT and row.declared]
    if not rows:
        return False
    figure.set_size_inches(7.0, 0.8 + 0.3 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        declared = row.declared or 1.0
        low, high = row.interval
        axes.plot([low / declared, high / declared], [place, place], color="C0", linewidth=2)
        axes.plot([row.alarms / declared], [place], "o", color="C0")
    axes.axvline(AT_MOST, color="C3", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.stream for row in rows])
    axes.set_xlim(left=0.0)
    axes.set_xlabel(f"measured / declared, with 95 % Poisson intervals; dashed: {AT_MOST}")
    return True


def _delays(figure: Any, results: Results) -> bool:
    rows = {(row.stream, row.detector): row for row in merged.delays(results)}
    streams = [stream for stream in JUDGED_STEPS if (stream, DEFAULT) in rows]
    if not streams:
        return False
    figure.set_size_inches(8.0, 2.8)
    for axes, stream in zip(np.ravel(figure.subplots(1, len(streams), sharey=True)), streams, strict=True):
        for detector, colour in ((lateness.ORACLE, "black"), (DEFAULT, "C0")):
            row = rows.get((stream, detector))
            if row is not None:
                late = sorted(PATIENCE if delay is None else delay for delay in row.delays)
                axes.plot(late, np.arange(1, len(late) + 1) / len(late), color=colour, label=detector)
        axes.set_xlabel("readings after the change")
        axes.set_title(stream, fontsize=9)
    figure.axes[0].set_ylabel("share found")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return True


def _flights(figure: Any, results: Results) -> bool:
    runs = [result for _, result in merged.of(results, "flights through the pipeline")]
    if not runs:
        return False
    figure.set_size_inches(8.0, 0.9 + 0.5 * len(runs))
    axes = figure.subplots()
    for kind, days, places in _marks(runs):
        axes.plot(days, places, "|", markersize=14, color=_KINDS.get(kind, "C7"), label=kind)
    axes.set_yticks(range(len(runs)), [f"from day {run['shift']}" for run in runs])
    axes.set_ylim(-0.6, len(runs) - 0.4)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return True


def _marks(runs: Sequence[Any]) -> Iterator[tuple[str, list[datetime], list[int]]]:
    kinds = sorted({one["kind"] for run in runs for one in run["incidents"]})
    for kind in kinds:
        of_kind = [
            (datetime.fromisoformat(one["at"]), place)
            for place, run in enumerate(runs)
            for one in run["incidents"]
            if one["kind"] == kind
        ]
        yield kind, [day for day, _ in of_kind], [place for _, place in of_kind]
