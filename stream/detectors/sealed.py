"""Sealed: the bytes of a series' state behind their checksum."""

from __future__ import annotations

import zlib
from typing import Final

from stream.core.errors import UnreadableRowError

_CHECKSUM_BYTES: Final = 4


def sealed(body: bytes) -> bytes:
    """Put *body* behind its checksum."""
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES) + body


def unsealed(snapshot: bytes) -> bytes:
    """Give what :func:`sealed` was given; raises UnreadableRowError where it is not that."""
    checksum, body = snapshot[:_CHECKSUM_BYTES], snapshot[_CHECKSUM_BYTES:]
    if checksum != zlib.crc32(body).to_bytes(_CHECKSUM_BYTES):
        raise UnreadableRowError("the checksum is wrong")
    return body
