"""The ids that were taken lately, so that an event that is delivered twice counts once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

CHUNK_IDS = 2_048
"""Ids that one row of state holds."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[str]).decode


class SeenIds:
    """Remembers at least the last *bound* ids, and at most two chunks more.

    Beyond that the oldest chunk is forgotten. Closed chunks keep the ids' 64-bit hashes alone: two of a
    million ids collide with a probability of 3e-8.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._hashes: set[int] = set()
        self._closed: dict[int, list[int]] = {}
        self._number = 0
        self._open: list[str] = []
        self._open_changed = False
        self._unwritten: dict[int, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, event_id: str) -> bool:
        return hash(event_id) in self._hashes

    def add(self, event_id: str) -> None:
        """Remember *event_id*, which is not known."""
        self._hashes.add(hash(event_id))
        self._open.append(event_id)
        self._open_changed = True
        if len(self._open) >= CHUNK_IDS:
            self._close()

    def is_disjoint(self, hashes: Sequence[int]) -> bool:
        """Tell whether none of the ids with these *hashes* is known."""
        return self._hashes.isdisjoint(hashes)

    def add_many(self, ids: Sequence[str], hashes: Sequence[int]) -> None:
        """Remember *ids*, none of which is known, with their *hashes*."""
        for event_id in ids:
            self.add(event_id)

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
        for place in sorted(chunks):
            self._closed[place] = [hash(event_id) for event_id in chunks[place]]
            self._hashes.update(self._closed[place])
        self._hashes.update(map(hash, self._open))
        if len(self._open) >= CHUNK_IDS:
            self._close()
        return unreadable

    def _close(self) -> None:
        self._unwritten[self._number] = _encode(self._open)
        self._closed[self._number] = [hash(event_id) for event_id in self._open]
        self._number += 1
        self._open = []
        self._open_changed = False
        while (len(self._closed) - 1) * CHUNK_IDS >= self._bound:
            oldest = next(iter(self._closed))
            self._hashes.difference_update(self._closed.pop(oldest))
            self._unwritten[oldest] = None
