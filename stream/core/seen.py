"""The ids that were taken lately, so that an event that is delivered twice counts once."""

from __future__ import annotations

from collections import deque

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
        self._closed: deque[list[int]] = deque()
        self._first = 0
        self._open: list[str] = []
        self._open_changed = False
        self._unwritten: dict[int, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, event_id: str) -> bool:
        """Remember *event_id*; False when it was known."""
        hashed = hash(event_id)
        if hashed in self._hashes:
            return False
        self._hashes.add(hashed)
        self._open.append(event_id)
        self._open_changed = True
        if len(self._open) >= CHUNK_IDS:
            self._close()
        return True

    def rows(self) -> dict[str, bytes | None]:
        """Give the chunks that changed since the last call, by chunk number."""
        changed, self._unwritten = self._unwritten, {}
        if self._open_changed:
            changed[self._first + len(self._closed)] = _encode(self._open)
            self._open_changed = False
        return {str(number): row for number, row in changed.items()}

    def keys(self) -> list[str]:
        """Give the chunk numbers that rows exist for."""
        return [str(self._first + place) for place in range(len(self._closed) + 1)]

    def restore(self, rows: dict[str, bytes]) -> None:
        """Take the chunks that :meth:`rows` gave; raises msgspec.DecodeError where one cannot be read."""
        numbers = sorted(int(number) for number in rows)
        for number in numbers:
            ids = _decode(rows[str(number)])
            hashes = [hash(event_id) for event_id in ids]
            self._hashes.update(hashes)
            if len(ids) >= CHUNK_IDS or number != numbers[-1]:
                self._closed.append(hashes)
            else:
                self._open = ids
        if numbers:
            self._first = numbers[0]

    def _close(self) -> None:
        self._unwritten[self._first + len(self._closed)] = _encode(self._open)
        self._closed.append([hash(event_id) for event_id in self._open])
        self._open = []
        self._open_changed = False
        while (len(self._closed) - 1) * CHUNK_IDS >= self._bound:
            self._hashes.difference_update(self._closed.popleft())
            self._unwritten[self._first] = None
            self._first += 1
