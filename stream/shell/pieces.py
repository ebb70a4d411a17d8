"""Pieces: rows of any size as rows that the state topic takes, and back.

A broker takes records up to a size, and no row may be too large for it: a worker that cannot write its state
ends, and so would every one after it. A large row is written in pieces, each a row of its own in the same
checkpoint, so that all of them count or none does.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final

PIECE_BYTES: Final = 900_000
"""The largest piece: what a broker takes unless it is told otherwise is a megabyte."""

MARK: Final = 0xC1
"""What the first piece begins with; no MessagePack does."""

_HEAD: Final = struct.Struct("<BII")
_FURTHER: Final = re.compile(rb"(.*\])#([1-9][0-9]{0,5})", re.DOTALL)


class Pieces:
    """Cuts the rows of one partition, and knows how many pieces of each are stored."""

    def __init__(self) -> None:
        self._stored: dict[bytes, int] = {}
        """The number of the last piece of a row, by its key, where it has more than one."""

    def join(self, stored: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Give the rows of which *stored* has the pieces.

        Of a row whose pieces do not go together the first is given, which cannot be read.
        """
        rows: dict[bytes, bytes] = {}
        further: dict[bytes, dict[int, bytes]] = {}
        for key, row in stored.items():
            if found := _FURTHER.fullmatch(key):
                further.setdefault(found[1], {})[int(found[2])] = row
            else:
                rows[key] = row
        for key, pieces in further.items():
            self._stored[key] = max(pieces)
            whole = _joined(rows.get(key, b""), pieces)
            rows[key] = bytes([MARK]) if whole is None else whole
        return rows

    def split(self, rows: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
        """Give what has to be stored, None to delete it, for *rows*, of which None stands for none."""
        changed: dict[bytes, bytes | None] = {}
        for key, row in rows.items():
            before = self._stored.pop(key, 0) if self._stored else 0
            last = 0
            if row is None or len(row) <= PIECE_BYTES:
                changed[key] = row
            else:
                pieces = [row[start : start + PIECE_BYTES] for start in range(0, len(row), PIECE_BYTES)]
                last = self._stored[key] = len(pieces) - 1
                changed[key] = _HEAD.pack(MARK, len(pieces), zlib.crc32(row)) + pieces[0]
                changed |= {further(key, number): piece for number, piece in enumerate(pieces[1:], 1)}
            changed |= {further(key, number): None for number in range(last + 1, before + 1)}
        return changed


def further(key: bytes, number: int) -> bytes:
    """Give the key of a further piece, counted from 1, of the row under *key*."""
    return b"%s#%d" % (key, number)


def is_further(key: bytes) -> bool:
    """Tell whether a piece that is not the first of its row stands under *key*."""
    return _FURTHER.fullmatch(key) is not None


def _joined(first: bytes, pieces: Mapping[int, bytes]) -> bytes | None:
    """Give the row, None where it is not whole."""
    if len(first) < _HEAD.size:
        return None
    mark, count, checksum = _HEAD.unpack_from(first)
    if mark != MARK or pieces.keys() != set(range(1, count)):
        return None
    row = b"".join([first[_HEAD.size :], *(pieces[number] for number in range(1, count))])
    return row if zlib.crc32(row) == checksum else None
