"""Segmented: the error of outcomes in the segments that their predictions are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np

from stream.core.forms import Forms
from stream.core.observe import Observer
from stream.core.scalars import Numbers
from stream.core.sheets import Block, Places


class Segmented(NamedTuple):
    """Outcomes of versions, those of a version side by side, and the segments of each.

    *runs* tell of each version which of *lanes* it is, and where it begins and ends; *places* are where the
    readings stand.
    """

    runs: Iterable[tuple[int, int, int]]
    lanes: Sequence[Observer]
    segments: Sequence[tuple[str, ...]]
    places: Places


def read_segments(
    outcomes: Segmented,
    errors: Numbers,
    forms: Forms,
    note: Callable[[str, int, Places], None],
) -> Iterator[Block]:
    """Give the *errors* of each version in each of its segments.

    Segments that are new find room or do not: then where they were named is given to *note*.
    """
    for lane, start, stop in outcomes.runs:
        observer, stands = outcomes.lanes[lane], outcomes.places[start:stop]
        pairs = zip(outcomes.segments[start:stop], errors[start:stop].tolist(), strict=True)
        told = [
            (place, name, error)
            for place, (names, error) in enumerate(pairs)
            if not isnan(error)
            for name in names
        ]
        if refused := observer.meet_segments([name for _, name, _ in told]):
            note("segments", lane, np.array([start + told[place][0] for place in refused]))
        form = observer.form(forms)
        values = np.full((len(form.segments), stop - start), np.nan)
        for place, name, error in told:
            if (code := form.segment_codes.get(name)) is not None:
                values[code, place] = error
        if len(values):
            yield Block(range(form.segment_at, form.segment_at + len(values)), stands, values)
