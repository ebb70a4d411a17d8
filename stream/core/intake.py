"""Intake: records to events; what belongs to another partition is sent on, what is bad is rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import (
    TIMES,
    decode_plain,
    decode_plain_array,
    decode_record,
    encode,
    is_array,
    reject,
    split_plain_array,
)
from schemas.events import Event
from stream.core.admission import Refusal
from stream.core.decoded import Decoded
from stream.core.decoding import Decoding
from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Forward, Record, Result, Topic
from stream.core.records import Records

FORWARDED_HEADER: Final = "driftline-forwarded"
"""Marks a record that a worker sent to its model's partition; such a record is not sent on again."""

REFUSED_HEADER: Final = "driftline-refused"
UNREADABLE_HEADER: Final = "driftline-unreadable"
"""Mark a record that stands for others that were not read, as they are too large or not readable at all."""

_UNREAD: Final = {REFUSED_HEADER: RejectReason.TOO_LARGE, UNREADABLE_HEADER: RejectReason.MALFORMED}

_NOT_SENT_ON: Final = "it came on another partition than its model's, and is too large to be sent there"

KEY_MAX_BYTES: Final = 1_024
"""How much of a record's key is kept with a rejected message."""

NAMES_MAX: Final = 10_000
"""Model names whose partition is remembered."""

PartitionOf = Callable[[str], int]
"""Gives the input partition of a model name."""

_TOPIC, _VALUE, _HEADERS = (itemgetter(Record._fields.index(name)) for name in ("topic", "value", "headers"))


class Incoming(NamedTuple):
    """The events of some records, in the log's order, with the record of each.

    *topics* are those of the records, shape (n,). *elements* tells of an event that stood in an array which
    place it had in it.
    """

    decoded: Decoded
    records: Sequence[Record]
    topics: NDArray[np.int8]
    elements: Mapping[int, int]


