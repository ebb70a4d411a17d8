"""Replay: the same core over a file instead of Kafka; a pure function of the file.

A file says nothing of when its lines were written, so the log itself tells what is far ahead of it, in the
span of a batch: see :mod:`stream.core.ahead`. With a clock given, a replay does what a worker does that reads
the same log at that time.
"""

from __future__ import annotations

import errno
import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Incident
from schemas.codec import encode
from stream.core.ahead import Stretch, stretches
from stream.core.decoded import Decoded
from stream.core.decoding import Decoding
from stream.core.lines import parts
from stream.core.merge import TURN_RECORDS
from stream.core.nouns import Result, Topic
from stream.core.pipeline import Pipeline
from stream.core.records import Numbered, Records

BLOCK_BYTES = 1024 * 1024

BATCH_RECORDS = TURN_RECORDS


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


class _Blocks(Protocol):
    """A file of bytes that is buffered."""

    def read1(self, size: int, /) -> bytes:
        """Give what there is of the next *size* bytes, at least one; none at the end."""


class Read(NamedTuple):
    """Some records of a file with their times, in seconds since the epoch, and their models.

    A time is NaN where a record has none. *decoded* are the events of the records where each line is one.
    """

    records: Records
    times: NDArray[np.float64]
    models: Sequence[str]
    decoded: Decoded | None


def replay(
    files: Iterable[str],
    pipeline: Pipeline,
    outputs: Outputs,
    progress: Callable[[int], None],
    now: float | None = None,
) -> Totals:
    """Lead the events of *files*, in their order, through *pipeline*; write what comes out to *outputs*.

    *progress* is called with the number of records taken so far. *now*, in seconds since the epoch, is the
    clock that tells an event from the future; without it the log does. Raises OSError where a file cannot be
    read or written.
    """
    totals = Totals()
    with ExitStack() as stack:
        alerts, rejected = (
            stack.enter_context(path.open("wb")) if path else None
            for path in (outputs.alerts, outputs.rejected)
        )
        for read, following in pairwise(chain(batches(lines(files)), [None])):
            assert read is not None  # noqa: S101 - only the last is
            for start, stop, clock in _stretches(read, following, pipeline, now):
                decoded = None if read.decoded is None else read.decoded.part(start, stop)
                result = pipeline.step(read.records[start:stop], clock, decoded)
                totals.add(result)
                _write(alerts, result.alerts)
                _write(rejected, result.rejected)
            totals.records += len(read.records)
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
            source: _Blocks
            if file == "-":
                source = cast("_Blocks", sys.stdin.buffer)
            elif file.endswith(".gz"):
                source = stack.enter_context(gzip.open(file, "rb"))
            else:
                source = stack.enter_context(Path(file).open("rb"))
            try:
                yield from filter(None, map(bytes.strip, _cut(source)))
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise OSError(errno.EIO, f"damaged: {error}", file) from error


def _cut(source: _Blocks) -> Iterator[bytes]:
    """Give the lines of *source*, without their ends, from blocks of it: half of what one at a time costs."""
    begun: list[bytes] = []
    while block := source.read1(BLOCK_BYTES):
        first, *others = block.split(b"\n")
        begun.append(first)
        if others:
            yield b"".join(begun)
            begun = [others.pop()]
            yield from others
    yield b"".join(begun)


def _stretches(
    read: Read, following: Read | None, pipeline: Pipeline, now: float | None
) -> Sequence[Stretch]:
    """Cut a batch by the clock that its records are measured by."""
    if now is not None:
        return [Stretch(0, len(read.records), now)]
    topics, times, models = read.records.topics, read.times, read.models
    if following is not None:
        topics = np.concatenate((topics, following.records.topics))
        times = np.concatenate((times, following.times))
        models = [*models, *following.models]
    return stretches(topics, times, models, len(read.records), pipeline.lateness_of)


def batches(lines: Iterable[bytes]) -> Iterator[Read]:
    """Give the records that fresh topics of one partition would hold, in the order of *lines*.

    Timestamps are 0: nothing asks for them where the order is given.
    """
    numbered = np.zeros(len(Topic), dtype=np.int64)
    rest, decoding = iter(lines), Decoding()
    while batch := list(islice(rest, BATCH_RECORDS)):
        values: list[bytes | None]
        models: Sequence[str]
        if (decoded := decoding.read(batch)) is not None:
            topics, values, models, times = decoded.topics, [*batch], decoded.models, decoded.times
        else:
            read = [part for line in batch for part in parts(line)]
            topics = np.array([part.topic for part in read], dtype=np.int8)
            values, models = [part.value for part in read], [part.model or "" for part in read]
            times = np.array([part.time for part in read], dtype=np.float64)  # None becomes NaN
        offsets = np.empty(len(topics), dtype=np.int64)
        for topic, count in enumerate(np.bincount(topics, minlength=len(Topic)).tolist()):
            offsets[topics == topic] = numbered[topic] + np.arange(count)
            numbered[topic] += count
        stamps = np.zeros(len(topics))
        records = Records(0, topics, stamps, values, Numbered(offsets), has_headers=False)
        yield Read(records, times, models, decoded)


def _write(out: IO[bytes] | None, messages: Iterable[Any]) -> None:
    if out is not None:
        out.writelines(encode(message) + b"\n" for message in messages)
