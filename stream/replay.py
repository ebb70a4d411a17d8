"""Replay: the same core over a file instead of Kafka; a pure function of the file."""

from __future__ import annotations

import errno
import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from schemas.alerts import Incident
from schemas.codec import decode_plainly, encode
from schemas.events import Event
from stream.core.lines import parts, topic_of
from stream.core.nouns import TOPIC_OF, Record, Result, Topic
from stream.core.pipeline import Pipeline

BATCH_RECORDS = 8_000
NEVER = float("inf")
"""The clock of a replay: no event is from the future."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Where the results go; None leaves them out."""

    alerts: Path | None = None
    incidents: Path | None = None
    rejected: Path | None = None


@dataclass(slots=True)
class Totals:
    """What a replay counted."""

    records: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    incidents: dict[str, Incident] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """Count what a step gave."""
        for (name, labels), value in result.tally.counts.items():
            if name == "rejected_total":
                self.rejected[labels[0]] += int(value)
            else:
                self.counts[name] += int(value)
        for incident in result.incidents:
            self.incidents[incident.id] = incident

    def summary(self, seconds: float) -> dict[str, Any]:
        """Give the summary as one JSON object; *seconds* is how long the replay took."""
        events = self.counts["events_total"]
        return {
            "records": self.records,
            "events": events,
            "duplicates": self.counts["duplicates_total"],
            "outcomes": self.counts["outcomes_total"],
            "rejected": dict(sorted(self.rejected.items())),
            "findings": self.counts["findings_total"],
            "alerts": self.counts["alerts_total"],
            "incidents": dict(sorted(Counter(i.kind.value for i in self.incidents.values()).items())),
            "open_incidents": sum(i.resolved_at is None for i in self.incidents.values()),
            "seconds": round(seconds, 3),
            "events_per_second": round(events / seconds) if seconds else 0,
        }


def replay(
    files: Iterable[str], pipeline: Pipeline, outputs: Outputs, progress: Callable[[int], None]
) -> Totals:
    """Lead the events of *files*, in their order, through *pipeline*; write what comes out to *outputs*.

    *progress* is called with the number of records taken so far. Raises OSError where a file cannot be read
    or written.
    """
    totals = Totals()
    with ExitStack() as stack:
        alerts, rejected = (
            stack.enter_context(path.open("wb")) if path else None
            for path in (outputs.alerts, outputs.rejected)
        )
        for batch, events in batches(lines(files)):
            result = pipeline.step(batch, NEVER, events)
            totals.records += len(batch)
            totals.add(result)
            _write(alerts, result.alerts)
            _write(rejected, result.rejected)
            progress(totals.records)
        if outputs.incidents is not None:
            _write(stack.enter_context(outputs.incidents.open("wb")), totals.incidents.values())
    return totals


def lines(files: Iterable[str]) -> Iterator[bytes]:
    """Give the lines of *files* that are not blank; ``-`` is standard input, ``.gz`` is unpacked.

    Raises OSError, with the file's name, where one cannot be read.
    """
    for file in files:
        with ExitStack() as stack:
            source: Iterable[bytes]
            if file == "-":
                source = sys.stdin.buffer
            elif file.endswith(".gz"):
                source = stack.enter_context(gzip.open(file, "rb"))
            else:
                source = stack.enter_context(Path(file).open("rb"))
            try:
                for line in source:
                    if stripped := line.strip():
                        yield stripped
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise OSError(errno.EIO, f"damaged: {error}", file) from error


def batches(lines: Iterable[bytes]) -> Iterator[tuple[list[Record], Sequence[Event] | None]]:
    """Give the records that fresh topics of one partition would hold, in the order of *lines*, in batches.

    With them their events, where each line is one. Timestamps are 0: nothing asks for them where the order is
    given.
    """
    offsets = dict.fromkeys(Topic, 0)
    rest = iter(lines)
    while batch := list(islice(rest, BATCH_RECORDS)):
        events = decode_plainly(batch)
        records: list[Record] = []
        topics = map(topic_of, batch) if events is None else [TOPIC_OF[type(event)] for event in events]
        for topic, line in zip(topics, batch, strict=True):
            if topic is not None:
                records.append(Record(topic, 0, offsets[topic], 0.0, line))
                offsets[topic] += 1
                continue
            for part in parts(line):
                records.append(Record(part.topic, 0, offsets[part.topic], 0.0, part.value))
                offsets[part.topic] += 1
        yield records, events


def _write(out: IO[bytes] | None, messages: Iterable[Any]) -> None:
    if out is not None:
        out.writelines(encode(message) + b"\n" for message in messages)
