"""Runs: readings of many slots, grouped so that those of one slot stand side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Runs:
    """Where in a batch the readings of each slot stand, in the log's order: ``lengths`` from ``starts`` on.

    All have shape (m,); the slots are distinct, the runs follow each other without a gap.
    """

    slots: Places
    starts: Places
    lengths: Places

    def __len__(self) -> int:
        return len(self.slots)

    def without_first(self, numbers: Places) -> tuple[Runs, Places]:
        """Leave out the first *numbers*, shape (m,), of each run; give what is left and its places."""
        lengths = self.lengths - numbers
        some = lengths > 0
        places = ranges(self.starts + numbers, lengths)
        return runs_of(self.slots[some], lengths[some]), places


def runs_of(slots: Places, lengths: Places) -> Runs:
    """Give the runs of *lengths*, one after the other, of *slots*, which are distinct; shape (m,) both."""
    return Runs(slots, lengths.cumsum() - lengths, lengths)


def group(slots: Places) -> tuple[Runs, Places | None]:
    """Group readings by their *slots*, shape (n,); give the runs and the order that makes them.

    The order, shape (n,), leaves the readings of a slot in theirs; None where they stand in runs already.
    """
    starts = np.concatenate(([0], np.flatnonzero(slots[1:] != slots[:-1]) + 1)) if len(slots) else slots
    firsts = slots[starts]
    ordered = np.sort(firsts)
    order = None
    if (ordered[1:] == ordered[:-1]).any():
        bits = len(slots).bit_length()
        keys = np.sort((slots << bits) | np.arange(len(slots)))  # a key tells its place: ties cannot be
        order = keys & ((1 << bits) - 1)
        slots = keys >> bits
        starts = np.concatenate(([0], np.flatnonzero(slots[1:] != slots[:-1]) + 1))
        firsts = slots[starts]
    return Runs(firsts, starts, np.diff(starts, append=len(slots))), order


def ranges(starts: Places, lengths: Places) -> Places:
    """Give the places from *starts* on, *lengths* of each, one range after the other."""
    ends = lengths.cumsum()
    places: Places = (starts - ends + lengths).repeat(lengths)
    places += np.arange(len(places))
    return places


def grown(state: NDArray[Any], capacity: int, axis: int = 0) -> NDArray[Any]:
    """Give *state* with room for *capacity* along *axis*: what is new is 0 and takes no memory yet."""
    shape = list(state.shape)
    size, shape[axis] = shape[axis], capacity
    more = np.zeros(shape, dtype=state.dtype)
    more[(slice(None),) * axis + (slice(size),)] = state
    return more
