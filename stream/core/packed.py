"""Ids in the order in which they came, as MessagePack writes a list of them: a third of what strings take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

encode_ids = msgspec.msgpack.Encoder().encode
decode_ids = msgspec.msgpack.Decoder(list[str]).decode

LOOSE_MAX: Final = 16
"""Ids that wait to be packed together: packing few costs as much as packing many."""

_SHORT: Final = 16
_LONG: Final = 65_536
"""Lists of fewer elements have a head of one byte, of three, else of five."""


class PackedIds:
    """A list of ids that grows, up to what its owner lets it hold; an id takes its bytes and one to five."""

    __slots__ = ("_body", "_loose", "_size")

    def __init__(self, ids: Sequence[str] = ()) -> None:
        self._body = bytearray()
        self._loose: list[str] = []
        self._size = 0
        self.extend(ids)

    def __len__(self) -> int:
        return self._size

    def append(self, event_id: str) -> None:
        """Put one id behind the others."""
        self.extend((event_id,))

    def extend(self, ids: Sequence[str]) -> None:
        """Put *ids* behind the others."""
        self._size += len(ids)
        if len(ids) >= LOOSE_MAX:
            if self._loose:
                self._pack()
            self._body += _packed(ids)
            return
        self._loose += ids
        if len(self._loose) >= LOOSE_MAX:
            self._pack()

    def row(self) -> bytes:
        """Give the list as it is written in a row of state."""
        if self._loose:
            self._pack()
        return b"".join((_head(self._size), self._body))

    def ids(self) -> list[str]:
        """Give the ids."""
        return decode_ids(self.row())

    def _pack(self) -> None:
        self._body += _packed(self._loose)
        self._loose = []


def _packed(ids: Sequence[str]) -> memoryview:
    """Give *ids* as they stand in a list that is written, behind its head."""
    return memoryview(encode_ids(ids))[len(_head(len(ids))) :]


def _head(size: int) -> bytes:
    """Give how MessagePack begins a list of that many elements."""
    if size < _SHORT:
        return bytes([0x90 | size])
    return b"\xdc" + size.to_bytes(2) if size < _LONG else b"\xdd" + size.to_bytes(4)
