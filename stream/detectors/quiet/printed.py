"""Printed: a baseline as one can hold against another one: its size, whether it still grows, its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stream.detectors.quiet.baseline import COMPLETE_READINGS, COMPLETE_SECONDS
from stream.detectors.quiet.records import WATCHING, Columns

_encode = msgspec.json.Encoder().encode


class Printed(NamedTuple):
    """The baseline of a series: its readings, the time of its first, whether it grows, its digest.

    The time is in seconds since the epoch. The digest is the SHA-256, in hex, of a JSON array without spaces:
    the readings, the sum of each column, and the bounds of the cells, finite ones only, where there are any.
    What the hour and the day of the week add to it is no part of it.
    """

    readings: int
    began: float
    is_frozen: bool
    digest: str


def printed(columns: Columns, place: int, *, cells: bool) -> Printed:
    """Give the baseline of the series at *place*; with *cells* its readings are counted into cells."""
    n, began = float(columns.base_n[place]), float(columns.began[place])
    is_complete = n >= COMPLETE_READINGS and float(columns.latest[place]) - began >= COMPLETE_SECONDS
    is_held = int(columns.alarmed[place]) != WATCHING or bool(columns.frozen[place])
    width = int(columns.cells[place]) if cells else columns.base.shape[1]
    edges = columns.edges[place].tolist() if cells else []
    finite = [edge for edge in edges if abs(edge) < float("inf")]
    digest = digest_of(n, columns.base[place, :width].tolist(), finite)
    return Printed(int(n), began, is_complete or is_held, digest)


def digest_of(readings: float, sums: Sequence[float], edges: Sequence[float]) -> str:
    """Give the digest of a baseline: so many *readings*, their *sums*, the finite *edges* of its cells."""
    return hashlib.sha256(_encode([readings, sums, edges])).hexdigest()
