"""Predictions that wait for their label, within a bound."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.core.chunks import OFFSET, SHIFT, Chunks, Slots
from stream.core.entries import Entries, Newcomers, entries_of
from stream.core.found import Found, found_at
from stream.core.fresh import SHARED, Fresh
from stream.core.hashed import FEW, Hashes, HashIndex, Places
from stream.core.kept import CHUNK_PLACES, Chunk
from stream.core.nouns import PredictionKept
from stream.core.scalars import Scalars, numbers_of


class Standing:
    """Where predictions wait, of all models of a pipeline: an index of their ids, and the chunks by slot.

    Those that came lately are *fresh*: they stand in chunks that the models share.

    A key of the index is an id's hash with its model's salt.
    """

    def __init__(self) -> None:
        self.index = HashIndex()
        self.slots = Slots()
        self.fresh = Fresh(self.index, self.slots)

    def take(self, places: Places, keys: Hashes) -> None:
        """Let the predictions at *places*, which differ and all wait, under *keys*, wait no longer."""
        self.index.remove(keys)
        self.slots.take(places)


class Added(NamedTuple):
    """Predictions that were just put behind the others: their *places*, and those of their events in a batch.

    Both have shape (n,). In each chunk they stand side by side.
    """

    places: Places
    at: NDArray[np.intp]

    def ahead(self, places: Places, said_at: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which feedback on what waits at *places*, -1 for nothing, stands before its prediction.

        *said_at* are the places of the feedback in the batch; all have shape (m,).
        """
        if not len(self.places):
            return np.zeros(len(places), dtype=np.bool_)
        slots, of = self.places >> SHIFT, np.maximum(places, 0) >> SHIFT
        firsts = np.concatenate(([0], np.flatnonzero(slots[1:] != slots[:-1]) + 1))
        begins = np.full(max(int(slots.max()), int(of.max(initial=0))) + 1, CHUNK_PLACES)
        begins[slots[firsts]] = self.places[firsts] & OFFSET
        turns = np.zeros(len(begins), dtype=np.intp)
        turns[slots[firsts]] = firsts
        ago = (places & OFFSET) - begins[of]
        is_ahead: NDArray[np.bool_] = (places >= 0) & (ago >= 0)
        new = np.flatnonzero(is_ahead)
        is_ahead[new] = self.at[turns[of[new]] + ago[new]] > said_at[new]
        return is_ahead


