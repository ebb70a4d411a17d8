"""Records in columns: those of a partition in their order, without an object for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import Final, NamedTuple, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from schemas.codec import Headers
from stream.core.nouns import Record, Topic

T = TypeVar("T")

_TOPICS: Final = tuple(Topic)
_TOPIC, _PARTITION, _TIMESTAMP = attrgetter("topic"), attrgetter("partition"), attrgetter("timestamp")
_VALUE, _KEY, _HEADERS = attrgetter("value"), attrgetter("key"), attrgetter("headers")


class Source(Protocol):
    """What is asked about a record only where it is looked at alone; a :class:`Record` answers too."""

    @property
    def offset(self) -> int:
        """Give its offset."""

    @property
    def key(self) -> bytes | None:
        """Give its key."""

    @property
    def headers(self) -> Headers:
        """Give its headers."""


class Fetched(Source, Protocol):
    """A record as the consumer parses it."""

    @property
    def timestamp(self) -> int:
        """Give its timestamp, in milliseconds since the epoch."""

    @property
    def value(self) -> bytes | None:
        """Give its value."""


@dataclass(frozen=True, slots=True, eq=False)
class Records(Sequence[Record]):
    """Records of one partition in an order of their own; columns of shape (n,).

    *timestamps* are in seconds since the epoch; *topics* are numbers of :class:`Topic`; the rest of a record
    is asked of its source. Where *has_headers* is false, none has any.
    """

    partition: int
    topics: NDArray[np.int8]
    timestamps: NDArray[np.float64]
    values: Sequence[bytes | None]
    sources: Sequence[Source]
    has_headers: bool

    @classmethod
    def fetched(cls, topic: Topic, partition: int, records: Sequence[Fetched]) -> Records:
        """Put records of one *topic* into columns as the consumer gives them."""
        count = len(records)
        milliseconds = np.fromiter(map(_TIMESTAMP, records), dtype=np.int64, count=count)
        return cls(
            partition,
            np.full(count, topic, dtype=np.int8),
            milliseconds / 1000.0,
            list(map(_VALUE, records)),
            records,
            any(map(_HEADERS, records)),
        )

    @classmethod
    def of(cls, records: Sequence[Record]) -> Records:
        """Put *records*, of one partition and at least one, into columns; give them where they are that."""
        if isinstance(records, cls):
            return records
        count = len(records)
        return cls(
            records[0].partition,
            np.fromiter(map(_TOPIC, records), dtype=np.int8, count=count),
            np.fromiter(map(_TIMESTAMP, records), dtype=np.float64, count=count),
            list(map(_VALUE, records)),
            records,
            any(map(_HEADERS, records)),
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        """Give one record as an object, or a run of them."""
        if isinstance(index, slice):
            columns = self.topics[index], self.timestamps[index], self.values[index], self.sources[index]
            return Records(self.partition, *columns, self.has_headers)
        source = self.sources[index]
        topic, timestamp = _TOPICS[self.topics[index]], float(self.timestamps[index])
        value = self.values[index]
        return Record(topic, self.partition, source.offset, timestamp, value, source.key, source.headers)

    def __iter__(self) -> Iterator[Record]:
        """Give each as an object."""
        own = self.partition
        columns = self.topics.tolist(), self.timestamps.tolist(), self.values, self.sources
        for topic, timestamp, value, source in zip(*columns, strict=True):
            yield Record(_TOPICS[topic], own, source.offset, timestamp, value, source.key, source.headers)


def bytes_of(records: Sequence[Source], values: Iterable[bytes | None], *, has_headers: bool = True) -> int:
    """Give how many bytes the keys and headers of *records*, and their *values*, have together."""
    size = _length(values) + _length(map(_KEY, records))
    if has_headers and any(map(_HEADERS, records)):
        size += sum(len(name) + len(value or b"") for one in records for name, value in one.headers)
    return size


def _length(parts: Iterable[bytes | None]) -> int:
    return sum(map(len, filter(None, parts)))


class Picked(Sequence[T]):
    """The *items* at *places*, shape (n,), which are picked when they are asked for: few ever are, or all."""

    __slots__ = ("_items", "_places")

    def __init__(self, items: Sequence[T], places: NDArray[np.intp]) -> None:
        self._items = items
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Picked[T]: ...
    def __getitem__(self, index: int | slice) -> T | Picked[T]:
        """Give one, or a part of them."""
        if isinstance(index, slice):
            return Picked(self._items, self._places[index])
        return self._items[int(self._places[index])]

    def __iter__(self) -> Iterator[T]:
        """Give them one by one."""
        return map(self._items.__getitem__, self._places.tolist())

    def only(self, which: NDArray[np.bool_]) -> Sequence[T]:
        """Give those where a mask holds; where they stand side by side, that is quick."""
        places = self._places[which]
        if not len(places):
            return []
        first, stop = int(places[0]), int(places[-1]) + 1
        if stop - first == len(places) and np.array_equal(places, np.arange(first, stop)):
            return self._items[first:stop]
        return list(map(self._items.__getitem__, places.tolist()))


def only(items: Sequence[T], which: NDArray[np.bool_]) -> Sequence[T]:
    """Give those of *items* where a mask, shape (n,), holds."""
    if isinstance(items, Picked):
        return items.only(which)
    return list(compress(items, which.tolist()))


class Numbered(Sequence[Source]):
    """Sources that have an offset each, shape (n,), and neither keys nor headers."""

    __slots__ = ("_offsets",)

    def __init__(self, offsets: NDArray[np.int64]) -> None:
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Numbered: ...
    def __getitem__(self, index: int | slice) -> Source | Numbered:
        """Give one, or a part of them."""
        if isinstance(index, slice):
            return Numbered(self._offsets[index])
        return _Bare(int(self._offsets[index]))


class _Bare(NamedTuple):
    """A source that is nothing but its *offset*."""

    offset: int
    key: bytes | None = None
    headers: Headers = ()
