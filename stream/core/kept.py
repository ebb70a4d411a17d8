"""A chunk of predictions that wait, in order of arrival: as columns, and as the row of state it is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.codec import TIMES
from stream.core.entries import (
    ENTRY,
    ENTRY_BYTES,
    ENTRY_STRUCT,
    KIND_BYTE,
    SCORED,
    Entries,
    Newcomers,
    kinds_of,
)
from stream.core.hashed import Hashes, hashes_of
from stream.core.nouns import PredictionKept
from stream.core.packed import PackedIds, decode_ids, encode_ids
from stream.core.scalars import GONE, TEXT, Objects, coded, scalar_of
from stream.core.segments import Named
from stream.core.texts import all_short, short

CHUNK_PLACES: Final = 4_096
"""Predictions that one chunk holds at most."""

T = TypeVar("T")

_LEAST_PLACES: Final = 64
_time_at = struct.Struct("<d").unpack_from


class _Row(msgspec.Struct, array_like=True):
    ids: msgspec.Raw
    entries: bytes
    versions: list[Named]
    texts: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(_Row).decode
_decode_former = msgspec.msgpack.Decoder(dict[str, PredictionKept]).decode
_FORMER: Final = frozenset(bytes([first]) for first in (*range(0x80, 0x90), 0xDE, 0xDF))
"""How a map begins in MessagePack."""


class Chunk:
    """A run of predictions in order of arrival; each stands at its offset until the chunk is made anew.

    While it is open more are appended. A closed one keeps its ids packed, to be written again when most of
    its predictions have gone. Versions and texts are kept once for each chunk.
    """

    __slots__ = (
        "_code_of_text", "_code_of_version", "_first", "_hashes", "_open", "_packed", "data", "entries",
        "is_unwritten", "live", "number", "size", "slot", "texts", "versions",
    )  # fmt: skip

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.size = self.live = self._first = 0
        self.is_unwritten = True
        self.versions: list[Named] = []
        self.texts: list[str] = []
        self._open: PackedIds | None = PackedIds()
        self._packed = b""
        self._hashes: Hashes | None = None
        self._code_of_version: dict[Named, int] = {}
        self._code_of_text: dict[str, int] = {}
        self._hold(np.empty(0, dtype=ENTRY))

    @property
    def is_open(self) -> bool:
        """Whether more predictions are appended."""
        return self._open is not None

    @property
    def first_place(self) -> int:
        """The place of offset 0."""
        return self.slot * CHUNK_PLACES

    @property
    def room(self) -> int:
        """How many predictions more it takes."""
        return CHUNK_PLACES - self.size

    def live_offsets(self) -> NDArray[np.intp]:
        """Give where predictions wait, in order of arrival."""
        return np.flatnonzero(self.entries["kind"][: self.size])

    def oldest(self) -> int:
        """Give where the oldest of the predictions stands that wait here; there is one."""
        place = self._first * ENTRY_BYTES + KIND_BYTE
        while self.data[place] == GONE:
            place += ENTRY_BYTES
        self._first = place // ENTRY_BYTES
        return self._first

    def time_at(self, offset: int) -> float:
        """Give the time of the prediction at *offset*."""
        time: float = _time_at(self.data, offset * ENTRY_BYTES)[0]
        return time

    def hashes(self) -> Hashes:
        """Give the hashes of the ids by offset, of shape (size,); that of one that is gone may be any.

        They are made of the ids when they are first asked for: a prediction whose event is at hand is taken
        without them, and what is evicted or waits too long is of one chunk for long.
        """
        if self._hashes is None:
            self._hashes = hashes_of(self.ids())
        return self._hashes

    def forget_hashes(self) -> None:
        """Keep the hashes no longer; they are made anew where they are asked for."""
        self._hashes = None

    def kept_at(self, offset: int) -> PredictionKept:
        """Give the prediction at *offset*."""
        time, score, value, version, kind = ENTRY_STRUCT.unpack_from(self.data, offset * ENTRY_BYTES)
        return PredictionKept(
            time,
            self.versions[version],
            scalar_of(kind & ~SCORED, value, self.texts[value] if kind & ~SCORED == TEXT else ""),
            score if kind & SCORED else None,
        )

    def append(self, event_id: str, kept: PredictionKept) -> int:
        """Take one prediction more, for which there is room; give its offset."""
        offset = self.size
        if offset == len(self.entries):
            self._make_room(1)
        time, version, output, score = kept
        kind, value = coded(output)
        if kind == TEXT:
            value = self._text_code(str(output))
        if score is None:
            score = 0.0
        else:
            kind += SCORED
        code = self._code_of_version.get(version)
        if code is None:
            code = self._version_code(version)
        ENTRY_STRUCT.pack_into(self.data, offset * ENTRY_BYTES, time, score, value, code, kind)
        self._open_ids().append(event_id)
        if self._hashes is not None:
            self._hashes = np.append(self._hashes, hash(event_id))
        self.size += 1
        self.live += 1
        return offset

    def extend(self, new: Newcomers, coded: Entries, start: int, stop: int) -> None:
        """Take more predictions, for which there is room.

        Those are the ones from *start* to before *stop* of *new*, and of the entries made of them.
        """
        more, size = stop - start, self.size
        self._make_room(more)
        added = self.entries[size : size + more]
        added[...] = coded.entries[start:stop]
        added["version"] = self._version_codes(new.versions[start:stop])
        if coded.with_text:
            places = np.flatnonzero(kinds_of(added) == TEXT)
            texts = cast("Objects", new.outputs.texts)[start + places].tolist()
            added["value"][places] = list(map(self._text_code, texts))
        self._open_ids().extend(new.ids[start:stop])
        if self._hashes is not None:
            self._hashes = np.concatenate((self._hashes, new.hashes[start:stop]))
        self.size += more
        self.live += more

    def close(self) -> None:
        """Take no more predictions."""
        self._packed = self._packed_ids()
        self._open = None
        self._code_of_version, self._code_of_text = {}, {}
        if self.size < len(self.entries):
            self._hold(self.entries[: self.size].copy())

    def take_one(self, offset: int) -> None:
        """Let the prediction at *offset*, which waits, wait no longer."""
        self.data[offset * ENTRY_BYTES + KIND_BYTE] = GONE
        self.live -= 1

    def take(self, offsets: NDArray[np.intp] | NDArray[np.int64]) -> None:
        """Let the predictions at *offsets*, which differ and wait, wait no longer."""
        self.entries["kind"][offsets] = GONE
        self.live -= len(offsets)

    def ids(self) -> list[str]:
        """Give the ids by offset; of one that waits no longer it may be empty."""
        return decode_ids(self._packed) if self._open is None else self._open.ids()

    def row(self) -> bytes:
        """Give the chunk as a row of state."""
        packed = self._packed if self._open is None else self._packed_ids()
        entries = self.entries[: self.size].tobytes()
        return _encode(_Row(msgspec.Raw(packed), entries, self.versions, self.texts))

    def taken_row(self) -> bytes:
        """Give what was taken as a row of state: a bit for each offset, set where nothing waits."""
        return np.packbits(self.entries["kind"][: self.size] == GONE).tobytes()

    def restore(self, row: bytes, taken: bytes | None) -> None:
        """Become the closed chunk that :meth:`row` and :meth:`taken_row` gave.

        A row of the former layout, a map from ids to predictions, is read as well. Raises DecodeError or
        ValueError where one of them cannot be read.
        """
        if row[:1] in _FORMER:
            self._restore_former(_decode_former(row))
        else:
            read = _decode_row(row)
            self._packed = bytes(read.ids)
            self.versions, self.texts = read.versions, list(all_short(read.texts))
            self._hold(np.frombuffer(read.entries, dtype=ENTRY).copy())
            self._hashes = hashes_of(decode_ids(self._packed))
            self.size = len(self._hashes)
            self._check()
        if taken is not None:
            bits = np.frombuffer(taken, dtype=np.uint8)
            if len(bits) != -(-self.size // 8):
                raise ValueError("what was taken is of another chunk")
            self.entries["kind"][np.unpackbits(bits, count=self.size) == 1] = GONE
        self.live = int(np.count_nonzero(self.entries["kind"]))
        self._open = None
        self.is_unwritten = False

    def pack(self, chunks: Sequence[Chunk]) -> None:
        """Become the closed chunk of what waits in *chunks*, which are closed and in order of arrival."""
        ids: list[str] = []
        entries: list[NDArray[np.void]] = []
        for chunk in chunks:
            there = chunk.live_offsets()
            of_chunk = chunk.ids()
            ids += [of_chunk[offset] for offset in there.tolist()]
            entries.append(self._adopt(chunk, chunk.entries.take(there)))
        self._hold(np.concatenate(entries))
        self._open = PackedIds(ids)
        self.size = self.live = len(ids)
        self.close()

    def _packed_ids(self) -> bytes:
        """Give the ids of an open chunk as they are written: those of predictions that are gone are empty."""
        ids = self._open_ids()
        if self.live == self.size:
            return ids.row()
        kinds = self.entries["kind"][: self.size].tolist()
        left = [event_id if kind else "" for event_id, kind in zip(ids.ids(), kinds, strict=True)]
        return bytes(memoryview(encode_ids(left)))  # the encoder leaves room behind

    def _adopt(self, chunk: Chunk, entries: NDArray[np.void]) -> NDArray[np.void]:
        """Let *entries* of *chunk* name this chunk's versions and texts."""
        used, which = np.unique(entries["version"], return_inverse=True)
        codes = [self._version_code(chunk.versions[code]) for code in used.tolist()]
        entries["version"] = np.array(codes)[which]
        texts = np.flatnonzero(kinds_of(entries) == TEXT)
        if len(texts):
            used, which = np.unique(entries["value"][texts], return_inverse=True)
            codes = [self._text_code(chunk.texts[code]) for code in used.tolist()]
            entries["value"][texts] = np.array(codes)[which]
        return entries

    def _restore_former(self, former: dict[str, PredictionKept]) -> None:
        if len(former) > CHUNK_PLACES:
            raise ValueError("more predictions than a chunk holds")
        try:
            for event_id, kept in former.items():
                if not abs(kept.time) <= TIMES[1]:
                    raise ValueError(f"no event has the time {kept.time}")
                self.append(event_id, kept)
        except struct.error as error:
            raise ValueError(f"a number of a waiting prediction does not fit: {error}") from error
        self.close()

    def _check(self) -> None:
        """Raise ValueError where the columns do not go together."""
        entries = self.entries
        kinds = kinds_of(entries)
        codes = entries["value"][kinds == TEXT]
        if not (
            0 < len(entries) == self.size <= CHUNK_PLACES
            and int(kinds.max()) <= TEXT
            and not np.any(entries["kind"] == SCORED)
            and int(entries["version"].max()) < len(self.versions)
            and not np.any((codes < 0) | (codes >= len(self.texts)))
            and bool(np.all(np.abs(entries["time"]) <= TIMES[1]))
        ):
            raise ValueError("the columns of waiting predictions do not go together")

    def _version_codes(self, versions: Sequence[Named]) -> NDArray[np.uint16] | int:
        if versions[0] == versions[-1] and versions.count(versions[0]) == len(versions):
            return self._version_code(versions[0])
        code_of = self._code_of_version.__getitem__
        try:
            return np.fromiter(map(code_of, versions), dtype=np.uint16, count=len(versions))
        except KeyError:
            for version in dict.fromkeys(versions):
                self._version_code(version)
            return np.fromiter(map(code_of, versions), dtype=np.uint16, count=len(versions))

    def _version_code(self, version: Named) -> int:
        return _code_in(self._code_of_version, self.versions, version)

    def _text_code(self, text: str) -> int:
        return _code_in(self._code_of_text, self.texts, short(text))

    def _open_ids(self) -> PackedIds:
        if self._open is None:
            raise AssertionError("a closed chunk takes no more predictions")
        return self._open

    def _make_room(self, more: int) -> None:
        places, needed = len(self.entries), self.size + more
        if needed <= places:
            return
        while places < needed:
            places = max(_LEAST_PLACES, 2 * places)
        entries = np.zeros(places, dtype=ENTRY)
        entries[: self.size] = self.entries[: self.size]
        self._hold(entries)

    def _hold(self, entries: NDArray[np.void]) -> None:
        self.entries = entries
        self.data = entries.view(np.uint8).data


def _code_in(codes: dict[T, int], known: list[T], name: T) -> int:
    code = codes.get(name)
    if code is None:
        code = codes[name] = len(known)
        known.append(name)
    return code
