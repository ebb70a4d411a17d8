"""What is kept of a prediction that waits, in 27 bytes: how outputs and scores become numbers, and back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.hashed import Hashes
from stream.core.scalars import Numbers, Scalars
from stream.core.segments import Named

ENTRY: Final = np.dtype(
    [("time", "<f8"), ("score", "<f8"), ("value", "<i8"), ("version", "<u2"), ("kind", "u1")]
)
"""One prediction: 27 bytes. *version* is a place in its chunk's versions.

*kind* says what *value* is, as of scalars, with :data:`SCORED` added where *score* counts; of a text it is a
place in the chunk's texts.
"""

SCORED: Final = 8

ENTRY_BYTES: Final = ENTRY.itemsize
KIND_BYTE: Final = ENTRY_BYTES - 1
ENTRY_STRUCT: Final = struct.Struct("<ddqHB")


class Newcomers(NamedTuple):
    """Predictions that are to wait, in columns of shape (n,).

    Ids with their hashes, times in seconds since the epoch, and what else is kept; integers have 64 bits.
    """

    ids: Sequence[str]
    hashes: Hashes
    times: NDArray[np.float64]
    versions: Sequence[Named]
    outputs: Scalars
    scores: Numbers


class Entries(NamedTuple):
    """Newcomers as entries, shape (n,), whose places in a chunk's versions and texts are still 0."""

    entries: NDArray[np.void]
    with_text: bool


def entries_of(new: Newcomers) -> Entries:
    """Make entries of newcomers."""
    entries = np.zeros(len(new.ids), dtype=ENTRY)
    entries["time"] = new.times
    entries["value"] = new.outputs.values
    absent = np.isnan(new.scores)
    if absent.any():
        entries["score"] = np.where(absent, 0.0, new.scores)
        entries["kind"] = new.outputs.kinds + SCORED * ~absent
    else:
        entries["score"] = new.scores
        entries["kind"] = new.outputs.kinds + SCORED
    return Entries(entries, new.outputs.texts is not None)


def kinds_of(entries: NDArray[np.void]) -> NDArray[np.uint8]:
    """Give the kinds of *entries*, without what they say of the score."""
    kinds: NDArray[np.uint8] = entries["kind"] & ~np.uint8(SCORED)
    return kinds


def scores_of(entries: NDArray[np.void]) -> Numbers:
    """Give the scores of *entries*, shape (n,)."""
    scores: Numbers = np.where(entries["kind"] & SCORED, entries["score"], np.nan)
    return scores