class Intake:
    """Reads the records of one partition."""

    def __init__(self, partition: int, prefix: str, partition_of: PartitionOf) -> None:
        self._partition = partition
        self._prefix = prefix
        self._partition_of = partition_of
        self._is_own: dict[str, bool] = {}
        self._decoding = Decoding()

    def read(self, records: Sequence[Record], result: Result, decoded: Decoded | None = None) -> Incoming:
        """Give the events of *records* that are this partition's; the rest goes to *result*.

        *decoded* are the events of the records, one each, where whoever has them has done that.
        """
        if not _have_headers(records):
            values, topics = _values_of(records), topics_of(records)
            if decoded is None and not (values and is_array(values[0] or b"")):
                decoded = self._decoding.read(values, topics)
            if decoded is not None and self._are_ordinary(decoded, topics):
                return Incoming(decoded, records, topics, {})
            if decoded is None and (spread := self._spread(records, values, topics)) is not None:
                return spread
        return self._read_one_by_one(records, result)

    def _spread(
        self, records: Sequence[Record], values: Sequence[bytes | None], topics: NDArray[np.int8]
    ) -> Incoming | None:
        """Give the events of *records*, some of which are arrays; None where one must be judged alone."""
        spread: list[bytes | None] = []
        sources: list[Record] = []
        elements: dict[int, int] = {}
        numbers = np.ones(len(values), dtype=np.intp)
        for place, (record, value) in enumerate(zip(records, values, strict=True)):
            many: Sequence[bytes | None] = (value,)
            if value is not None and is_array(value):
                cut = split_plain_array(value)
                if cut is None:
                    return None
                elements.update(enumerate(range(len(cut)), start=len(spread)))
                many = cut
            spread += many
            sources += [record] * len(many)
            numbers[place] = len(many)
        if not elements:
            return None
        topics = topics.repeat(numbers)
        decoded = self._decoding.read(spread, topics)
        if decoded is None or not self._are_ordinary(decoded, topics):
            return None
        return Incoming(decoded, sources, topics, elements)

    def refuse(self, event: Event, refusal: Refusal, record: Record, index: int | None) -> Rejected:
        """Keep an event that was decoded and yet is not taken; *index* is its place in an array."""
        reason = refusal.reason or RejectReason.MALFORMED
        raw = record.value if index is None else encode(event)
        return self._reject(reason, refusal.detail, record, index, raw)

    def _are_ordinary(self, decoded: Decoded, topics: NDArray[np.int8]) -> bool:
        """Tell whether nothing but to take events is to be done, one of each of the records of *topics*."""
        times = decoded.times
        if not np.array_equal(decoded.topics, topics):
            return False
        if len(times) and not (TIMES[0] <= float(times.min()) and float(times.max()) < TIMES[1]):
            return False
        return all(map(self._owns, decoded.models.distinct))

    def _are_all_own(self, events: Sequence[Event], topic: Topic) -> bool:
        """Tell whether all of *events*, which came on *topic*, belong there and to this partition."""
        belong = {TOPIC_OF[type(event)] for event in events}
        return belong == {topic} and all(map(self._owns, {event.model for event in events}))

    def _owns(self, model: str) -> bool:
        """Tell whether *model* is this partition's; names that were asked for lately are remembered."""
        owned = self._is_own.get(model)
        if owned is None:
            if len(self._is_own) >= NAMES_MAX:
                self._is_own.clear()
            owned = self._is_own[model] = self._partition_of(model) == self._partition
        return owned

    def _read_one_by_one(self, records: Sequence[Record], result: Result) -> Incoming:
        events: list[Event] = []
        sources: list[Record] = []
        elements: dict[int, int] = {}
        for record in records:
            if not record.headers:
                event = decode_plain(record.value)
                if event is not None and TOPIC_OF[type(event)] is record.topic and self._owns(event.model):
                    events.append(event)
                    sources.append(record)
                    continue
                many = decode_plain_array(record.value) if event is None else None
                if many is not None and self._are_all_own(many, record.topic):
                    elements.update(enumerate(range(len(many)), start=len(events)))
                    events += many
                    sources += [record] * len(many)
                    continue
            for event, index in self._judge(record, result):
                if index is not None:
                    elements[len(events)] = index
                events.append(event)
                sources.append(record)
        return Incoming(Decoded.of(events), sources, topics_of(sources), elements)

    def _judge(self, record: Record, result: Result) -> Iterator[tuple[Event, int | None]]:
        if refused := [(name, value) for name, value in record.headers if name in _UNREAD]:
            name, value = refused[0]
            detail = (value or b"").decode(errors="replace")
            result.rejected.append(self._reject(_UNREAD[name], detail, record, None, record.value))
            return
        decoded = decode_record(record.value, self._source(record), record.headers)
        is_forwarded = bool(record.headers) and any(name == FORWARDED_HEADER for name, _ in record.headers)
        is_one_of_many = is_array(record.value or b"")
        for place, event in enumerate(decoded):
            index = place if is_one_of_many else None
            if isinstance(event, Rejected):
                result.rejected.append(with_key(event, record))
            elif TOPIC_OF[type(event)] is not record.topic:
                belongs = f"{self._prefix}{TOPIC_OF[type(event)].suffix}"
                detail = f"a {TYPE_NAMES[type(event)]} belongs on {belongs}"
                refusal = Refusal(RejectReason.WRONG_TOPIC, detail)
                result.rejected.append(self.refuse(event, refusal, record, index))
            elif not is_forwarded and not self._owns(event.model):
                raw = encode(event) if is_one_of_many else record.value or b""
                headers = () if is_one_of_many else record.headers
                instead = self._reject(RejectReason.TOO_LARGE, _NOT_SENT_ON, record, index, raw)
                result.forwards.append(
                    Forward(record.topic, event.model, record.timestamp, raw, headers, instead)
                )
            else:
                yield event, index

    def _reject(
        self, reason: RejectReason, detail: str, record: Record, index: int | None, raw: bytes | None
    ) -> Rejected:
        source = self._source(record)
        if index is not None:
            source = msgspec.structs.replace(source, index=index)
        return with_key(reject(reason, detail, source, raw), record)

    def _source(self, record: Record) -> Source:
        return Source(
            topic=self._prefix + record.topic.suffix, partition=record.partition, offset=record.offset
        )


def _have_headers(records: Sequence[Record]) -> bool:
    return records.has_headers if isinstance(records, Records) else any(map(_HEADERS, records))


def _values_of(records: Sequence[Record]) -> Sequence[bytes | None]:
    return records.values if isinstance(records, Records) else list(map(_VALUE, records))


def topics_of(records: Sequence[Record]) -> NDArray[np.int8]:
    """Give the topics of *records*, shape (n,)."""
    if isinstance(records, Records):
        return records.topics
    return np.fromiter(map(_TOPIC, records), dtype=np.int8, count=len(records))


def with_key(rejected: Rejected, record: Record) -> Rejected:
    """Note the key of the record that a rejected message came in, cut at :data:`KEY_MAX_BYTES`."""
    return (
        rejected if record.key is None else msgspec.structs.replace(rejected, key=record.key[:KEY_MAX_BYTES])
    )
