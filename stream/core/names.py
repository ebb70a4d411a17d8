"""Names: those of the models of some events, each once, and for each event which of them is its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import cast, overload

import numpy as np
from numpy.typing import NDArray

from stream.core.scalars import objects_of

Codes = NDArray[np.intp]


class Names(Sequence[str]):
    """Names, shape (n,): those that are *distinct* in the order in which they come first, and their *codes*.

    A code, of shape (n,) as well, is the place of a name among the distinct ones.
    """

    __slots__ = ("codes", "distinct")

    def __init__(self, distinct: Sequence[str], codes: Codes) -> None:
        self.distinct = distinct
        self.codes = codes

    @classmethod
    def of(cls, columns: Sequence[Sequence[str]], places: Sequence[NDArray[np.intp]]) -> Names:
        """Put *columns* of names together, each name at its place among *places*, which are 0 to before n."""
        number = sum(map(len, columns))
        if (only := _only_name(columns)) is not None:
            return cls([only], np.zeros(number, dtype=np.intp))
        code_of = defaultdict[str, int](count().__next__)
        codes = np.empty(number, dtype=np.intp)
        for column, own in zip(columns, places, strict=True):
            codes[own] = np.fromiter(map(code_of.__getitem__, column), dtype=np.intp, count=len(column))
        return _in_order(list(code_of), codes)

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        """Give one name, or a part of them."""
        if isinstance(index, slice):
            return _in_order(self.distinct, self.codes[index])
        return self.distinct[int(self.codes[index])]

    def __iter__(self) -> Iterator[str]:
        """Give the names one by one."""
        return iter(cast("list[str]", objects_of(self.distinct)[self.codes].tolist()))


def _in_order(names: Sequence[str], codes: Codes) -> Names:
    """Give what *codes* mean, places among different *names*, in the order in which these come first."""
    number = len(codes)
    if len(names) == 1 and number:
        return Names(names, codes)
    first = np.full(len(names), number)
    first[codes[::-1]] = np.arange(number)[::-1]  # of several at one place the last stays
    order = np.argsort(first)[: np.count_nonzero(first < number)]
    ranks = np.empty(len(names), dtype=np.intp)
    ranks[order] = np.arange(len(order))
    return Names([names[place] for place in order.tolist()], ranks[codes])


def _only_name(columns: Sequence[Sequence[str]]) -> str | None:
    """Give the name that all of them are, where they are one."""
    there = [column for column in columns if column]
    if there and all(column.count(there[0][0]) == len(column) for column in there):
        return there[0][0]
    return None
