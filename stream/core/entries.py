"""What is kept of a prediction that waits, in 27 bytes: how outputs and scores become numbers, and back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.hashed import Hashes
from stream.core.segments import Named

Output = bool | int | float | str | None

ENTRY: Final = np.dtype(
    [("time", "<f8"), ("score", "<f8"), ("value", "<i8"), ("version", "<u2"), ("kind", "u1")]
)
"""One prediction: 27 bytes. *version* is a place in its chunk's versions.

*kind* says what *value* is, with :data:`SCORED` added where *score* counts.
"""

GONE, NONE, FALSE, TRUE, INT, FLOAT, TEXT = range(7)
"""Kinds: waits no longer; the outputs None, False and True, which have no value; an integer; the bits of a
float; a place in the chunk's texts."""
SCORED: Final = 8

ENTRY_BYTES: Final = ENTRY.itemsize
KIND_BYTE: Final = ENTRY_BYTES - 1
ENTRY_STRUCT: Final = struct.Struct("<ddqHB")

_float = struct.Struct("<d")
_bits = struct.Struct("<q")
_KIND_OF: Final = {type(None): NONE, bool: FALSE, int: INT, float: FLOAT, str: TEXT}


class Newcomers(NamedTuple):
    """Predictions that are to wait, in columns of shape (n,).

    Ids with their hashes, times in seconds since the epoch, and what else is kept; integers have 64 bits.
    """

    ids: Sequence[str]
    hashes: Hashes
    times: NDArray[np.float64]
    versions: Sequence[Named]
    outputs: Sequence[Output]
    scores: Sequence[float | None]

    def part(self, start: int, stop: int) -> Newcomers:
        """Give those from *start* to before *stop*."""
        if start == 0 and stop == len(self.ids):
            return self
        own = slice(start, stop)
        ids, hashes, times, versions, outputs, scores = self
        return Newcomers(ids[own], hashes[own], times[own], versions[own], outputs[own], scores[own])


class Entries(NamedTuple):
    """Newcomers as entries, shape (n,), whose places in a chunk's versions and texts are still 0."""

    entries: NDArray[np.void]
    with_text: bool

    def part(self, start: int, stop: int) -> Entries:
        """Give those from *start* to before *stop*."""
        return Entries(self.entries[start:stop], self.with_text)


def entries_of(new: Newcomers) -> Entries:
    """Make entries of newcomers. Outputs of one type, as most are, need no look at each."""
    entries = np.zeros(len(new.ids), dtype=ENTRY)
    entries["time"] = new.times
    kinds, entries["value"] = _codes(new.outputs)
    if None in new.scores:
        is_scored = np.array([score is not None for score in new.scores])
        entries["score"] = [0.0 if score is None else score for score in new.scores]
        kinds = kinds + SCORED * is_scored
    else:
        entries["score"] = new.scores
        kinds = kinds + SCORED
    entries["kind"] = kinds
    return Entries(entries, str in set(map(type, new.outputs)))


def kinds_of(entries: NDArray[np.void]) -> NDArray[np.uint8]:
    """Give the kinds of *entries*, without what they say of the score."""
    kinds: NDArray[np.uint8] = entries["kind"] & ~np.uint8(SCORED)
    return kinds


def scores_of(entries: NDArray[np.void]) -> list[float | None]:
    """Give the scores of *entries*, None where there is none."""
    scores: list[float | None] = entries["score"].tolist()
    is_scored = entries["kind"] & SCORED
    if is_scored.all():
        return scores
    return [score if there else None for score, there in zip(scores, is_scored.tolist(), strict=True)]


def coded(output: Output) -> tuple[int, int]:
    """Give the kind and the value of an output; of a text the value is 0."""
    if output is None:
        return NONE, 0
    if isinstance(output, bool):
        return TRUE if output else FALSE, 0
    if isinstance(output, int):
        return INT, output
    if isinstance(output, float):
        bits: int = _bits.unpack(_float.pack(output))[0]
        return FLOAT, bits
    return TEXT, 0


def output_of(kind: int, value: int, texts: Sequence[str]) -> Output:
    """Give the output of that kind, without what it says of the score, and value."""
    if kind == INT:
        return value
    if kind == FLOAT:
        number: float = _float.unpack(_bits.pack(value))[0]
        return number
    if kind == TEXT:
        return texts[value]
    return None if kind == NONE else kind == TRUE


def _codes(outputs: Sequence[Output]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    types = set(map(type, outputs))
    kind = _KIND_OF[types.pop()] if len(types) == 1 else GONE
    number = len(outputs)
    kinds = np.full(number, kind, dtype=np.uint8)
    if kind == INT:
        return kinds, np.array(outputs, dtype=np.int64)
    if kind == FLOAT:
        return kinds, np.array(outputs, dtype=np.float64).view(np.int64)
    if kind == FALSE:
        return kinds + np.array(outputs, dtype=np.uint8), np.zeros(number, dtype=np.int64)
    if kind in {NONE, TEXT}:
        return kinds, np.zeros(number, dtype=np.int64)
    each = [coded(output) for output in outputs]
    kinds = np.fromiter((kind for kind, _ in each), dtype=np.uint8, count=number)
    return kinds, np.fromiter((value for _, value in each), dtype=np.int64, count=number)
