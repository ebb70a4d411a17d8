"""The chunks of what waits, in order of arrival: where each stands, and which rows of state changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.core.entries import ENTRY, ENTRY_BYTES
from stream.core.hashed import FEW, Places
from stream.core.kept import CHUNK_PLACES, Chunk
from stream.core.rows import UNREADABLE, chunk_number

CLOSED_FROM: Final = 256
"""Predictions with which a chunk is closed when it is written; with fewer it is written again as it grows."""

SPARSE: Final = 4
"""A chunk is packed when no more than one in so many of its predictions is left."""

PACKED_PLACES: Final = CHUNK_PLACES // 2
"""Predictions up to which neighbours are packed into one chunk."""

_FEW_A_CHUNK: Final = 8
"""Places a chunk from which on columns are faster than one place after the other."""

SHIFT: Final = CHUNK_PLACES.bit_length() - 1
OFFSET: Final = CHUNK_PLACES - 1
"""A place is its chunk's slot, shifted, and its offset there."""

_TAKEN: Final = "/taken"

_WHOLE: Final = np.dtype(f"V{ENTRY_BYTES}")
"""An entry as bytes that are moved together."""


_Part = tuple[Chunk, NDArray[np.int64], NDArray[np.intp]]


class Slots:
    """The chunks of all models of a pipeline, each in a slot, which is used again when the chunk is gone.

    The place of a prediction is that of its chunk's slot and its offset there. It stays below 2**31, for
    half a million slots: of so many predictions that they take 30 GB, were all chunks as sparse as may be.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self._homes: list[Chunks | None] = []
        self._none = Chunk(-1, -1)
        self._free: list[int] = []

    def hold(self, chunk: Chunk, home: Chunks | None) -> None:
        """Give *chunk*, one of those of *home* or one that models share, a slot."""
        if not self._free:
            self._free.append(len(self.chunks))
            self.chunks.append(self._none)
            self._homes.append(None)
        chunk.slot = self._free.pop()
        self.chunks[chunk.slot], self._homes[chunk.slot] = chunk, home

    def replace(self, chunk: Chunk) -> None:
        """Let *chunk* stand in its slot in place of the one that stands there."""
        self.chunks[chunk.slot] = chunk

    def drop(self, chunk: Chunk) -> None:
        """Let another chunk have the slot of *chunk*."""
        self.chunks[chunk.slot], self._homes[chunk.slot] = self._none, None
        self._free.append(chunk.slot)

    def entries_at(self, places: Places) -> NDArray[np.void]:
        """Give what stands at *places*, shape (n,), as entries."""
        parts = self._of_each(places)
        if parts is None:
            chunks = self.chunks
            starts = [(place >> SHIFT, (place & OFFSET) * ENTRY_BYTES) for place in places.tolist()]
            each = [chunks[slot].data[start : start + ENTRY_BYTES] for slot, start in starts]
            return np.frombuffer(b"".join(each), dtype=ENTRY)
        entries = np.empty(len(places), dtype=ENTRY)
        whole = entries.view(_WHOLE)  # field by field it would take five times as long
        for chunk, offsets, which in parts:
            whole[which] = chunk.entries.view(_WHOLE).take(offsets)
        return entries

    def take(self, places: Places) -> None:
        """Let the predictions at *places*, which differ and all wait, wait no longer."""
        parts = self._of_each(places)
        if parts is None:
            for place in places.tolist():
                slot = place >> SHIFT
                chunk, home = self.chunks[slot], self._homes[slot]
                chunk.take_one(place & OFFSET)
                if home is not None:
                    home.note(chunk, 1)
            return
        for chunk, offsets, _ in parts:
            home = self._homes[chunk.slot]
            chunk.take(offsets)
            if home is not None:
                home.note(chunk, len(offsets))

    def _of_each(self, places: Places) -> list[_Part] | None:
        """Give chunks, the offsets in each, and which of *places* these are; None where chunks are many."""
        if len(places) <= FEW:
            return None
        slots = places >> SHIFT
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        if len(starts) * _FEW_A_CHUNK > len(places):
            return None
        offsets = (places & OFFSET)[order]
        ends = [0, *starts.tolist(), len(places)]
        return [
            (self.chunks[slot], offsets[start:end], order[start:end])
            for slot, (start, end) in zip(ordered[ends[:-1]].tolist(), pairwise(ends), strict=True)
        ]


class Chunks:
    """Chunks of one model in order of arrival, the last of them open, none of the others empty.

    Each has a number, by which its rows are kept, and a slot among those of all models; *live* predictions
    wait in them.
    """

    def __init__(self, slots: Slots) -> None:
        self.live = 0
        self._slots = slots
        self._by_number: dict[int, Chunk] = {}
        self._order: list[int] = []
        self._next = 0
        self._sparse: set[int] = set()
        self._changed: set[int] = set()
        self._stored: set[int] = set()
        self._taken_stored: set[int] = set()

    def release(self) -> None:
        """Let go of all chunks: their model is watched no longer."""
        for chunk in self._by_number.values():
            self._slots.drop(chunk)
        self._by_number.clear()
        self._order.clear()
        self.live = 0

    def first(self) -> Chunk:
        """Give the chunk of the oldest prediction that waits; there is one."""
        return self._by_number[self._order[0]]

    def in_order(self) -> Iterator[Chunk]:
        """Give the chunks in order of arrival."""
        return (self._by_number[number] for number in self._order)

    def last(self) -> Chunk:
        """Give the chunk that takes the next prediction, with room for one; it is noted as changed."""
        if self._order:
            last = self._by_number[self._order[-1]]
            if last.is_open and last.room:
                self._changed.add(last.number)
                return last
            if last.is_open:
                self._close(last)
        chunk = Chunk(self._next, -1)
        self._next += 1
        self._hold(chunk)
        self._changed.add(chunk.number)
        return chunk

    def settle(self) -> None:
        """Close the last chunk before rows are asked for, unless it is small."""
        if self._order:
            last = self._by_number[self._order[-1]]
            if last.is_open and (last.size >= CLOSED_FROM or not last.live):
                self._close(last)

    def note(self, chunk: Chunk, taken: int) -> None:
        """Take note that so many predictions of *chunk* were taken; one that is empty is held no longer."""
        self.live -= taken
        self._changed.add(chunk.number)
        if chunk.is_open:
            return
        if not chunk.live:
            self._drop(chunk)
        elif chunk.live * SPARSE <= chunk.size:
            self._sparse.add(chunk.number)

    def rows(self) -> dict[str, bytes | None]:
        """Give the rows that changed since the last call; None for one that is no more."""
        rows: dict[str, bytes | None] = {}
        for number in sorted(self._changed):
            chunk = self._by_number.get(number)
            if chunk is None:
                rows |= self._void(number)
            elif chunk.is_unwritten:
                rows |= self._void(number)
                rows[str(number)] = chunk.row()
                chunk.is_unwritten = chunk.is_open
                self._stored.add(number)
            else:
                rows[f"{number}{_TAKEN}"] = chunk.taken_row()
                self._taken_stored.add(number)
        self._changed.clear()
        return rows

    def restore(self, rows: dict[str, bytes]) -> tuple[list[Chunk], list[str]]:
        """Give the chunks of *rows*, held in order of arrival, and the keys of those rows that are of no use.

        There are no chunks yet.
        """
        held: dict[int, bytes] = {}
        taken: dict[int, bytes] = {}
        unreadable: list[str] = []
        for key, row in rows.items():
            name = key.removesuffix(_TAKEN)
            try:
                (held if key == name else taken)[chunk_number(name)] = row
            except ValueError:
                unreadable.append(key)
        unreadable += [f"{number}{_TAKEN}" for number in taken if number not in held]
        self._next = max(held, default=-1) + 1
        chunks: list[Chunk] = []
        for number in sorted(held):
            chunk = Chunk(number, -1)
            try:
                chunk.restore(held[number], taken.get(number))
            except UNREADABLE:
                unreadable.append(str(number))
                unreadable += [f"{number}{_TAKEN}"] if number in taken else []
                continue
            self._stored.add(number)
            self._taken_stored |= {number} & taken.keys()
            if not chunk.live:
                self._changed.add(number)
                continue
            self._hold(chunk)
            self.live += chunk.live
            chunks.append(chunk)
            if chunk.live < CLOSED_FROM // 2 or chunk.live * SPARSE <= chunk.size:
                self._sparse.add(number)
        return chunks, unreadable

    @property
    def has_sparse(self) -> bool:
        """Whether there may be chunks of which little is left."""
        return bool(self._sparse)

    def pack_sparse(self) -> Iterator[Chunk]:
        """Pack the chunks of which little is left, with their neighbours; give those that come of it."""
        for number in sorted(self._sparse):
            chunk = self._by_number.get(number)
            if chunk is None:
                continue
            group = self._neighbours(chunk)
            if len(group) == 1 and chunk.live == chunk.size:
                continue
            packed = Chunk(group[0].number, group[0].slot)
            packed.pack(group)
            for other in group[1:]:
                self._drop(other)
            self._by_number[packed.number] = packed
            self._slots.replace(packed)
            self._changed.add(packed.number)
            yield packed
        self._sparse.clear()

    def _neighbours(self, chunk: Chunk) -> list[Chunk]:
        """Give *chunk* and those beside it to pack with it, in order: closed, and not much fuller than it.

        So a prediction is packed a few times, however many chunks come to be sparse beside it.
        """
        group, total = [chunk], chunk.live
        first = last = bisect_left(self._order, chunk.number)
        while first > 0 and _is_near(other := self._by_number[self._order[first - 1]], total):
            first, total = first - 1, total + other.live
            group.insert(0, other)
        while last + 1 < len(self._order) and _is_near(
            other := self._by_number[self._order[last + 1]], total
        ):
            last, total = last + 1, total + other.live
            group.append(other)
        return group

    def _hold(self, chunk: Chunk) -> None:
        self._slots.hold(chunk, self)
        self._by_number[chunk.number] = chunk
        self._order.append(chunk.number)

    def _close(self, chunk: Chunk) -> None:
        chunk.close()
        self.note(chunk, 0)

    def _drop(self, chunk: Chunk) -> None:
        del self._by_number[chunk.number]
        del self._order[bisect_left(self._order, chunk.number)]
        self._slots.drop(chunk)
        self._changed.add(chunk.number)

    def _void(self, number: int) -> dict[str, bytes | None]:
        """Delete the rows of chunk *number* that are stored."""
        rows: dict[str, bytes | None] = {}
        if number in self._stored:
            self._stored.discard(number)
            rows[str(number)] = None
        if number in self._taken_stored:
            self._taken_stored.discard(number)
            rows[f"{number}{_TAKEN}"] = None
        return rows


def _is_near(other: Chunk, total: int) -> bool:
    return not other.is_open and other.live <= 2 * total and other.live + total <= PACKED_PLACES
