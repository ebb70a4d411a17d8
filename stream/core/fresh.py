"""Predictions that came lately, of all models side by side, before each model files its own.

To put a few predictions behind those of each model, step by step, costs more by the models than by the
predictions: what is written to was not touched since the step before. So what a step brings is put into
chunks that the models share. What still waits of it some steps later, or when a model must know the order of
its own, is filed by model, all at once. Labels that come soon find their predictions here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.core.chunks import SHIFT, Slots
from stream.core.entries import Entries, Newcomers
from stream.core.found import found_at
from stream.core.hashed import HashIndex, Places, hashes_of
from stream.core.kept import Chunk
from stream.core.scalars import objects_of

CHUNKS_MAX: Final = 16
"""Shared chunks from which on what waits in them is filed."""

SHARED: Final = -2
"""The number of a shared chunk: it has no row of state."""


class Owner(Protocol):
    """Predictions of one model, some of which wait with those of others until they are filed."""

    salt: int

    def wait_with_others(self, number: int, earliest: float) -> None:
        """Take note of so many predictions, the earliest of that time in epoch seconds."""

    def append(self, new: Newcomers, entries: Entries, start: int, stop: int) -> Places:
        """Put those from *start* to before *stop* behind the owner's; give their places."""

    def filed(self) -> None:
        """Take note that nothing waits with others any more."""


class Part(NamedTuple):
    """Predictions of one *owner*: those from *start* to before *stop* of some that came together."""

    owner: Owner
    start: int
    stop: int


class Fresh:
    """What came lately of all models: chunks in order of arrival, and whose their predictions are."""

    def __init__(self, index: HashIndex, slots: Slots) -> None:
        self._index = index
        self._slots = slots
        self._chunks: list[Chunk] = []
        self._owners: list[tuple[Owner, int]] = []

    @property
    def is_full(self) -> bool:
        """Whether what waits is to be filed before more comes."""
        return len(self._chunks) >= CHUNKS_MAX

    def add(
        self, new: Newcomers, entries: Entries, parts: Sequence[Part]
    ) -> Iterator[tuple[int, int, Places]]:
        """Let *parts* of *new* wait, none of them empty and in order; give the places of each run of them.

        A run is said by where it begins and ends in *new*.
        """
        if not parts:
            return
        edges = np.array([part.start for part in parts])
        earliest = np.minimum.reduceat(new.times, edges).tolist()  # where parts are left out, of those too
        for (owner, start, stop), time in zip(parts, earliest, strict=True):
            owner.wait_with_others(stop - start, time)
            self._owners.append((owner, stop - start))
        for start, stop in _runs(parts):
            first = start
            while first < stop:
                chunk = self._last()
                end = min(stop, first + chunk.room)
                place = chunk.first_place + chunk.size
                chunk.extend(new, entries, first, end)
                yield first, end, np.arange(place, place + end - first)
                first = end

    def among(self, places: Places) -> NDArray[np.bool_]:
        """Tell which of *places*, shape (n,), are those of predictions that are not filed."""
        if not self._chunks:
            return np.zeros(len(places), dtype=np.bool_)
        return np.isin(places >> SHIFT, [chunk.slot for chunk in self._chunks])

    def file(self) -> None:
        """File what waits, by model; places change."""
        chunks, self._chunks = self._chunks, []
        owners, self._owners = self._owners, []
        turn_of = {owner: turn for turn, owner in enumerate(dict.fromkeys(owner for owner, _ in owners))}
        for owner in turn_of:
            owner.filed()
        there = [chunk.live_offsets() for chunk in chunks]
        if any(map(len, there)):
            turns = np.repeat([turn_of[owner] for owner, _ in owners], [number for _, number in owners])
            self._file(chunks, there, list(turn_of), turns)
        for chunk in chunks:
            self._slots.drop(chunk)

    def _file(
        self, chunks: Sequence[Chunk], there: Sequence[Places], owners: Sequence[Owner], turns: Places
    ) -> None:
        """File what is *there*, offsets in each of *chunks*; *turns* tell whose all that came there was."""
        starts = np.cumsum([0, *(chunk.size for chunk in chunks[:-1])])
        of = turns[np.concatenate([own + start for own, start in zip(there, starts, strict=True)])]
        order = np.argsort(of, kind="stable")
        places = np.concatenate([own + chunk.first_place for own, chunk in zip(there, chunks, strict=True)])
        ids = np.concatenate([objects_of(chunk.ids())[own] for own, chunk in zip(there, chunks, strict=True)])
        of, places, sorted_ids = of[order], places[order], ids[order].tolist()
        entries = self._slots.entries_at(places)
        found = found_at(self._slots, places, entries)
        new = Newcomers(sorted_ids, hashes_of(sorted_ids), *found)
        ends = np.bincount(of, minlength=len(owners)).cumsum().tolist()
        filed = [
            owner.append(new, Entries(entries, found.outputs.texts is not None), start, stop)
            for owner, (start, stop) in zip(owners, pairwise([0, *ends]), strict=True)
            if start < stop
        ]
        salts = np.array([owner.salt for owner in owners])[of]
        self._index.move(new.hashes ^ salts, np.concatenate(filed))

    def _last(self) -> Chunk:
        """Give the chunk that takes the next prediction, with room for one."""
        if not self._chunks or not self._chunks[-1].room:
            chunk = Chunk(SHARED, -1)
            self._slots.hold(chunk, None)
            self._chunks.append(chunk)
        return self._chunks[-1]


def _runs(parts: Sequence[Part]) -> Iterator[tuple[int, int]]:
    """Give where *parts* that follow each other without a gap begin and end."""
    begin = end = parts[0].start
    for _, start, stop in parts:
        if start != end:
            yield begin, end
            begin = start
        end = stop
    yield begin, end
