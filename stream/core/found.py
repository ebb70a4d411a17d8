"""What was found of predictions that wait: read off their chunks, as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.chunks import SHIFT, Slots
from stream.core.entries import kinds_of, scores_of
from stream.core.hashed import Places
from stream.core.scalars import TEXT, Numbers, Objects, Scalars, objects_of
from stream.core.segments import Named


class Found(NamedTuple):
    """Predictions that wait, in columns of shape (n,), as they came; times in seconds since the epoch."""

    times: NDArray[np.float64]
    versions: list[Named]
    outputs: Scalars
    scores: Numbers


def found_at(slots: Slots, places: Places, entries: NDArray[np.void]) -> Found:
    """Give the predictions at *places* of *slots*, where *entries* stand, both of shape (n,)."""
    chunks, slot = slots.chunks, places >> SHIFT
    there = np.flatnonzero(np.bincount(slot)).tolist()
    kinds, values = kinds_of(entries), entries["value"].copy()
    versions = _named(slot, {own: chunks[own].versions for own in there}, entries["version"])
    texts, is_text = None, kinds == TEXT
    if is_text.any():
        texts = np.full(len(places), None)
        known = {own: chunks[own].texts for own in there}
        texts[is_text] = _named(slot[is_text], known, values[is_text])
        values[is_text] = 0
    return Found(entries["time"], versions.tolist(), Scalars(kinds, values, texts), scores_of(entries))


def _named(
    slots: Places, names: Mapping[int, Sequence[object]], codes: NDArray[np.uint16] | NDArray[np.int64]
) -> Objects:
    """Give what *codes* mean, each in the list of *names* of its slot; both of shape (n,)."""
    if len(names) == 1:
        only: Objects = objects_of(*names.values())[codes]
        return only
    starts = np.zeros(max(names) + 1, dtype=np.int64)
    listed: list[object] = []
    for slot, own in names.items():
        starts[slot] = len(listed)
        listed += own
    named: Objects = objects_of(listed)[starts[slots] + codes]
    return named
