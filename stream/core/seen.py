"""The ids that were taken lately, so that an event that is delivered twice counts once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from stream.core.hashed import FEW, Hashes, HashIndex, hashes_of
from stream.core.rows import UNREADABLE, chunk_number

CHUNK_IDS = 2_048
"""Ids that one row of state holds."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class SeenIds:
    """Remembers at least the last *bound* ids, and at most two chunks more.

    Beyond that the oldest chunk is forgotten. What is known of an id is its hash, ``hash(id)``: see
    :class:`HashIndex` for the odds that two ids are one. An id takes about 50 bytes.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._index = HashIndex()
        self._closed: dict[int, Hashes] = {}
        self._number = 0
        self._open: list[str] = []
        self._open_changed = False
        self._unwritten: dict[int, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, event_id: str) -> bool:
        return self._index.get(hash(event_id)) >= 0

    def add(self, event_id: str) -> None:
        """Remember *event_id*, which is not known."""
        self._index.set(hash(event_id), self._number)
        self._open.append(event_id)
        self._open_changed = True
        if len(self._open) >= CHUNK_IDS:
            self._close()

    def add_new(self, ids: Sequence[str], hashes: Hashes) -> bool:
        """Remember *ids*, which differ, in this order; False, and nothing is done, where one is known.

        *hashes* are those of the ids, shape (n,).
        """
        if len(ids) <= FEW:
            if any(self._index.get(key) >= 0 for key in hashes.tolist()):
                return False
            for event_id in ids:
                self.add(event_id)
            return True
        slots = self._index.claim(hashes)
        if slots is None:
            return False
        self._index.put(slots, self._number + (len(self._open) + np.arange(len(ids))) // CHUNK_IDS)
        start = 0
        while start < len(ids):
            stop = start + CHUNK_IDS - len(self._open)
            self._open += ids[start:stop]
            self._open_changed = True
            if len(self._open) >= CHUNK_IDS:
                self._close()
            start = stop
        return True

    def rows(self) -> dict[str, bytes | None]:
        """Give the chunks that changed since the last call, by number; None for one that is forgotten."""
        changed, self._unwritten = self._unwritten, {}
        if self._open_changed:
            changed[self._number] = _encode(self._open)
            self._open_changed = False
        return {str(number): row for number, row in changed.items()}

    def restore(self, rows: dict[str, bytes]) -> list[str]:
        """Take the chunks that :meth:`rows` gave; give the numbers of those that cannot be read."""
        chunks: dict[int, list[str]] = {}
        unreadable: list[str] = []
        for number, row in rows.items():
            try:
                chunks[chunk_number(number)] = _decode(row)
            except UNREADABLE:
                unreadable.append(number)
        self._number = max(chunks, default=0)
        self._open = chunks.pop(self._number, [])
        self._index = HashIndex(len(self._open) + sum(map(len, chunks.values())))
        for place in sorted(chunks):
            self._closed[place] = self._remember(place, chunks[place])
        self._remember(self._number, self._open)
        if len(self._open) >= CHUNK_IDS:
            self._close()
        return unreadable

    def _remember(self, number: int, ids: list[str]) -> Hashes:
        """Index the ids of a chunk; give the hashes of those that no chunk before it has."""
        hashes = np.unique(hashes_of(ids))
        hashes = hashes[self._index.find(hashes) < 0]
        self._index.insert(hashes, np.full(len(hashes), number))
        return hashes

    def _close(self) -> None:
        self._unwritten[self._number] = _encode(self._open)
        hashes = hashes_of(self._open)
        self._closed[self._number] = hashes[self._index.find(hashes) == self._number]
        self._number += 1
        self._open = []
        self._open_changed = False
        while (len(self._closed) - 1) * CHUNK_IDS >= self._bound:
            oldest = next(iter(self._closed))
            self._index.remove(self._closed.pop(oldest))
            self._unwritten[oldest] = None
