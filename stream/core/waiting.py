"""Feedback that waits for its prediction: entries by id, in order of arrival, within a bound."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from stream.core.rows import UNREADABLE, chunk_number

CHUNK_ENTRIES = 256
"""Entries that one row of state holds."""


class Timed(Protocol):
    """Anything with a time."""

    @property
    def time(self) -> float:
        """Seconds since the epoch."""
        ...


T = TypeVar("T", bound=Timed)


class Waiting(Generic[T]):
    """Entries by id, in order of arrival, at most *bound*; the oldest make room for new ones.

    Entries stand in chunks by arrival, each chunk a row of state, so that a checkpoint writes only the chunks
    that changed.
    """

    def __init__(self, bound: int, entry: type[T]) -> None:
        self._bound = bound
        self._chunk_of: dict[str, int] = {}
        self._chunks: dict[int, dict[str, T]] = {}
        self._next = 0
        self._room = 0
        self._changed: set[int] = set()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(dict[str, entry]).decode  # type: ignore[valid-type]

    def __len__(self) -> int:
        return len(self._chunk_of)

    def __contains__(self, key: str) -> bool:
        return key in self._chunk_of

    def add(self, key: str, entry: T) -> int:
        """Let *entry* wait under *key* (replacing what waited there); give how many were evicted for it."""
        if key in self._chunk_of:
            self.take(key)
        if self._room == 0:
            if self._chunks.get(self._next - 1) == {}:
                del self._chunks[self._next - 1]
            self._chunks[self._next] = {}
            self._next += 1
            self._room = CHUNK_ENTRIES
        number = self._next - 1
        self._chunks[number][key] = entry
        self._chunk_of[key] = number
        self._room -= 1
        self._changed.add(number)
        evicted = 0
        while len(self._chunk_of) > self._bound and (oldest := self._oldest()):
            self.take(oldest[0])
            evicted += 1
        return evicted

    def get(self, key: str) -> T | None:
        """Give what waits under *key* and leave it there."""
        number = self._chunk_of.get(key)
        return None if number is None else self._chunks[number][key]

    def take(self, key: str) -> T | None:
        """Give what waits under *key* and let it wait no longer."""
        number = self._chunk_of.pop(key, None)
        if number is None:
            return None
        chunk = self._chunks[number]
        entry = chunk.pop(key)
        self._changed.add(number)
        if not chunk and number != self._next - 1:
            del self._chunks[number]
        return entry

    def take_oldest_before(self, time: float) -> list[T]:
        """Take entries from the oldest arrival on, as long as their time is before *time* (epoch seconds)."""
        taken: list[T] = []
        if not self._chunk_of:
            return taken
        while (oldest := self._oldest()) and oldest[1].time < time:
            self.take(oldest[0])
            taken.append(oldest[1])
        return taken

    def rows(self) -> dict[str, bytes | None]:
        """Give the chunks that changed since the last call, by chunk number; None for one that is empty."""
        changed, self._changed = self._changed, set()
        return {
            str(number): self._encode(chunk) if (chunk := self._chunks.get(number)) else None
            for number in sorted(changed)
        }

    def restore(self, rows: dict[str, bytes]) -> list[str]:
        """Take the chunks that :meth:`rows` gave; give the numbers of those that cannot be read."""
        chunks: dict[int, dict[str, T]] = {}
        unreadable: list[str] = []
        for number, row in rows.items():
            try:
                chunks[chunk_number(number)] = self._decode(row)
            except UNREADABLE:
                unreadable.append(number)
        self._chunk_of = {key: place for place in sorted(chunks) for key in chunks[place]}
        self._chunks = {
            place: {key: entry for key, entry in chunks[place].items() if self._chunk_of[key] == place}
            for place in sorted(chunks)
        }
        self._chunks = {place: chunk for place, chunk in self._chunks.items() if chunk}
        self._next = max(chunks, default=-1) + 1
        self._room = 0
        return unreadable

    def _oldest(self) -> tuple[str, T] | None:
        for chunk in self._chunks.values():  # none but the last is empty
            for oldest in chunk.items():
                return oldest
        return None
