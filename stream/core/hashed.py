"""An index from 64-bit hashes to places, in two flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]
"""Python's hashes of ids, shape (n,)."""

Places = NDArray[np.int64]
"""Where something stands, shape (n,); not negative and below 2**31, or -1 for what is absent."""

FEW: Final = 32
"""Up to as many keys are cheaper one by one than as an array."""

_LEAST_SLOTS: Final = 64
_REBUILD_ABOVE: Final = 0.6
_REBUILT_UP_TO: Final = 0.5
_AHEAD: Final = 4
"""Times that as many keys may be added as were just asked for, before a table is made anew again."""

_SHRINK_BELOW: Final = 1 / 8
_SLICE: Final = 65_536
"""Slots that are moved at a time to a new table: what moving them takes beside the tables is small."""

_STRIDE: Final = 0x9E3779B97F4A7C15
_ALL_BITS: Final = 2**64 - 1
"""Multiples of the golden ratio's 64 bits differ in all of theirs."""

_EMPTY: Final = -(2**63)
_GONE: Final = _EMPTY + 1
_LEAST: Final = _EMPTY + 2
"""The least key that is told apart: the two below it mark slots, and stand for it where they are given."""


class HashIndex:
    """Gives the place of each key; an entry takes 20 to 40 bytes, up to 96 where most were removed.

    A key is all that is known of an id, so two ids of one key are one: with Python's ``hash`` of a string,
    two of a million collide with a probability of 3e-8, and an id that was never added meets one of a
    million with 5e-14. That hash (SipHash) is salted anew in each process, so nobody can aim at it; a worker
    does not start where the environment fixes the salt.

    Open addressing with linear probing. At most six slots of ten are in use, those of removed keys
    included; then the table is made anew, twice as large if it must be. It gets smaller where most keys were
    removed, but never than as many need as were added last, some times: what comes and goes in turns must not
    make it anew each time.
    """

    def __init__(self, expected: int = 0) -> None:
        self._live = 0
        self._used = 0
        self._salts = 0
        self._lately = 0
        self._allocate(_slots_for(expected))

    def new_salt(self) -> int:
        """Give what one of several stores that share the index mixes with its keys, by exclusive or.

        Each call gives another one, of 64 bits.
        """
        self._salts += 1
        return (self._salts * _STRIDE & _ALL_BITS) - 2**63

    def __len__(self) -> int:
        return self._live

    def get(self, key: int) -> int:
        """Give the place of *key*, -1 where it is absent."""
        slot = self._probe(max(key, _LEAST), 0)
        return -1 if slot < 0 else self._place_at[slot]

    def find(self, keys: Hashes) -> Places:
        """Give the place of each of *keys*, shape (n,), -1 where it is absent."""
        if len(keys) <= FEW:
            return np.array([self.get(key) for key in keys.tolist()], dtype=np.int64)
        slots = self._locate(keys)
        return np.where(slots < 0, np.int64(-1), self._places[slots])

    def reserve(self, more: int) -> None:
        """Make room for so many keys more at once."""
        self._make_room(more, ahead=1)

    def set(self, key: int, place: int) -> None:
        """Put *key*, which is absent, at *place*."""
        if self._used >= self._most:
            self._make_room(1)
        self._put(max(key, _LEAST), place)

    def insert(self, keys: Hashes, places: Places) -> None:
        """Put each of *keys*, which are absent and differ, at its place; both of shape (n,)."""
        if len(keys) <= FEW:
            for key, place in zip(keys.tolist(), places.tolist(), strict=True):
                self.set(key, place)
            return
        self._make_room(len(keys))
        self._place(np.maximum(keys, _LEAST), places)

    def claim(self, keys: Hashes) -> NDArray[np.int64] | None:
        """Take each of *keys*, shape (n,); None, and nothing is taken, where one is there or stands twice.

        Gives slots: their places are told by :meth:`put`, before anything else is asked or changed.
        """
        self._make_room(len(keys))
        wanted = np.maximum(keys, _LEAST)
        slots: NDArray[np.int64] = (wanted ^ wanted >> 32) & self._mask
        left, there = np.arange(len(keys)), self._keys[slots]
        while len(left):
            if (there == wanted[left]).any():
                self._leave(slots, left)
                return None
            free = left[there == _EMPTY]
            self._keys[slots[free]] = wanted[free]  # of several that want the same slot one gets it
            left = left[self._keys[slots[left]] != wanted[left]]
            if len(left) <= FEW:
                break
            slots[left] = (slots[left] + 1) & self._mask
            there = self._keys[slots[left]]
        for done, place in enumerate(left.tolist()):
            slot = self._free_behind(int(slots[place]), int(wanted[place]))
            if slot < 0:
                self._leave(slots, left[done:])
                return None
            slots[place] = slot
        turns = np.arange(len(keys), dtype=np.int32)
        self._places[slots] = turns
        if (self._places[slots] != turns).any():  # two of the keys are one
            self._leave(slots, left[:0])
            return None
        self._used += len(keys)
        self._live += len(keys)
        return slots

    def _leave(self, slots: NDArray[np.int64], left: NDArray[np.intp]) -> None:
        """Give back the slots of all keys but those at the places *left*, which have none yet."""
        taken = np.ones(len(slots), dtype=np.bool_)
        taken[left] = False
        self._keys[slots[taken]] = _EMPTY

    def _free_behind(self, slot: int, key: int) -> int:
        """Let *key* have the first free slot behind *slot* in its row; -1 where the key stands there."""
        key_at, mask = self._key_at, self._mask
        slot = (slot + 1) & mask
        while (there := key_at[slot]) != _EMPTY:
            if there == key:
                return -1
            slot = (slot + 1) & mask
        key_at[slot] = key
        return slot

    def put(self, slots: NDArray[np.int64], places: Places) -> None:
        """Tell the places of the keys that were taken at *slots*; both of shape (n,)."""
        self._places[slots] = places

    def move(self, keys: Hashes, places: Places) -> None:
        """Let each of *keys*, which are there, stand at another place; both of shape (n,)."""
        self._places[self._locate(keys)] = places

    def discard(self, key: int) -> None:
        """Remove *key*, if it is there."""
        slot = self._probe(max(key, _LEAST), 0)
        if slot < 0:
            return
        is_last = self._key_at[(slot + 1) & self._mask] == _EMPTY
        self._key_at[slot] = _EMPTY if is_last else _GONE
        self._used -= is_last
        self._live -= 1

    def remove(self, keys: Hashes) -> None:
        """Remove those of *keys*, shape (n,) and different from each other, that are there."""
        if len(keys) <= FEW:
            for key in keys.tolist():
                self.discard(key)
            return
        slots = self._locate(keys)
        slots = slots[slots >= 0]
        self._keys[slots] = _GONE
        last = slots[self._keys[(slots + 1) & self._mask] == _EMPTY]
        self._keys[last] = _EMPTY
        self._used -= len(last)
        self._live -= len(slots)
        if self._live < _SHRINK_BELOW * len(self._keys):
            expected = max(self._live * 2, self._live + _AHEAD * self._lately)
            if _slots_for(expected) < len(self._keys):
                self._rebuild(expected)

    def _probe(self, key: int, past: int) -> int:
        """Give the slot of *key*, -1 where it is absent; the first *past* slots of its row are not its."""
        key_at, mask = self._key_at, self._mask
        slot = ((key ^ key >> 32) + past) & mask
        while (there := key_at[slot]) != key:
            if there == _EMPTY:
                return -1
            slot = (slot + 1) & mask
        return slot

    def _locate(self, keys: Hashes) -> NDArray[np.int64]:
        """Give the slot of each of *keys*, -1 where it is absent: all of them a step at a time."""
        wanted = np.maximum(keys, _LEAST)
        slots = (wanted ^ wanted >> 32) & self._mask
        there = self._keys[slots]
        found = np.where(there == wanted, slots, -1)
        open_ = np.flatnonzero((there != wanted) & (there != _EMPTY))
        slots = slots[open_]
        past = 1
        while len(open_) > FEW:
            slots = (slots + 1) & self._mask
            there, sought = self._keys[slots], wanted[open_]
            is_it = there == sought
            found[open_[is_it]] = slots[is_it]
            goes_on = np.flatnonzero(~is_it & (there != _EMPTY))
            open_, slots = open_[goes_on], slots[goes_on]
            past += 1
        for place in open_.tolist():
            found[place] = self._probe(int(wanted[place]), past)
        return found

    def _place(self, keys: Hashes, places: Places | NDArray[np.int32]) -> None:
        """Put *keys* into the first free slots of their rows: of those that want the same slot one wins."""
        slots = (keys ^ keys >> 32) & self._mask
        while len(keys) > FEW:
            there = self._keys[slots]
            free = np.flatnonzero(there <= _GONE)
            claimed, claiming = slots[free], keys[free]
            self._keys[claimed] = claiming
            is_won = self._keys[claimed] == claiming
            won = free[is_won]
            self._places[claimed[is_won]] = places[won]
            self._used += int(np.count_nonzero(there[won] == _EMPTY))
            self._live += len(won)
            there[won] = keys[won]
            left = np.flatnonzero(there != keys)
            keys, places, slots = keys[left], places[left], (slots[left] + 1) & self._mask
        for key, place in zip(keys.tolist(), places.tolist(), strict=True):
            self._put(key, place)

    def _put(self, key: int, place: int) -> None:
        key_at, mask = self._key_at, self._mask
        slot = (key ^ key >> 32) & mask
        while (there := key_at[slot]) > _GONE:
            slot = (slot + 1) & mask
        key_at[slot] = key
        self._place_at[slot] = place
        self._used += there == _EMPTY
        self._live += 1

    def _make_room(self, more: int, ahead: int = _AHEAD) -> None:
        self._lately = more
        if self._used + more > self._most:
            self._rebuild(self._live + ahead * more)

    def _rebuild(self, expected: int) -> None:
        keys, places = self._keys, self._places
        self._live = self._used = 0
        self._allocate(_slots_for(expected))
        for start in range(0, len(keys), _SLICE):
            part = keys[start : start + _SLICE]
            live = np.flatnonzero(part > _GONE)
            self._place(part[live], places[start : start + _SLICE][live])

    def _allocate(self, slots: int) -> None:
        self._keys = np.full(slots, _EMPTY, dtype=np.int64)
        self._places = np.zeros(slots, dtype=np.int32)
        self._key_at, self._place_at = self._keys.data, self._places.data
        self._mask = slots - 1
        self._most = int(_REBUILD_ABOVE * slots)


