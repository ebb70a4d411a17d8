"""How much a compressed batch of records may unfold to: a kilobyte can hold gigabytes.

A broker bounds what a batch is on the wire. aiokafka unfolds one as a whole, whatever comes out; its own
functions for that are replaced by ones that stop at a bound.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple

from aiokafka import codec
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, legacy_records

_cramjam = codec.cramjam  # aiokafka's own, None where it has none: then it unfolds nothing but gzip

_FIRST_GUESS: Final = 8
"""A buffer for what comes out is so many times as large as what went in, at first."""

_XERIAL: Final = b"\x82SNAPPY\0"
_LEAST_BUFFER: Final = 64 * 1024
_GROWTH: Final = 4


class UnfoldsTooFarError(Exception):
    """A compressed batch holds more than may come out of it: the text says how much may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a compressed batch unfolds to more than {limit} bytes")


class Unfolding(NamedTuple):
    """Reads what is compressed, each way up to *limit* bytes; raises UnfoldsTooFarError beyond that.

    What is damaged raises CorruptRecordException.
    """

    limit: int

    def gzip(self, payload: bytes) -> bytes:
        """Unfold gzip, of one member or more."""
        parts: list[bytes] = []
        room, rest = self.limit, bytes(payload)
        try:
            while rest:
                member = zlib.decompressobj(wbits=31)
                parts.append(member.decompress(rest, room + 1))
                room -= len(parts[-1])
                if room < 0:
                    raise UnfoldsTooFarError(self.limit)
                if not member.eof:
                    raise CorruptRecordException("compressed with gzip, and cut off")
                rest = member.unused_data
        except zlib.error as error:
            raise CorruptRecordException(f"compressed with gzip, and damaged: {error}") from error
        return b"".join(parts)

    def snappy(self, payload: bytes) -> bytes:
        """Unfold snappy, as one block or in the blocks of xerial's library."""
        whole = bytes(payload)
        if not whole.startswith(_XERIAL):
            return self._snappy_block(whole, self.limit)
        blocks: list[bytes] = []
        room, start = self.limit, 16
        while start < len(whole):
            size = int.from_bytes(whole[start : start + 4], "big")
            block = self._snappy_block(whole[start + 4 : start + 4 + size], room)
            blocks.append(block)
            room -= len(block)
            start += 4 + size
        return b"".join(blocks)

    def lz4(self, payload: bytes) -> bytes:
        """Unfold an lz4 frame."""
        return self._grow(_cramjam.lz4.decompress_into, payload)

    def zstd(self, payload: bytes) -> bytes:
        """Unfold zstd frames."""
        return self._grow(_cramjam.zstd.decompress_into, payload)

    def _snappy_block(self, block: bytes, room: int) -> bytes:
        try:
            if _cramjam.snappy.decompress_raw_len(block) > room:  # the block begins with its length
                raise UnfoldsTooFarError(self.limit)
            return bytes(_cramjam.snappy.decompress_raw(block))
        except _cramjam.DecompressionError as error:
            raise CorruptRecordException(f"compressed with snappy, and damaged: {error}") from error

    def _grow(self, unfold: Callable[[bytes, bytearray], int], payload: bytes) -> bytes:
        """Unfold into a buffer that is made anew, larger, until it is large enough."""
        size = min(self.limit, max(_LEAST_BUFFER, _FIRST_GUESS * len(payload)))
        while True:
            buffer = bytearray(size)
            try:
                length = unfold(payload, buffer)
            except _cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise CorruptRecordException(f"compressed, and damaged: {error}") from error
                if size >= self.limit:
                    raise UnfoldsTooFarError(self.limit) from error
                size = min(self.limit, _GROWTH * size)
            else:
                return bytes(memoryview(buffer)[:length])


def unfold_at_most(limit: int) -> None:
    """Let aiokafka, in this process, unfold a batch of records to at most *limit* bytes."""
    unfolding = Unfolding(limit)
    for module in _modules():
        for name in ("gzip", "snappy", "lz4", "zstd"):
            if hasattr(module, f"{name}_decode"):
                setattr(module, f"{name}_decode", getattr(unfolding, name))


def _modules() -> list[ModuleType]:
    """Give the modules in which aiokafka unfolds: those in Python and, where there are any, those in C."""
    modules: list[ModuleType] = [default_records, legacy_records]
    for name in ("default_records", "legacy_records"):
        with suppress(ImportError):
            modules.append(import_module(f"aiokafka.record._crecords.{name}"))
    return modules
