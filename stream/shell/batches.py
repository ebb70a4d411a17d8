"""What was fetched, batch by batch, with the transactions that were taken back left out.

aiokafka's own way asks Python several questions about every single record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from faust.types import TP

from schemas.codec import Headers
from stream.core.intake import REFUSED_HEADER, UNREADABLE_HEADER
from stream.core.records import bytes_of
from stream.shell.unfolding import UnfoldsTooFarError

logger = logging.getLogger(__name__)

_VALUE: Final = attrgetter("value")

_UNREADABLE: Final = (CorruptRecordException, UnicodeDecodeError)
"""What comes of records that are none, in a batch whose checksum is right: its producer made them so."""

RecordMap = dict[TP, list[Any]]

AT_ONCE: Final = 20_000
UNFOLDED_AT_ONCE: Final = 32 * 1024 * 1024
"""Records of one partition, and bytes of what was compressed, after which the rest waits for its turn."""


class Reached(NamedTuple):
    """The offset behind what was read of a partition, and about how many bytes that had.

    *at* is when it was fetched, in seconds since the epoch. It is noted when the records are taken: from then
    on their topic is asked again.
    """

    stop: int
    size: int
    at: float


class Refused(NamedTuple):
    """What stands for a batch that is not read; its headers say why."""

    offset: int
    timestamp: int
    headers: Headers
    key: bytes | None = None
    value: bytes | None = None
    timestamp_type: int = 0


async def drain(
    fetcher: Fetcher, partitions: set[TP], max_records: int | None
) -> tuple[RecordMap, Mapping[TP, Reached]]:
    """Give what *fetcher* has of *partitions*, at least *max_records* of each where there are as many.

    Give too what was reached of each partition, markers of transactions and what was taken back included.
    A Kafka batch is given whole, unless it has more than :data:`AT_ONCE` records; for one that unfolds too
    far, and for what is behind a record that cannot be read, stands a single record that says so. Raises
    CorruptRecordException where one was damaged on its way.
    """
    ends: dict[TP, Reached] = {}
    for result in fetcher._records.values():
        if isinstance(result, FetchResult):
            result.getall = partial(_whole_batches, result, max_records, ends)
    drained: RecordMap = await fetcher.fetched_records(partitions, timeout=0, max_records=None)
    return drained, ends


def _whole_batches(
    result: FetchResult, at_least: int | None, ends: dict[TP, Reached], _max_records: int | None
) -> list[Any]:
    """Give the records of as many Kafka batches as make *at_least* records, as aiokafka parses them.

    Notes in *ends* up to where they were read. Beside that it does what aiokafka's ``getall`` does.
    """
    unread = result._partition_records
    if not result.check_assignment(result._topic_partition) or unread is None:
        return []
    records: list[Any] = []
    size = unfolded = 0
    is_used_up = False
    tp = TP(*result._topic_partition)
    while unfolded < UNFOLDED_AT_ONCE and _goes_on(unread, at_least, len(records), size):
        opened: _Opened | None = getattr(unread, "opened", None) or _open(unread)
        if opened is None:
            is_used_up = True
            break
        taken: list[Any] = []
        try:
            taken.extend(islice(opened.rest, AT_ONCE))
            is_all = len(taken) < AT_ONCE
        except _UNREADABLE as error:  # what was read before it is in the list
            first = taken[-1].offset + 1 if taken else unread.next_fetch_offset
            taken.append(_unread(unread, opened, first, error))
            is_all = True
        unread.opened = None if is_all else opened._replace(size=0)
        if taken and taken[0].offset < unread.next_fetch_offset:
            taken = [record for record in taken if record.offset >= unread.next_fetch_offset]
        if opened.is_compressed:
            unfolded += bytes_of(taken, map(_VALUE, taken))
        size += opened.size
        records += taken
        if is_all:
            unread.next_fetch_offset = opened.stop
        elif taken:
            unread.next_fetch_offset = taken[-1].offset + 1
    result._update_position()
    state = result._assignment.state_value(result._topic_partition)
    ends[tp] = Reached(unread.next_fetch_offset, size + unfolded, (state.timestamp or 0) / 1000.0)
    if is_used_up:
        unread._records_iterator = None  # it holds what was fetched until garbage is collected
        result._partition_records = None
    return records


def _goes_on(unread: PartitionRecords, at_least: int | None, number: int, size: int) -> bool:
    """Tell whether to read on, with a *number* of records read that have that *size*, in bytes.

    That is to have enough, and then if no more is left than what was read: the broker is asked for more when
    all is read, and its answer takes a while, for which there is to be something to do.
    """
    if at_least is None or number < at_least:
        return True
    return getattr(unread, "opened", None) is None and bool(unread._records.left <= size)


class _Opened(NamedTuple):
    """A batch whose records are being read, and the offset behind it.

    Its last timestamp too, and how many bytes it has on the wire, 0 where they have been counted.
    """

    rest: Iterator[Any]
    stop: int
    timestamp: int
    is_compressed: bool
    size: int


def _open(unread: PartitionRecords) -> _Opened | None:
    """Begin to read the next batch that counts; None at the end."""
    batch = _next_batch(unread)
    if batch is None:
        return None
    opened = _Opened(
        iter(()),
        batch.next_offset,
        getattr(batch, "max_timestamp", 0),
        bool(getattr(batch, "compression_type", 0)),
        unread._records.last_size,
    )
    first = max(getattr(batch, "base_offset", 0), unread.next_fetch_offset)
    try:
        rest = filter(None, batch)  # all of them; aiokafka's own iterator may be asked for once
        first_ones = list(islice(rest, 1))  # it is unfolded now
    except (UnfoldsTooFarError, *_UNREADABLE) as error:
        return opened._replace(rest=iter([_unread(unread, opened, first, error)]), is_compressed=True)
    return opened._replace(rest=chain(first_ones, rest))


def _unread(unread: PartitionRecords, batch: _Opened, first: int, error: Exception) -> Refused:
    """Give what stands for the records of *batch* from offset *first* on."""
    is_large = isinstance(error, UnfoldsTooFarError)
    text = str(error) if is_large else f"no record that can be read: {error}"
    logger.warning("%s, offsets %d to %d: %s", unread._tp, first, batch.stop - 1, text)
    said = f"{text}: its records, to offset {batch.stop - 1}, are not read"
    header = REFUSED_HEADER if is_large else UNREADABLE_HEADER
    return Refused(first, batch.timestamp, ((header, said.encode()),))


def _next_batch(unread: PartitionRecords) -> Any | None:  # noqa: ANN401 - aiokafka has no annotations
    """Give the next batch that counts; None at the end. Raises CorruptRecordException where one is damaged.

    Does what aiokafka's ``_unpack_records`` does with the batches of transactions.
    """
    while unread._records.has_next():
        batch = unread._records.next_batch()
        if unread._check_crcs and not unread._records.is_intact(batch):
            raise CorruptRecordException(f"Invalid CRC - {unread._tp}")
        if not _is_void(unread, batch) and not batch.is_control_batch:
            return batch
        unread.next_fetch_offset = batch.next_offset
    return None


def _is_void(unread: PartitionRecords, batch: Any) -> bool:  # noqa: ANN401 - aiokafka has no annotations
    """Tell whether *batch* is of a transaction that was taken back; an abort marker ends one."""
    if unread._isolation_level != READ_COMMITTED or batch.producer_id is None:
        return False
    unread._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch and unread._contains_abort_marker(batch):
        unread._aborted_producers.discard(batch.producer_id)
    return bool(batch.is_transactional and batch.producer_id in unread._aborted_producers)
