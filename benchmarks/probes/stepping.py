"""Entries of a log to the records that a pipeline takes, as many at a time as a worker or a replay takes."""

from __future__ import annotations

from benchmarks.events import Entry
from stream.core.merge import TURN_RECORDS
from stream.core.nouns import Record, Topic

BATCH_RECORDS = TURN_RECORDS


def record(entry: Entry, offset: int) -> Record:
    """Make the record that *entry* would be at *offset* of its topic."""
    return Record(Topic[entry.topic.upper()], 0, offset, entry.timestamp_ms / 1000, entry.value)
