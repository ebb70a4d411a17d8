"""Batches of records as a broker hands them over."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.record.default_records import DefaultRecordBatchBuilder

GZIP, SNAPPY, LZ4, ZSTD = CODECS = (1, 2, 3, 4)
PLAIN = 0


def a_batch(codec: int, first: int, *values: bytes, names: Mapping[int, str] | None = None) -> bytes:
    """Write a batch as a broker would hand it over: its first record at offset *first*.

    *names* are those of a header, by the number of the record that has it.
    """
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**30)
    for n, value in enumerate(values):
        headers = [(names[n], b"")] if names and n in names else []
        builder.append(n, 1_000 + n, None, value, headers)
    batch = bytearray(builder.build())
    batch[:8] = first.to_bytes(8, "big")
    return bytes(batch)
