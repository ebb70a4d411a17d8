"""What stands in the topics, and what the state topic says that is committed: read from the start."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

READ_S: Final = 120.0

_TAKEN: Final = "/taken"
_ENTRY: Final = struct.Struct("<ddqHB")
_SCORED, _TEXT = 8, 6

RowKey = tuple[str, ...]


class Stood(NamedTuple):
    """A record as it stands in a partition; the timestamp in milliseconds."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = {}


def read(broker: str, topic: str, partitions: int) -> dict[int, list[Stood]]:
    """Read *topic* from its start to where it ends now. Raises TimeoutError where nothing comes."""
    return asyncio.run(_read(broker, topic, partitions))


async def _read(broker: str, topic: str, partitions: int) -> dict[int, list[Stood]]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    await consumer.start()
    try:
        wanted = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(wanted)
        ends = await consumer.end_offsets(wanted)
        found: dict[int, list[Stood]] = {tp.partition: [] for tp in wanted}
        while any([await consumer.position(tp) < ends[tp] for tp in wanted]):
            fetched = await asyncio.wait_for(consumer.getmany(timeout_ms=1000), READ_S)
            for tp, records in fetched.items():
                found[tp.partition] += [
                    Stood(r.offset, r.timestamp, r.key, r.value, dict(r.headers)) for r in records
                ]
    finally:
        await consumer.stop()
    return found


def messages(standing: Mapping[int, Iterable[Stood]]) -> list[dict[str, Any]]:
    """Give the JSON of every record, partition after partition."""
    return [json.loads(stood.value or b"null") for records in standing.values() for stood in records]


def committed(records: Iterable[Stood]) -> dict[RowKey, Any]:
    """Fold one partition of the state topic: the rows that are committed, decoded, by their decoded keys.

    As docs/design.md has it: rows without their commit are void, and whatever stands behind a claim and is
    not the claimer's; a claim says up to which checkpoint the rows before it are valid, which tells of
    commits that compaction has taken away. Every row names its claim, by offset, which tells of claims that
    were taken away while this was read.
    """
    rows: dict[bytes, bytes | None] = {}
    staged: list[tuple[str, int, Stood]] = []
    owner, claimed = "", -1
    for stood in records:
        writer, number = stood.headers["w"].decode(), int(stood.headers["n"])
        claim = stood.offset if stood.key == b"!claim" else int(stood.headers["c"])
        if stood.key == b"!probe":
            continue
        if stood.key == b"!claim":
            rows |= {row.key or b"": row.value for _, of, row in staged if of <= number}
            staged, owner, claimed = [], writer, claim
            continue
        if claim > claimed:
            rows |= {row.key or b"": row.value for _, of, row in staged if of < number}
            staged, owner, claimed = [], writer, claim
        if writer != owner:
            continue
        if stood.key == b"!commit":
            rows |= {
                row.key or b"": row.value
                for by, of, row in staged
                if of < number or (by, of) == (writer, number)
            }
            staged = []
        else:
            staged.append((writer, number, stood))
    return decoded({key: _unsealed(value) for key, value in rows.items() if value is not None})


def decoded(rows: Mapping[bytes, bytes]) -> dict[RowKey, Any]:
    """Decode rows and their keys; which predictions of a chunk were taken is a row of bits."""
    keys = {tuple(json.loads(key)): row for key, row in rows.items()}
    return {
        key: row if key[-1].endswith(_TAKEN) and _is_chunk(key) else msgspec.msgpack.decode(row)
        for key, row in keys.items()
    }


def _unsealed(sealed: bytes) -> bytes:
    if zlib.crc32(sealed[4:]).to_bytes(4) != sealed[:4]:
        raise ValueError(f"a committed row is damaged: {sealed[:40]!r}")
    return sealed[4:]


def joined(rows: Mapping[RowKey, Any]) -> dict[RowKey, Any]:
    """Put together what is kept in numbered chunks, in order: a worker that took over begins a new chunk."""
    whole: dict[RowKey, Any] = {}
    for key in sorted(rows, key=_in_order):
        if not _is_chunk(key):
            whole[key] = rows[key]
        elif key[0] == "pending":
            if not key[-1].endswith(_TAKEN):
                taken = rows.get((*key[:-1], key[-1] + _TAKEN), b"")
                whole[key[:-1]] = whole.get(key[:-1], {}) | _waiting(rows[key], taken)
        elif isinstance(rows[key], dict):
            whole[key[:-1]] = whole.get(key[:-1], {}) | rows[key]
        else:
            whole[key[:-1]] = [*whole.get(key[:-1], []), *rows[key]]
    return whole


def _waiting(chunk: Any, taken: bytes) -> dict[str, list[Any]]:  # noqa: ANN401 - as it is decoded
    """Give the predictions of a chunk that wait: by id the time, version, score, and kind of output and it.

    A chunk is its ids, its entries, and the versions and texts that these count; kind 0 is one that is gone.
    """
    ids, entries, versions, texts = chunk
    waiting: dict[str, list[Any]] = {}
    for place, (time, score, value, version, kind) in enumerate(_ENTRY.iter_unpack(entries)):
        is_taken = bool(taken) and taken[place // 8] >> (7 - place % 8) & 1
        if kind and not is_taken:
            said = texts[value] if kind % _SCORED == _TEXT else value
            waiting[ids[place]] = [time, versions[version], score, kind, said]
    return waiting


def _is_chunk(key: RowKey) -> bool:
    return key[0] in {"seen", "pending", "orphans"}


def _in_order(key: RowKey) -> tuple[RowKey, int]:
    return (key[:-1], int(key[-1].removesuffix(_TAKEN))) if _is_chunk(key) else (key, 0)
