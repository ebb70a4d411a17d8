"""Predictions that wait for their label, and feedback that waits for its prediction, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.core.chunks import OFFSET, SHIFT, Chunks
from stream.core.hashed import FEW, Hashes, HashIndex, Places
from stream.core.kept import CHUNK_PLACES, Chunk, Output
from stream.core.nouns import PredictionKept
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


class Pending:
    """Predictions that wait for their label, in order of arrival, at most *bound*; the oldest make room.

    What is known of an id is its hash, ``hash(id)``: see :class:`HashIndex` for the odds that two ids are
    one. A *place* tells where a prediction waits; it holds while the prediction waits, until the next
    :meth:`add`, :meth:`rows` or :meth:`restore`.

    Predictions stand in chunks by arrival. A chunk's row of state, under its number, is written once when
    the chunk is closed; what was taken of it since is a small row of its own, under ``number/taken``. When
    most of it was taken, what is left is packed, together with neighbours as empty, and written anew.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._index = HashIndex()
        self._chunks = Chunks()

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, event_id: str) -> bool:
        return self._index.get(hash(event_id)) >= 0

    def add(
        self,
        ids: Sequence[str],
        hashes: Hashes,
        times: NDArray[np.float64],
        versions: Sequence[str],
        outputs: Sequence[Output],
        scores: Sequence[float | None],
    ) -> int:
        """Let predictions wait, in this order; give how many were evicted for them.

        All have shape (n,): ids with their hashes, times in seconds since the epoch, and what else is kept;
        integers have 64 bits. An id that waits already is replaced and counts as new. What waits afterwards,
        and the number, are those of adding one by one, where each evicts the oldest that is too many.
        """
        evicted = self.add_new(ids, hashes, times, versions, outputs, scores)
        if evicted is not None:
            return evicted
        kept = map(PredictionKept, times.tolist(), versions, outputs, scores)
        return self._add_each(ids, hashes.tolist(), kept)

    def add_new(
        self,
        ids: Sequence[str],
        hashes: Hashes,
        times: NDArray[np.float64],
        versions: Sequence[str],
        outputs: Sequence[Output],
        scores: Sequence[float | None],
    ) -> int | None:
        """Do what :meth:`add` does; give None, and do nothing, where an id waits already or stands twice."""
        self._pack()
        number = len(ids)
        if len(set(ids)) < number:
            return None
        keys = hashes.tolist()
        if number <= FEW:
            if any(self._index.get(key) >= 0 for key in keys):
                return None
            return self._add_each(ids, keys, map(PredictionKept, times.tolist(), versions, outputs, scores))
        slots = self._index.claim(hashes)
        if slots is None:
            return None
        places = np.empty(number, dtype=np.int64)
        start = 0
        while start < number:
            chunk = self._chunks.last()
            part = slice(start, min(number, start + chunk.room))
            first = chunk.first_place + chunk.size
            places[part] = np.arange(first, first + part.stop - start)
            chunk.extend(ids[part], hashes[part], times[part], versions[part], outputs[part], scores[part])
            start = part.stop
        self._index.put(slots, places)
        return self._evict()

    def find(self, hashes: Hashes) -> Places:
        """Give the places of the predictions with *hashes*, shape (n,), -1 where none waits."""
        return self._index.find(hashes)

    def times_at(self, places: Places) -> NDArray[np.float64]:
        """Give the times of the predictions at *places*, shape (n,), in seconds since the epoch."""
        parts = self._chunks.of_each(places)
        if parts is None:
            slots = self._chunks.slots
            listed = [slots[place >> SHIFT].time_at(place & OFFSET) for place in places.tolist()]
            return np.array(listed, dtype=np.float64)
        times = np.empty(len(places), dtype=np.float64)
        for chunk, offsets, which in parts:
            times[which] = chunk.entries["time"][offsets]
        return times

    def columns_at(self, places: Places) -> tuple[list[str], list[Output], list[float | None]]:
        """Give the versions, outputs and scores of the predictions at *places*, as they came."""
        parts = self._chunks.of_each(places)
        if parts is None:
            kept = [self.kept(place) for place in places.tolist()]
            return [one.version for one in kept], [one.output for one in kept], [one.score for one in kept]
        if len(parts) == 1:
            chunk, offsets, which = parts[0]
            back = np.argsort(which)
            return chunk.columns_at(offsets[back])
        versions = [""] * len(places)
        outputs: list[Output] = [None] * len(places)
        scores: list[float | None] = [None] * len(places)
        for chunk, offsets, which in parts:
            for place, version, output, score in zip(which.tolist(), *chunk.columns_at(offsets), strict=True):
                versions[place], outputs[place], scores[place] = version, output, score
        return versions, outputs, scores

    def kept(self, place: int) -> PredictionKept:
        """Give the prediction at *place*."""
        return self._chunks.slots[place >> SHIFT].kept_at(place & OFFSET)

    def take(self, places: Places) -> None:
        """Let the predictions at *places*, which differ and all wait, wait no longer."""
        parts = self._chunks.of_each(places)
        if parts is not None:
            self._index.remove(np.concatenate([chunk.hashes[offsets] for chunk, offsets, _ in parts]))
            for chunk, offsets, _ in parts:
                chunk.take(offsets)
                self._chunks.note(chunk)
            return
        slots = self._chunks.slots
        touched: dict[int, Chunk] = {}
        hashes: list[int] = []
        for place in places.tolist():
            chunk, offset = slots[place >> SHIFT], place & OFFSET
            hashes.append(chunk.hash_at(offset))
            chunk.take_one(offset)
            touched[chunk.number] = chunk
        self._index.remove(np.array(hashes, dtype=np.int64))
        for chunk in touched.values():
            self._chunks.note(chunk)

    def get(self, event_id: str) -> PredictionKept | None:
        """Give the prediction that waits under *event_id* and leave it there."""
        place = self._index.get(hash(event_id))
        return None if place < 0 else self.kept(place)

    def take_id(self, event_id: str) -> PredictionKept | None:
        """Give the prediction that waits under *event_id* and let it wait no longer."""
        place = self._index.get(hash(event_id))
        if place < 0:
            return None
        kept = self.kept(place)
        self._take_one(self._chunks.slots[place >> SHIFT], place & OFFSET)
        return kept

    def oldest_time(self) -> float | None:
        """Give the time of what arrived first of all that waits, in seconds since the epoch."""
        if not len(self._index):
            return None
        chunk = self._chunks.first()
        return chunk.time_at(chunk.oldest())

    def oldest_times(self, number: int) -> NDArray[np.float64]:
        """Give the times of the *number* predictions that arrived first, in that order, in epoch seconds."""
        times: list[NDArray[np.float64]] = []
        for chunk in self._chunks.in_order():
            times.append(chunk.entries["time"][chunk.live_offsets()[:number]])
            number -= len(times[-1])
            if number <= 0:
                break
        return np.concatenate(times) if times else np.empty(0)

    def take_oldest_before(self, time: float) -> int:
        """Take predictions from the oldest arrival on, as long as their time is before *time*; give how many.

        An older one that arrived behind one that stays is not looked for.
        """
        taken = 0
        while (oldest := self.oldest_time()) is not None and oldest < time:
            chunk = self._chunks.first()
            offsets = chunk.live_offsets()
            stays = chunk.entries["time"][offsets] >= time
            if stays.any():
                offsets = offsets[: int(stays.argmax())]
            self._take_of(chunk, offsets)
            taken += len(offsets)
        return taken

    def rows(self) -> dict[str, bytes | None]:
        """Give the rows that changed since the last call; None for one that is no more."""
        self._chunks.settle()
        self._pack()
        return self._chunks.rows()

    def restore(self, rows: dict[str, bytes]) -> list[str]:
        """Take the rows that :meth:`rows` gave, or :class:`Waiting` did; give the keys of those of no use.

        Those are what cannot be read, and what was taken without its chunk. A chunk without what was taken
        of it, which cannot be read, is of no use either: what was taken must not come back.
        """
        self._chunks = Chunks()
        chunks, unreadable = self._chunks.restore(rows)
        self._index = HashIndex(sum(chunk.live for chunk in chunks))
        for chunk in chunks:
            self._take_in(chunk)
        return unreadable

    def _add_each(self, ids: Sequence[str], keys: Sequence[int], all_kept: Iterable[PredictionKept]) -> int:
        index, chunk, evicted = self._index, self._chunks.last(), 0
        first_place = chunk.first_place
        for event_id, key, kept in zip(ids, keys, all_kept, strict=True):
            place = index.get(key)
            if place >= 0:
                self._take_one(self._chunks.slots[place >> SHIFT], place & OFFSET)
            if chunk.size == CHUNK_PLACES:
                chunk = self._chunks.last()
                first_place = chunk.first_place
            index.set(key, first_place + chunk.append(event_id, key, kept))
            if len(index) > self._bound:
                evicted += self._evict()
        return evicted

    def _evict(self) -> int:
        evicted = left = max(0, len(self) - self._bound)
        while left:
            chunk = self._chunks.first()
            if left == 1:
                self._take_one(chunk, chunk.oldest())
                break
            offsets = chunk.live_offsets()[:left]
            self._take_of(chunk, offsets)
            left -= len(offsets)
        return evicted

    def _take_one(self, chunk: Chunk, offset: int) -> None:
        self._index.discard(chunk.hash_at(offset))
        chunk.take_one(offset)
        self._chunks.note(chunk)

    def _take_of(self, chunk: Chunk, offsets: NDArray[np.intp]) -> None:
        self._index.remove(chunk.hashes[offsets])
        chunk.take(offsets)
        self._chunks.note(chunk)

    def _pack(self) -> None:
        """Pack the chunks of which little is left; places change."""
        for chunk in self._chunks.pack_sparse():
            self._index.move(chunk.hashes, np.arange(chunk.size) + chunk.first_place)

    def _take_in(self, chunk: Chunk) -> None:
        """Index a chunk that was restored; of two predictions with one hash the younger waits."""
        there = chunk.live_offsets()
        hashes, last = np.unique(chunk.hashes[there][::-1], return_index=True)
        if len(hashes) < len(there):
            stays = np.sort(there[::-1][last])
            chunk.take(np.setdiff1d(there, stays))
            self._chunks.note(chunk)
            there = stays
        hashes = chunk.hashes[there]
        met = self._index.find(hashes)
        if np.any(met >= 0):
            self.take(met[met >= 0])
        self._index.insert(hashes, there + chunk.first_place)