class Pending:
    """Predictions of a model that wait for their label, at most *bound*; the oldest make room.

    They stand in order of arrival. What is known of an id is its hash, ``hash(id)``: see :class:`HashIndex`
    for the odds that two ids are one. A *place* tells where a prediction waits; it holds while the prediction
    waits, until the next :meth:`add`, :meth:`pack`, :meth:`file`, :meth:`rows` or :meth:`restore`.

    Predictions stand in chunks by arrival. A chunk's row of state, under its number, is written once when
    the chunk is closed; what was taken of it since is a small row of its own, under ``number/taken``. When
    most of it was taken, what is left is packed, together with neighbours as empty, and written anew.
    """

    def __init__(self, bound: int, standing: Standing | None = None) -> None:
        """Stand among what waits of all models of a pipeline, *standing*; else alone."""
        self._bound = bound
        self._standing = standing or Standing()
        self._index = self._standing.index
        self.salt = self._index.new_salt()
        self._chunks = Chunks(self._standing.slots)
        self._fresh = 0
        self._earliest = inf

    def __len__(self) -> int:
        return self._chunks.live + self._fresh

    def __contains__(self, event_id: str) -> bool:
        return self._place_of(event_id) >= 0

    def add(self, new: Newcomers, *, may_replace: bool = True) -> int | None:
        """Let predictions wait, in this order; give how many were evicted for them.

        An id that waits already, or stands twice, is replaced and counts as new; where it may not be, that
        gives None and nothing is done. What waits afterwards, and the number, are those of adding one by one,
        where each evicts the oldest that is too many.
        """
        self.file()
        self.pack()
        keys = new.hashes ^ self.salt
        if len(keys) > FEW:
            slots = self._index.claim(keys)
            if slots is not None:
                self._index.put(slots, self.append(new, entries_of(new), 0, len(keys)))
                return self.evict()
            is_plain = False
        else:
            few = keys.tolist()
            is_plain = len(set(few)) == len(few) and all(self._index.get(key) < 0 for key in few)
        return self._add_each(new) if is_plain or may_replace else None

    def pack(self) -> None:
        """Pack the chunks of which little is left; places change."""
        if not self._chunks.has_sparse:
            return
        for chunk in self._chunks.pack_sparse():
            self._index.move(chunk.hashes() ^ self.salt, np.arange(chunk.size) + chunk.first_place)
            chunk.forget_hashes()

    def wait_with_others(self, number: int, earliest: float) -> None:
        """Take note of predictions that wait with others' until they are filed.

        They are so many, and none of them has a time before *earliest*, in epoch seconds.
        """
        self._fresh += number
        self._earliest = min(self._earliest, earliest)

    def took(self, number: int) -> None:
        """Take note that so many of those that wait with others' wait no longer."""
        self._fresh -= number

    def filed(self) -> None:
        """Take note that nothing waits with others' any more."""
        self._fresh, self._earliest = 0, inf

    def has_room(self, number: int) -> bool:
        """Tell whether so many more find room."""
        return len(self) + number <= self._bound

    def append(self, new: Newcomers, entries: Entries, start: int, stop: int) -> Places:
        """Put predictions behind the others, whose ids the index knows already; give their places.

        Those are the ones from *start* to before *stop* of *new*, and of the *entries* made of them.
        """
        self._chunks.live += stop - start
        places: list[Places] = []
        while start < stop:
            chunk = self._chunks.last()
            until = min(stop, start + chunk.room)
            first = chunk.first_place + chunk.size
            places.append(np.arange(first, first + until - start))
            chunk.extend(new, entries, start, until)
            start = until
        return places[0] if len(places) == 1 else np.concatenate(places)

    def evict(self) -> int:
        """Let the oldest go that are too many; give how many."""
        evicted = left = max(0, len(self) - self._bound)
        if left:
            self.file()
        while left:
            chunk = self._chunks.first()
            if left == 1:
                offset = chunk.oldest()
                self._take_one(chunk, offset, int(chunk.hashes()[offset]) ^ self.salt)
                break
            offsets = chunk.live_offsets()[:left]
            self._take_of(chunk, offsets)
            left -= len(offsets)
        return evicted

    def find(self, hashes: Hashes) -> Places:
        """Give the places of the predictions with *hashes*, shape (n,), -1 where none waits."""
        return self._index.find(hashes ^ self.salt)

    def times_at(self, places: Places) -> NDArray[np.float64]:
        """Give the times of the predictions at *places*, shape (n,), in seconds since the epoch."""
        if len(places) <= FEW:
            listed = [self._chunk_at(place).time_at(place & OFFSET) for place in places.tolist()]
            return np.array(listed, dtype=np.float64)
        times: NDArray[np.float64] = self._standing.slots.entries_at(places)["time"]
        return times

    def found(self, places: Places) -> Found:
        """Give the predictions at *places*, shape (n,), as they came."""
        if len(places) <= FEW:
            kept = [self._chunk_at(place).kept_at(place & OFFSET) for place in places.tolist()]
            times = np.array([one.time for one in kept], dtype=np.float64)
            return Found(
                times,
                [one.version for one in kept],
                Scalars.of([one.output for one in kept]),
                numbers_of([one.score for one in kept]),
            )
        slots = self._standing.slots
        return found_at(slots, places, slots.entries_at(places))

    def take(self, places: Places, hashes: Hashes) -> None:
        """Let the predictions at *places*, which differ and all wait, wait no longer; *hashes* are theirs."""
        self.took(int(np.count_nonzero(self._standing.fresh.among(places))))
        self._standing.take(places, hashes ^ self.salt)

    def get(self, event_id: str) -> PredictionKept | None:
        """Give the prediction that waits under *event_id* and leave it there."""
        place = self._place_of(event_id)
        return None if place < 0 else self._chunk_at(place).kept_at(place & OFFSET)

    def take_id(self, event_id: str) -> PredictionKept | None:
        """Give the prediction that waits under *event_id* and let it wait no longer."""
        place = self._place_of(event_id)
        if place < 0:
            return None
        chunk, offset = self._chunk_at(place), place & OFFSET
        kept = chunk.kept_at(offset)
        self._take_one(chunk, offset, hash(event_id) ^ self.salt)
        return kept

    def oldest_times(self, number: int) -> NDArray[np.float64]:
        """Give the times of the *number* predictions that arrived first, in that order, in epoch seconds."""
        self.file()
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
        taken = self._take_filed_before(time)
        if self._earliest < time and not self._chunks.live:
            self.file()
            taken += self._take_filed_before(time)
        return taken

    def _take_filed_before(self, time: float) -> int:
        taken = 0
        while self._chunks.live:
            chunk = self._chunks.first()
            if chunk.time_at(chunk.oldest()) >= time:
                break
            offsets = chunk.live_offsets()
            stays = chunk.entries["time"][offsets] >= time
            if stays.any():
                offsets = offsets[: int(stays.argmax())]
            self._take_of(chunk, offsets)
            taken += len(offsets)
        return taken

    def rows(self) -> dict[str, bytes | None]:
        """Give the rows that changed since the last call; None for one that is no more."""
        self.file()
        self._chunks.settle()
        self.pack()
        return self._chunks.rows()

    def restore(self, rows: dict[str, bytes]) -> list[str]:
        """Take the rows that :meth:`rows` gave, or :class:`Waiting` did; give the keys of those of no use.

        Those are what cannot be read, and what was taken without its chunk. A chunk without what was taken
        of it, which cannot be read, is of no use either: what was taken must not come back.

        Nothing waits yet.
        """
        chunks, unreadable = self._chunks.restore(rows)
        if not self._take_in(chunks):
            for chunk in chunks:
                self._take_in_anyhow(chunk)
        for chunk in chunks:
            chunk.forget_hashes()
        return unreadable

    def has_segments(self) -> bool:
        """Tell whether something that waits may be in a segment."""
        self.file()
        return any(
            not isinstance(version, str) for chunk in self._chunks.in_order() for version in chunk.versions
        )

    def release(self) -> None:
        """Let go of all that waits: its model is watched no longer."""
        self.file()
        for chunk in self._chunks.in_order():
            self._index.remove(chunk.hashes()[chunk.live_offsets()] ^ self.salt)
        self._chunks.release()

    def _place_of(self, event_id: str) -> int:
        return self._index.get(hash(event_id) ^ self.salt)

    def _chunk_at(self, place: int) -> Chunk:
        return self._standing.slots.chunks[place >> SHIFT]

    def _add_each(self, new: Newcomers) -> int:
        index, chunk, evicted = self._index, self._chunks.last(), 0
        first_place = chunk.first_place
        keys = (new.hashes ^ self.salt).tolist()
        scores = [None if isnan(score) else score for score in new.scores.tolist()]
        all_kept = map(PredictionKept, new.times.tolist(), new.versions, new.outputs.list(), scores)
        for event_id, key, kept in zip(new.ids, keys, all_kept, strict=True):
            place = index.get(key)
            if place >= 0:
                self._take_one(self._chunk_at(place), place & OFFSET, key)
            if chunk.size == CHUNK_PLACES:
                chunk = self._chunks.last()
                first_place = chunk.first_place
            index.set(key, first_place + chunk.append(event_id, kept))
            self._chunks.live += 1
            if len(self) > self._bound:
                evicted += self.evict()
        return evicted

    def file(self) -> None:
        """Have all that waits stand in chunks of its own, in order of arrival; places change."""
        if self._fresh:
            self._standing.fresh.file()

    def _take_one(self, chunk: Chunk, offset: int, key: int) -> None:
        self._index.discard(key)
        chunk.take_one(offset)
        if chunk.number == SHARED:
            self.took(1)
        else:
            self._chunks.note(chunk, 1)

    def _take_of(self, chunk: Chunk, offsets: NDArray[np.intp]) -> None:
        self._index.remove(chunk.hashes()[offsets] ^ self.salt)
        chunk.take(offsets)
        self._chunks.note(chunk, len(offsets))

    def _take_in(self, chunks: Sequence[Chunk]) -> bool:
        """Index chunks that were restored; False, and nothing is done, where a hash is there twice."""
        if not chunks:
            return True
        there = [chunk.live_offsets() for chunk in chunks]
        keys = np.concatenate([chunk.hashes()[of] for chunk, of in zip(chunks, there, strict=True)])
        slots = self._index.claim(keys ^ self.salt)
        if slots is None:
            return False
        places = [of + chunk.first_place for chunk, of in zip(chunks, there, strict=True)]
        self._index.put(slots, np.concatenate(places))
        return True

    def _take_in_anyhow(self, chunk: Chunk) -> None:
        """Index a chunk that was restored; of two predictions with one hash the younger waits."""
        there = chunk.live_offsets()
        hashes, last = np.unique(chunk.hashes()[there][::-1], return_index=True)
        if len(hashes) < len(there):
            stays = np.sort(there[::-1][last])
            gone = np.setdiff1d(there, stays)
            chunk.take(gone)
            self._chunks.note(chunk, len(gone))
            there = stays
        hashes = chunk.hashes()[there]
        met = self.find(hashes)
        if np.any(met >= 0):
            self.take(met[met >= 0], hashes[met >= 0])
        self._index.insert(hashes ^ self.salt, there + chunk.first_place)
