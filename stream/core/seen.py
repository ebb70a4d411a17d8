"""The ids that were taken lately, so that an event that is delivered twice counts once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.core.hashed import Hashes, HashIndex

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

    @property
    def room(self) -> int:
        """How many ids, at least one, may be added: none is forgotten before the last of them."""
        return CHUNK_IDS - len(self._open)

    def known(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Tell which of the ids with *hashes*, shape (n,), are remembered.

        It holds until :attr:`room` ids were added; those are known as well.
        """
        return self._index.find(hashes) >= 0

    def add(self, event_id: str) -> None:
        """Remember *event_id*, which is not known."""
        self._index.set(hash(event_id), self._number)
        self._open.append(event_id)
        self._open_changed = True
        if len(self._open) >= CHUNK_IDS:
            self._close()

    def add_many(self, ids: Sequence[str], hashes: Hashes) -> None:
        """Remember *ids*, which differ and are not known, in this order; *hashes* are theirs, shape (n,)."""
        start = 0
        while start < len(ids):
            part = slice(start, start + self.room)
            of_part = hashes[part]
            self._index.insert(of_part, np.full(len(of_part), self._number))
            self._open += ids[part]
            self._open_changed = True
            if len(self._open) >= CHUNK_IDS:
                self._close()
            start = part.stop

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
                chunks[int(number)] = _decode(row)
            except (msgspec.DecodeError, ValueError):
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
        hashes = np.unique(_hashes(ids))
        hashes = hashes[self._index.find(hashes) < 0]
        self._index.insert(hashes, np.full(len(hashes), number))
        return hashes

    def _close(self) -> None:
        self._unwritten[self._number] = _encode(self._open)
        hashes = _hashes(self._open)
        self._closed[self._number] = hashes[self._index.find(hashes) == self._number]
        self._number += 1
        self._open = []
        self._open_changed = False
        while (len(self._closed) - 1) * CHUNK_IDS >= self._bound:
            oldest = next(iter(self._closed))
            self._index.remove(self._closed.pop(oldest))
            self._unwritten[oldest] = None


def _hashes(ids: Sequence[str]) -> Hashes:
    return np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))
