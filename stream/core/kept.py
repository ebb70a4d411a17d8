"""Predictions that wait, as columns: a chunk of them in order of arrival, and the row of state it is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.codec import TIMES
from stream.core.hashed import Hashes
from stream.core.nouns import PredictionKept

CHUNK_PLACES: Final = 4_096
"""Predictions that one chunk holds at most."""

Output = bool | int | float | str | None

ENTRY: Final = np.dtype(
    [("time", "<f8"), ("score", "<f8"), ("value", "<i8"), ("version", "<u2"), ("kind", "u1")]
)
"""One prediction: 27 bytes. *version* is a place in the chunk's versions.

*kind* says what *value* is, with :data:`SCORED` added where *score* counts.
"""

GONE, NONE, FALSE, TRUE, INT, FLOAT, TEXT = range(7)
"""Kinds: waits no longer; the outputs None, False and True, which have no value; an integer; the bits of a
float; a place in the chunk's texts."""
SCORED: Final = 8

_SIZE: Final = ENTRY.itemsize
_KIND: Final = ENTRY.fields["kind"][1] if ENTRY.fields else 0
_LEAST_PLACES: Final = 64
_entry = struct.Struct("<ddqHB")
_time_at = struct.Struct("<d").unpack_from
_float = struct.Struct("<d")
_bits = struct.Struct("<q")
_KIND_OF: Final = {type(None): NONE, bool: FALSE, int: INT, float: FLOAT, str: TEXT}


class _Row(msgspec.Struct, array_like=True):
    ids: msgspec.Raw
    entries: bytes
    versions: list[str]
    texts: list[str]


_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(_Row).decode
_decode_ids = msgspec.msgpack.Decoder(list[str]).decode
_decode_former = msgspec.msgpack.Decoder(dict[str, PredictionKept]).decode
_FORMER: Final = frozenset(bytes([first]) for first in (*range(0x80, 0x90), 0xDE, 0xDF))
"""How a map begins in MessagePack."""


