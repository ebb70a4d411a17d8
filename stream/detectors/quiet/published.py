"""Published: a baseline with all that a test asks of it, given by one series and taken over by another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from schemas.baselines import HOURS, READINGS_LEAST, RUNGS, WEEKDAYS, PublishedBaseline
from stream.detectors.quiet import baseline, bins, season, settled
from stream.detectors.quiet.records import DAY, WATCHING, Columns

_SEASONS: Final = (("hour", HOURS), ("weekday", WEEKDAYS))


def given(columns: Columns, place: int, *, cells: bool) -> dict[str, Any] | None:
    """Give what of a published baseline of the series at *place* is quiet's; None where it is too small."""
    if columns.base_n[place] < READINGS_LEAST:
        return None
    width = int(columns.cells[place]) if cells else 1
    fields: dict[str, Any] = {
        "readings": float(columns.base_n[place]),
        "since": datetime.fromtimestamp(float(columns.began[place]), UTC),
        "until": datetime.fromtimestamp(float(columns.latest[place]), UTC),
        "sums": np.maximum(columns.base[place, :width], 0.0).tolist(),
        "noise": list(
            zip(
                columns.rung_n[place].tolist(),
                columns.rung_q[place].tolist(),
                columns.rung_qq[place].tolist(),
                strict=True,
            )
        ),
    }
    if cells:
        fields["readings"] = sum(fields["sums"])  # without its season a cell may have held less than nothing
        fields["edges"] = columns.edges[place, : width - 1].tolist()
        fields["middles"] = columns.middles[place, :width].tolist()
    if columns.seasonal[place]:
        for name, _ in _SEASONS:
            n, visits, total = (getattr(columns, f"{name}_{part}")[place] for part in ("n", "visits", "sum"))
            fields[f"{name}s"] = np.column_stack((n, visits, total[:, :width])).tolist()
        on = columns.season_on[place].tolist()
        fields["season"] = (bool(on[0]), bool(on[1]), bool(columns.week_known[place]))
    return fields


def take(columns: Columns, place: int, own: PublishedBaseline, at: float, *, cells: bool) -> None:
    """Begin the series at *place*, of which nothing was read yet, with a published baseline.

    Its first reading comes *at* that time, in seconds since the epoch.
    """
    width = len(own.sums)
    columns.base_n[place] = own.readings
    columns.base[place, :width] = own.sums
    columns.seen[place] = own.readings
    columns.began[place], columns.latest[place] = own.since.timestamp(), at
    rungs = np.array(own.noise, dtype=np.float64).reshape(RUNGS, 3)
    columns.rung_n[place], columns.rung_q[place], columns.rung_qq[place] = rungs.T
    columns.alarmed[place] = WATCHING
    is_learned = baseline.is_learned(columns.seen[place], columns.latest[place], columns.began[place])
    if is_learned:
        settled.turn(columns, np.array([place]))
    if cells:
        columns.edges[place] = np.inf
        columns.edges[place, : width - 1] = own.edges
        columns.middles[place, :width] = own.middles
        columns.cells[place], columns.other[place] = width, -1
        columns.learned[place] = bins.LEARNED_BLOCKS
    day = int(own.until.timestamp() // DAY)
    if not (columns.seasonal[place] and own.hours and own.weekdays):
        return
    for (name, size), rows in zip(_SEASONS, (own.hours, own.weekdays), strict=True):
        table = np.array(rows, dtype=np.float64).reshape(size, 2 + width)
        getattr(columns, f"{name}_n")[place] = table[:, 0]
        getattr(columns, f"{name}_visits")[place] = table[:, 1]
        getattr(columns, f"{name}_sum")[place, :, :width] = table[:, 2:]
        getattr(columns, f"{name}_day")[place] = day
    columns.season_on[place], columns.week_known[place] = own.season[:2], own.season[2]
    season.refresh(columns, place, day, width if cells else 0)
