"""Intake: records to events, each taken once, none that is absurd; what is not taken says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import decode_plain, decode_record, encode, is_array, reject
from schemas.events import Event
from schemas.policy import Policy
from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Forward, Record, Result, Topic
from stream.core.seen import SeenIds

FORWARDED_HEADER: Final = "driftline-forwarded"
"""Marks a record that a worker sent to its model's partition; such a record is not sent on again."""

KEY_MAX_BYTES: Final = 1_024
"""How much of a record's key is kept with a rejected message."""

NAMES_MAX: Final = 10_000
"""Model names whose partition is remembered."""

PartitionOf = Callable[[str], int]
"""Gives the input partition of a model name."""


class Intake:
    """Reads the records of one partition; what belongs to another is forwarded, what is bad is rejected."""

    def __init__(self, partition: int, prefix: str, partition_of: PartitionOf) -> None:
        self._partition = partition
        self._prefix = prefix
        self._partition_of = partition_of
        self._is_own: dict[str, bool] = {}

    def read(self, record: Record, result: Result) -> Iterable[tuple[Event, Source | None]]:
        """Give the events of *record* that are this partition's; the rest goes to *result*.

        The source is given for an element of an array, which has an index that the record does not know.
        """
        if not record.headers:
            event = decode_plain(record.value)
            if event is not None and TOPIC_OF[type(event)] is record.topic and self._owns(event.model):
                return ((event, None),)
        return self._judge(record, result)

    def _owns(self, model: str) -> bool:
        """Tell whether *model* is this partition's; names that were asked for lately are remembered."""
        owned = self._is_own.get(model)
        if owned is None:
            if len(self._is_own) >= NAMES_MAX:
                self._is_own.clear()
            owned = self._is_own[model] = self._partition_of(model) == self._partition
        return owned

    def _judge(self, record: Record, result: Result) -> Iterator[tuple[Event, Source | None]]:
        source = Source(
            topic=self._prefix + record.topic.suffix, partition=record.partition, offset=record.offset
        )
        decoded = decode_record(record.value, source, record.headers)
        is_forwarded = bool(record.headers) and any(name == FORWARDED_HEADER for name, _ in record.headers)
        is_one_of_many = is_array(record.value or b"")
        for index, event in enumerate(decoded):
            if isinstance(event, Rejected):
                result.rejected.append(with_key(event, record))
                continue
            where = msgspec.structs.replace(source, index=index) if is_one_of_many else None
            if TOPIC_OF[type(event)] is not record.topic:
                detail = (
                    f"a {TYPE_NAMES[type(event)]} belongs on {self._prefix}{TOPIC_OF[type(event)].suffix}"
                )
                refused = RejectReason.WRONG_TOPIC, detail
                result.rejected.append(rejected_event(event, refused, record, where, self._prefix))
                continue
            if not is_forwarded and not self._owns(event.model):
                raw = encode(event) if is_one_of_many else record.value or b""
                headers = () if is_one_of_many else record.headers
                result.forwards.append(Forward(record.topic, event.model, record.timestamp, raw, headers))
                continue
            yield event, where


class Admission:
    """Decides for one model which events are taken: not twice, not too late, not from the future.

    Late is measured against the newest time that the same topic has shown for the model, so that predictions
    read ahead of their labels do not make the labels late.
    """

    def __init__(self, policy: Policy) -> None:
        self._lateness = policy.horizons.lateness_seconds
        self._future = policy.horizons.future_seconds
        self.newest = dict.fromkeys(Topic, 0.0)
        self.seen = {topic: SeenIds(policy.bounds.seen_ids) for topic in Topic}

    def refuse(
        self, event: Event, time: float, record: Record, now: float
    ) -> tuple[RejectReason, str] | None:
        """Give why an event is not taken, with the detail; None when it may be. Times are epoch seconds."""
        ahead = time - now
        if ahead > self._future:
            return RejectReason.FUTURE, f"{ahead:.0f} s ahead of the clock, {self._future:.0f} are allowed"
        behind = self.newest[record.topic] - time
        if behind > self._lateness:
            return RejectReason.LATE, (
                f"{behind:.0f} s behind the newest {TYPE_NAMES[type(event)]} of {event.model}, "
                f"{self._lateness:.0f} are allowed"
            )
        return None

    def knows(self, event: Event, record: Record) -> bool:
        """Tell whether the id of *event* was taken before."""
        return event.id in self.seen[record.topic]

    def take(self, event: Event, time: float, record: Record) -> None:
        """Take note of an event that is neither known nor refused."""
        self.seen[record.topic].add(event.id)
        self.newest[record.topic] = max(self.newest[record.topic], time)


def rejected_event(
    event: Event, refused: tuple[RejectReason, str], record: Record, source: Source | None, prefix: str
) -> Rejected:
    """Keep an event that was decoded and yet is not taken; *source* is given for an array's element."""
    reason, detail = refused
    if source is not None:
        return with_key(reject(reason, detail, source, encode(event)), record)
    own = Source(topic=prefix + record.topic.suffix, partition=record.partition, offset=record.offset)
    return with_key(reject(reason, detail, own, record.value), record)


def with_key(rejected: Rejected, record: Record) -> Rejected:
    """Note the key of the record that a rejected message came in, cut at :data:`KEY_MAX_BYTES`."""
    return (
        rejected if record.key is None else msgspec.structs.replace(rejected, key=record.key[:KEY_MAX_BYTES])
    )
