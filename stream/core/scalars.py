"""Scalars: classes and quantities, as models answer and labels say them, in columns of numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
"""A column in which NaN stands for what is not there: no event has one of its own."""

Objects = NDArray[np.object_]

Output = bool | int | float | str | None

GONE, NONE, FALSE, TRUE, INT, FLOAT, TEXT = range(7)
"""Kinds: what waits no longer; None, False and True, which have no value; an integer; the bits of a float; a
text."""

_KIND_OF: Final = {type(None): NONE, bool: FALSE, int: INT, float: FLOAT, str: TEXT}
_float = struct.Struct("<d")
_bits = struct.Struct("<q")


class Scalars(NamedTuple):
    """A column of scalars, shape (n,) each: of what *kinds* they are, and their *values*.

    *texts* are those that are texts, None elsewhere; None alone where there is none.
    """

    kinds: NDArray[np.uint8]
    values: NDArray[np.int64]
    texts: Objects | None = None

    @classmethod
    def of(cls, column: Sequence[Output]) -> Scalars:
        """Put a column into numbers. One of a single type, as most are, needs no look at each."""
        types = set(map(type, column))
        kind = _KIND_OF[types.pop()] if len(types) == 1 else GONE
        number = len(column)
        kinds = np.full(number, kind, dtype=np.uint8)
        if kind == INT:
            return cls(kinds, np.array(column, dtype=np.int64))
        if kind == FLOAT:
            return cls(kinds, np.array(column, dtype=np.float64).view(np.int64))
        if kind == FALSE:
            return cls(kinds + np.array(column, dtype=np.uint8), np.zeros(number, dtype=np.int64))
        if kind in {NONE, TEXT}:
            texts = objects_of(column) if kind == TEXT else None
            return cls(kinds, np.zeros(number, dtype=np.int64), texts)
        each = [coded(one) for one in column]
        kinds = np.array([kind for kind, _ in each], dtype=np.uint8)
        texts = objects_of([one if isinstance(one, str) else None for one in column])
        values = np.array([value for _, value in each], dtype=np.int64)
        return cls(kinds, values, texts if TEXT in kinds else None)

    @classmethod
    def joined(cls, parts: Sequence[Scalars]) -> Scalars:
        """Put columns one behind the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of([])
        texts = None
        if any(part.texts is not None for part in parts):
            none = (np.full(len(part.kinds), None) if part.texts is None else part.texts for part in parts)
            texts = np.concatenate(list(none))
        kinds = np.concatenate([part.kinds for part in parts])
        return cls(kinds, np.concatenate([part.values for part in parts]), texts)

    def take(self, which: slice | NDArray[Any]) -> Scalars:
        """Give those at the places *which*, or where a mask holds."""
        texts = None if self.texts is None else self.texts[which]
        return Scalars(self.kinds[which], self.values[which], texts)

    def at(self, place: int) -> Output:
        """Give one as it was."""
        text = "" if self.texts is None else self.texts[place]
        return scalar_of(int(self.kinds[place]), int(self.values[place]), text)

    def list(self) -> list[Output]:
        """Give all as they were."""
        return [self.at(place) for place in range(len(self.kinds))]

    def kind(self) -> int:
        """Give the kind of all of them, FALSE where all are true or false; GONE where they differ."""
        if not len(self.kinds):
            return GONE
        least, most = int(self.kinds.min()), int(self.kinds.max())
        if least == most or (least, most) == (FALSE, TRUE):
            return FALSE if least == TRUE else least
        return GONE

    def numbers(self) -> Numbers:
        """Give them as numbers; what is none is NaN."""
        kind = self.kind()
        if kind == INT:
            return self.values.astype(np.float64)
        if kind == FLOAT:
            return self.values.view(np.float64)
        if kind == FALSE:
            return np.asarray(self.kinds == TRUE, dtype=np.float64)
        numbers: Numbers = np.where(self.kinds == FLOAT, self.values.view(np.float64), np.nan)
        is_whole = self.kinds == INT
        numbers[is_whole] = self.values[is_whole]
        numbers[self.kinds == FALSE] = 0.0
        numbers[self.kinds == TRUE] = 1.0
        return numbers


def coded(scalar: Output) -> tuple[int, int]:
    """Give the kind and the value of a scalar; of a text the value is 0."""
    if scalar is None:
        return NONE, 0
    if isinstance(scalar, bool):
        return TRUE if scalar else FALSE, 0
    if isinstance(scalar, int):
        return INT, scalar
    if isinstance(scalar, float):
        bits: int = _bits.unpack(_float.pack(scalar))[0]
        return FLOAT, bits
    return TEXT, 0


def scalar_of(kind: int, value: int, text: str) -> Output:
    """Give the scalar of that kind and value; *text* is what it is where it is one."""
    if kind == INT:
        return value
    if kind == FLOAT:
        number: float = _float.unpack(_bits.pack(value))[0]
        return number
    if kind == TEXT:
        return text
    return None if kind == NONE else kind == TRUE


def objects_of(column: Sequence[object]) -> Objects:
    """Put objects into an array, which is picked from faster than a list."""
    made = np.empty(len(column), dtype=np.object_)
    made[:] = column
    return made


def numbers_of(column: Sequence[float | None]) -> Numbers:
    """Give a column of numbers, None among them, as numbers.

    To pack them takes half of the time, takes numbers alone, and tells where there is something else.
    """
    try:
        return np.frombuffer(bytearray(struct.pack(f"{len(column)}d", *column)))
    except struct.error:
        return np.array(column, dtype=np.float64)
