"""The ids that were taken lately, so that an event that is delivered twice counts once."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from stream.core.hashed import FEW, Hashes, HashIndex, distinct, hashes_of
from stream.core.packed import PackedIds, decode_ids
from stream.core.rows import UNREADABLE, chunk_number

CHUNK_IDS = 2_048
"""Ids that one row of state holds."""


class SeenIds:
    """Remembers at least the last *bound* ids of one model and topic, and at most two chunks more.

    Beyond that the oldest chunk is forgotten. What is known of an id is its hash, ``hash(id)``: see
    :class:`HashIndex` for the odds that two ids are one. An id takes about 50 bytes. The keys of *index*,
    which others may share, are those hashes with the *salt*; it says in which chunk an id is.
    """

    def __init__(self, bound: int, index: HashIndex | None = None) -> None:
        """Keep what is known in *index*, which those of all models of a pipeline share; else alone."""
        self._bound = bound
        self._index = HashIndex() if index is None else index
        self.salt = self._index.new_salt()
        self._closed: dict[int, Hashes] = {}
        self._number = 0
        self._open = PackedIds()
        self._open_hashes = array("q")
        self._open_changed = False
        self._unwritten: dict[int, bytes | None] = {}
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __contains__(self, event_id: str) -> bool:
        return self._index.get(hash(event_id) ^ self.salt) >= 0

    def add(self, event_id: str) -> None:
        """Remember *event_id*, which is not known."""
        own = hash(event_id)
        self._index.set(own ^ self.salt, self._number)
        self._open.append(event_id)
        self._open_hashes.append(own)
        self._live += 1
        self._open_changed = True
        if len(self._open) >= CHUNK_IDS:
            self._close()

    def add_new(self, ids: Sequence[str], hashes: Hashes) -> bool:
        """Remember *ids*, in this order; False, and nothing is done, where one is known or stands twice.

        *hashes* are those of the ids, shape (n,).
        """
        keys = hashes ^ self.salt
        if len(ids) <= FEW:
            few = keys.tolist()
            if len(set(few)) < len(few) or any(self._index.get(key) >= 0 for key in few):
                return False
            for event_id in ids:
                self.add(event_id)
            return True
        slots = self._index.claim(keys)
        if slots is None:
            return False
        self._index.put(slots, (self.position + np.arange(len(ids))) // CHUNK_IDS)
        self.append(ids, hashes)
        return True

    @property
    def position(self) -> int:
        """Where the next id will be: :data:`CHUNK_IDS` times the number of its chunk, and its place there."""
        return self._number * CHUNK_IDS + len(self._open)

    def append(self, ids: Sequence[str], hashes: Hashes) -> None:
        """Remember *ids*, whose chunks the index knows already; *hashes* are theirs, shape (n,)."""
        start = 0
        while start < len(ids):
            stop = start + CHUNK_IDS - len(self._open)
            self._open.extend(ids[start:stop])
            self._open_hashes.frombytes(hashes[start:stop].tobytes())
            self._open_changed = True
            if len(self._open) >= CHUNK_IDS:
                self._close()
            start = stop
        self._live += len(ids)

    def release(self) -> None:
        """Forget all: the model is watched no longer."""
        for hashes in (*self._closed.values(), np.frombuffer(self._open_hashes, dtype=np.int64)):
            self._index.remove(hashes ^ self.salt)
        self._live = 0

    def rows(self) -> dict[str, bytes | None]:
        """Give the chunks that changed since the last call, by number; None for one that is forgotten."""
        changed, self._unwritten = self._unwritten, {}
        if self._open_changed:
            changed[self._number] = self._open.row()
            self._open_changed = False
        return {str(number): row for number, row in changed.items()}

    def restore(self, rows: dict[str, bytes]) -> list[str]:
        """Take the chunks that :meth:`rows` gave; give the numbers of those that cannot be read.

        Nothing is remembered yet.
        """
        chunks: dict[int, list[str]] = {}
        unreadable: list[str] = []
        for number, row in rows.items():
            try:
                chunks[chunk_number(number)] = decode_ids(row)
            except UNREADABLE:
                unreadable.append(number)
        self._number = max(chunks, default=0)
        self._open = PackedIds(chunks.get(self._number, ()))
        hashes = {place: hashes_of(chunks[place]) for place in sorted(chunks)}
        if not self._remember(hashes):
            hashes = {place: self._remember_anyhow(place, of_chunk) for place, of_chunk in hashes.items()}
        self._open_hashes = array("q", hashes.pop(self._number, np.empty(0, dtype=np.int64)).tobytes())
        self._closed = hashes
        if len(self._open) >= CHUNK_IDS:
            self._close()
        return unreadable

    def _remember(self, hashes: dict[int, Hashes]) -> bool:
        """Index the hashes of chunks by number; False, and nothing is done, where one is there twice."""
        keys = np.concatenate([np.empty(0, dtype=np.int64), *hashes.values()]) ^ self.salt
        slots = self._index.claim(keys)
        if slots is None:
            return False
        self._index.put(slots, np.repeat(list(hashes), list(map(len, hashes.values()))))
        self._live += len(keys)
        return True

    def _remember_anyhow(self, number: int, hashes: Hashes) -> Hashes:
        """Index the hashes of a chunk; give those that no chunk before it has."""
        hashes = distinct(hashes)
        hashes = hashes[self._index.find(hashes ^ self.salt) < 0]
        self._index.insert(hashes ^ self.salt, np.full(len(hashes), number))
        self._live += len(hashes)
        return hashes

    def _close(self) -> None:
        self._unwritten[self._number] = self._open.row()
        self._closed[self._number] = np.array(self._open_hashes, dtype=np.int64)
        self._number += 1
        self._open = PackedIds()
        self._open_hashes = array("q")
        self._open_changed = False
        while (len(self._closed) - 1) * CHUNK_IDS >= self._bound:
            oldest = next(iter(self._closed))
            forgotten = self._closed.pop(oldest)
            self._index.remove(forgotten ^ self.salt)
            self._live -= len(forgotten)
            self._unwritten[oldest] = None