class Chunk:
    """A run of predictions in order of arrival; each stands at its offset until the chunk is made anew.

    While it is open more are appended. A closed one keeps its ids packed, to be written again when most of
    its predictions have gone. Versions and texts are kept once for each chunk.
    """

    __slots__ = (
        "_code_of_text", "_code_of_version", "_data", "_first", "_hash_at", "_ids", "_packed", "entries",
        "hashes", "is_unwritten", "live", "number", "size", "slot", "texts",
        "versions",
    )  # fmt: skip

    def __init__(self, number: int, slot: int) -> None:
        self.number = number
        self.slot = slot
        self.size = self.live = self._first = 0
        self.is_unwritten = True
        self.versions: list[str] = []
        self.texts: list[str] = []
        self._ids: list[str] | None = []
        self._packed = b""
        self._code_of_version: dict[str, int] = {}
        self._code_of_text: dict[str, int] = {}
        self._hold(np.empty(0, dtype=np.int64), np.empty(0, dtype=ENTRY))

    @property
    def is_open(self) -> bool:
        """Whether more predictions are appended."""
        return self._ids is not None

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
        place = self._first * _SIZE + _KIND
        while self._data[place] == GONE:
            place += _SIZE
        self._first = place // _SIZE
        return self._first

    def time_at(self, offset: int) -> float:
        """Give the time of the prediction at *offset*."""
        time: float = _time_at(self._data, offset * _SIZE)[0]
        return time

    def hash_at(self, offset: int) -> int:
        """Give the hash of the id of the prediction at *offset*."""
        return self._hash_at[offset]

    def kept_at(self, offset: int) -> PredictionKept:
        """Give the prediction at *offset*."""
        time, score, value, version, kind = _entry.unpack_from(self._data, offset * _SIZE)
        return PredictionKept(
            time,
            self.versions[version],
            self._output(kind & ~SCORED, value),
            score if kind & SCORED else None,
        )

    def columns_at(self, offsets: NDArray[np.intp]) -> tuple[list[str], list[Output], list[float | None]]:
        """Give the versions, outputs and scores of the predictions at *offsets*."""
        entries = self.entries[offsets]
        kinds, values, versions = entries["kind"], entries["value"], self.versions
        of = kinds & (SCORED - 1)
        named = [versions[code] for code in entries["version"].tolist()]
        scores: list[float | None] = entries["score"].tolist()
        if not (kinds & SCORED).all():
            scores = [
                score if is_scored else None
                for score, is_scored in zip(scores, (kinds & SCORED).tolist(), strict=True)
            ]
        coded = values.tolist()
        if (of == INT).all():
            return named, coded, scores
        return named, list(map(self._output, of.tolist(), coded)), scores

    def append(self, event_id: str, hashed: int, kept: PredictionKept) -> int:
        """Take one prediction more, for which there is room; give its offset."""
        offset = self.size
        if offset == len(self.hashes):
            self._make_room(1)
        time, version, output, score = kept
        kind, value = self._code(output)
        if score is None:
            score = 0.0
        else:
            kind += SCORED
        code = self._code_of_version.get(version)
        if code is None:
            code = self._version_code(version)
        _entry.pack_into(self._data, offset * _SIZE, time, score, value, code, kind)
        self._hash_at[offset] = hashed
        self._open_ids().append(event_id)
        self.size += 1
        self.live += 1
        return offset

    def extend(
        self,
        ids: Sequence[str],
        hashes: Hashes,
        times: NDArray[np.float64],
        versions: Sequence[str],
        outputs: Sequence[Output],
        scores: Sequence[float | None],
    ) -> None:
        """Take more predictions, for which there is room: as many of each column."""
        more, start = len(ids), self.size
        self._make_room(more)
        added = self.entries[start : start + more]
        added["time"] = times
        added["version"] = self._version_codes(versions)
        kinds, added["value"] = self._codes(outputs)
        if None in scores:
            there = np.array([score is not None for score in scores])
            added["score"] = [0.0 if score is None else score for score in scores]
            kinds = kinds + SCORED * there
        else:
            added["score"] = scores
            kinds = kinds + SCORED
        added["kind"] = kinds
        self.hashes[start : start + more] = hashes
        self._open_ids().extend(ids)
        self.size += more
        self.live += more

    def close(self) -> None:
        """Take no more predictions."""
        self._packed = bytes(memoryview(_encode(self._open_ids())))  # the encoder leaves room behind
        self._ids = None
        self._code_of_version = self._code_of_text = {}
        if self.size < len(self.hashes):
            self._hold(self.hashes[: self.size].copy(), self.entries[: self.size].copy())

    def take_one(self, offset: int) -> None:
        """Let the prediction at *offset*, which waits, wait no longer."""
        self._data[offset * _SIZE + _KIND] = GONE
        self.live -= 1
        if self._ids is not None:
            self._ids[offset] = ""

    def take(self, offsets: NDArray[np.intp]) -> None:
        """Let the predictions at *offsets*, which differ and wait, wait no longer."""
        self.entries["kind"][offsets] = GONE
        self.live -= len(offsets)
        if self._ids is not None:
            for offset in offsets.tolist():
                self._ids[offset] = ""

    def ids(self) -> list[str]:
        """Give the ids by offset; of one that waits no longer it may be empty."""
        return _decode_ids(self._packed) if self._ids is None else self._ids

    def row(self) -> bytes:
        """Give the chunk as a row of state."""
        packed = self._packed if self._ids is None else _encode(self._ids)
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
            self.versions, self.texts = read.versions, read.texts
            entries = np.frombuffer(read.entries, dtype=ENTRY).copy()
            ids = _decode_ids(self._packed)
            self._hold(np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids)), entries)
            self.size = len(ids)
            self._check()
        if taken is not None:
            bits = np.frombuffer(taken, dtype=np.uint8)
            if len(bits) != -(-self.size // 8):
                raise ValueError("what was taken is of another chunk")
            self.entries["kind"][np.unpackbits(bits, count=self.size) == 1] = GONE
        self.live = int(np.count_nonzero(self.entries["kind"]))
        self._ids = None
        self.is_unwritten = False

    def pack(self, chunks: Sequence[Chunk]) -> None:
        """Become the closed chunk of what waits in *chunks*, which are closed and in order of arrival."""
        ids: list[str] = []
        hashes: list[Hashes] = []
        entries: list[NDArray[np.void]] = []
        for chunk in chunks:
            there = chunk.live_offsets()
            of_chunk = chunk.ids()
            ids += [of_chunk[offset] for offset in there.tolist()]
            hashes.append(chunk.hashes[there])
            entries.append(self._adopt(chunk, chunk.entries[there]))
        self._hold(np.concatenate(hashes), np.concatenate(entries))
        self._ids = ids
        self.size = self.live = len(ids)
        self.close()

    def _adopt(self, chunk: Chunk, entries: NDArray[np.void]) -> NDArray[np.void]:
        """Let *entries* of *chunk* name this chunk's versions and texts."""
        used, which = np.unique(entries["version"], return_inverse=True)
        codes = [self._version_code(chunk.versions[code]) for code in used.tolist()]
        entries["version"] = np.array(codes)[which]
        texts = np.flatnonzero(entries["kind"] & ~np.uint8(SCORED) == TEXT)
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
                self.append(event_id, hash(event_id), kept)
        except struct.error as error:
            raise ValueError(f"a number of a waiting prediction does not fit: {error}") from error
        self.close()

    def _check(self) -> None:
        """Raise ValueError where the columns do not go together."""
        entries = self.entries
        kinds = entries["kind"] & ~np.uint8(SCORED)
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

    def _output(self, kind: int, value: int) -> Output:
        if kind == INT:
            return value
        if kind == FLOAT:
            number: float = _float.unpack(_bits.pack(value))[0]
            return number
        if kind == TEXT:
            return self.texts[value]
        return None if kind == NONE else kind == TRUE

    def _code(self, output: Output) -> tuple[int, int]:
        if output is None:
            return NONE, 0
        if isinstance(output, bool):
            return TRUE if output else FALSE, 0
        if isinstance(output, int):
            return INT, output
        if isinstance(output, float):
            bits: int = _bits.unpack(_float.pack(output))[0]
            return FLOAT, bits
        return TEXT, self._text_code(output)

    def _codes(self, outputs: Sequence[Output]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Give kinds and values; outputs of one type, as most are, need no look at each."""
        types = set(map(type, outputs))
        kind = _KIND_OF[types.pop()] if len(types) == 1 else GONE
        number = len(outputs)
        kinds = np.full(number, kind, dtype=np.uint8)
        if kind == INT:
            return kinds, np.array(outputs, dtype=np.int64)
        if kind == FLOAT:
            return kinds, np.array(outputs, dtype=np.float64).view(np.int64)
        if kind == FALSE:
            return kinds + np.array(outputs, dtype=np.uint8), np.zeros(number, dtype=np.int64)
        coded = [self._code(output) for output in outputs]
        kinds = np.fromiter((kind for kind, _ in coded), dtype=np.uint8, count=number)
        return kinds, np.fromiter((value for _, value in coded), dtype=np.int64, count=number)

    def _version_codes(self, versions: Sequence[str]) -> NDArray[np.uint16] | int:
        if versions.count(versions[0]) == len(versions):
            return self._version_code(versions[0])
        return np.fromiter(map(self._version_code, versions), dtype=np.uint16, count=len(versions))

    def _version_code(self, version: str) -> int:
        return _code_in(self._code_of_version, self.versions, version)

    def _text_code(self, text: str) -> int:
        return _code_in(self._code_of_text, self.texts, text)

    def _open_ids(self) -> list[str]:
        if self._ids is None:
            raise AssertionError("a closed chunk takes no more predictions")
        return self._ids

    def _make_room(self, more: int) -> None:
        places, needed = len(self.hashes), self.size + more
        if needed <= places:
            return
        while places < needed:
            places = max(_LEAST_PLACES, 2 * places)
        hashes, entries = np.empty(places, dtype=np.int64), np.zeros(places, dtype=ENTRY)
        hashes[: self.size], entries[: self.size] = self.hashes[: self.size], self.entries[: self.size]
        self._hold(hashes, entries)

    def _hold(self, hashes: Hashes, entries: NDArray[np.void]) -> None:
        self.hashes, self.entries = hashes, entries
        self._hash_at, self._data = hashes.data, entries.view(np.uint8).data


def _code_in(codes: dict[str, int], known: list[str], text: str) -> int:
    code = codes.get(text)
    if code is None:
        code = codes[text] = len(known)
        known.append(text)
    return code
