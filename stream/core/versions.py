"""Versions: which version each prediction of a batch is of, found for all of its models at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.decoded import Decoded
from stream.core.nouns import Topic
from stream.core.orders import order_of

Places = NDArray[np.intp]


class Versions(NamedTuple):
    """The versions of several models, those of a model side by side in the order in which they come.

    *names* are theirs, *newest* the places in the batch of the last prediction of each. *of_row* are the
    places among these of the version of each prediction of the batch, shape (n,).
    """

    names: list[str]
    newest: Places
    of_row: Places


class Own(NamedTuple):
    """The versions of one model: those from *start* to before *stop* of those of all of them."""

    all: Versions
    start: int
    stop: int

    def names(self) -> list[str]:
        """Give their names, in the order in which they come."""
        return self.all.names[self.start : self.stop]

    def newest(self) -> Places:
        """Give the place in the batch of the last prediction of each."""
        return self.all.newest[self.start : self.stop]


def versions_in(decoded: Decoded, part: range, of_event: Places, models: int) -> Sequence[Own]:
    """Give the versions of so many *models*; *of_event* is the number of that of each event in *part*."""
    which = np.flatnonzero(decoded.topics[part.start : part.stop] == Topic.PREDICTIONS)
    if not len(which):
        return [Own(Versions([], which, which), 0, 0)] * models
    rows = decoded.rows[which + part.start]
    named = decoded.predicted.versions[rows[0] : rows[-1] + 1].tolist()
    number_of = defaultdict[str, int](count().__next__)
    numbers = np.fromiter(map(number_of.__getitem__, named), dtype=np.intp, count=len(named))
    names, different = list(number_of), len(number_of)
    keys = of_event[which] * different + numbers
    order = order_of(keys, models * different)
    ends = np.flatnonzero(np.diff(keys[order], append=-1)) + 1
    starts = np.concatenate(([0], ends[:-1]))
    model, number = np.divmod(keys[order[starts]], different)
    turns = np.lexsort((order[starts], model))
    places = np.empty(len(turns), dtype=np.intp)
    places[turns] = np.arange(len(turns))
    of_row = np.zeros(len(decoded.predicted), dtype=np.intp)
    of_row[rows[order]] = places.repeat(ends - starts)
    newest = which[order[ends[turns] - 1]] + part.start
    all_of_them = Versions([names[one] for one in number[turns].tolist()], newest, of_row)
    edges = np.concatenate(([0], np.bincount(model, minlength=models).cumsum())).tolist()
    return [Own(all_of_them, start, stop) for start, stop in pairwise(edges)]