def _slots_for(expected: int) -> int:
    slots = _LEAST_SLOTS
    while expected > _REBUILT_UP_TO * slots:
        slots *= 2
    return slots


def hashes_of(ids: Sequence[str]) -> Hashes:
    """Give the hashes of *ids* in this process, shape (n,)."""
    return np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))


def distinct(hashes: Hashes) -> Hashes:
    """Give the different ones of *hashes*, in order; numpy.unique, that has a table of its own, is slower."""
    ordered = np.sort(hashes)
    is_new = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return ordered[is_new]


def repeated(keys: Hashes) -> NDArray[np.intp]:
    """Give where in *keys*, shape (n,), those stand that are there more than once, but for one of each."""
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.empty(0, dtype=np.intp)
    order = np.argsort(keys)
    again: NDArray[np.intp] = order[1:][keys[order[1:]] == keys[order[:-1]]]
    return again


def where_in(among: Hashes, keys: Hashes) -> NDArray[np.intp]:
    """Give where in *among*, shape (m,), which differ, each of *keys*, shape (n,), stands; -1 for nowhere."""
    if len(among) <= FEW:
        places = {key: place for place, key in enumerate(among.tolist())}
        return np.array([places.get(key, -1) for key in keys.tolist()], dtype=np.intp)
    order = np.argsort(among)
    ordered = among[order]
    near = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.where(ordered[near] == keys, order[near], -1)
