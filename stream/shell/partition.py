"""One input partition at work: its merge, its pipeline, its outputs, its checkpoints."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from stream.core.errors import NotContiguousError
from stream.core.lost import Gap
from stream.core.merge import Merge
from stream.core.nouns import Result, Topic
from stream.core.pipeline import Pipeline
from stream.core.records import Fetched, Records
from stream.shell import clock
from stream.shell.aside import at_once
from stream.shell.clock import Pauses
from stream.shell.evicted import forget_evicted
from stream.shell.fencing import FencedError
from stream.shell.metrics import Metrics
from stream.shell.outputs import Outputs
from stream.shell.pieces import Pieces
from stream.shell.state import StateStore, Writer
from stream.shell.topics import Topics

logger = logging.getLogger(__name__)

T = TypeVar("T")


class _Snapshot(NamedTuple):
    """What a checkpoint is to make sure of: rows, and the offsets of the inputs that they reflect."""

    rows: Mapping[bytes, bytes | None]
    positions: Mapping[Topic, int]


@dataclass(slots=True)
class Partition:
    """Owns one partition while this worker does; one thing at a time happens to it, under its lock.

    Checkpoints alone are written beside that, one after the other: what they hold is taken under the lock.
    When the process was stopped for long (*pauses*) the partition may be another worker's by now: it asks the
    state whose it is before it publishes anything more.
    """

    pipeline: Pipeline
    merge: Merge
    store: StateStore
    writer: Writer
    outputs: Outputs
    topics: Topics
    metrics: Metrics
    pauses: Pauses
    pieces: Pieces = field(default_factory=Pieces)
    aside: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]] = at_once
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_checkpoint: float = field(default_factory=clock.steady)
    is_changed: bool = False
    is_lost: bool = False
    _is_over: bool = False
    _gaps: dict[Topic, Gap] = field(default_factory=dict)
    _pauses_known: int = field(init=False)

    def __post_init__(self) -> None:
        self._pauses_known = self.pauses.look()

    @property
    def number(self) -> int:
        """The partition's number."""
        return self.pipeline.partition

    @property
    def is_waiting(self) -> bool:
        """Whether records wait for their turn, or a gap to be passed."""
        return bool(self._gaps or len(self.merge))

    def is_checkpoint_due(self, seconds: float) -> bool:
        """Tell whether *seconds* have passed since the last checkpoint."""
        return clock.steady() - self.last_checkpoint >= seconds

    def is_full(self, topic: Topic) -> bool:
        """Tell whether no more of *topic* should come: enough waits, or a gap has to be passed first."""
        return topic in self._gaps or self.merge.is_full(topic)

    def skip(self, topic: Topic, gap: Gap) -> None:
        """Pass *gap* when all records before it had their turn."""
        self._gaps[topic] = gap

    def offer(
        self,
        topic: Topic,
        start: int,
        records: Sequence[Fetched],
        arrived: float,
        stop: int | None = None,
        size: int | None = None,
    ) -> None:
        """Take a run of records; raises NotContiguousError where it does not follow the one before."""
        try:
            columns = Records.fetched(topic, self.number, records)
            self.merge.offer(topic, start, columns, arrived, stop, size)
        except NotContiguousError:
            self._gaps.pop(topic, None)  # it is found again with what stands before it
            raise

    async def advance(self, empty_at: Mapping[Topic, float]) -> int:
        """Process the records whose turn it is and publish what follows; give how many there were."""
        return await asyncio.shield(self._done(self._advance(empty_at), 0))

    async def checkpoint(self) -> Mapping[Topic, int]:
        """Make sure that all that was processed survives a crash; give the offsets up to which it does.

        What was published is acknowledged first, so that a committed checkpoint never lacks an output.
        """
        return await asyncio.shield(self._done(self._checkpoint(), {}))

    async def give_up(self) -> Mapping[Topic, int]:
        """Write the last checkpoint; nothing is processed after it."""
        return await asyncio.shield(self._done(self._checkpoint(is_last=True), {}))

    async def _done(self, work: Coroutine[None, None, T], nothing: T) -> T:
        """Do *work*; who waits for it may be cancelled, the work is not.

        Work that fails half-way is the last: a checkpoint after it would lack what it did not do. Where the
        broker refuses it, because the partition is another worker's, it comes to *nothing*.
        """
        try:
            return await work
        except FencedError as error:
            logger.warning("partition %d is lost, nothing more is written: %s", self.number, error)
            self._lose()
            return nothing
        except BaseException as error:
            self._lose()
            if isinstance(error, Exception):
                logger.exception("partition %d cannot go on", self.number)
            raise

    def _lose(self) -> None:
        """Process and write nothing more, not even what a checkpoint has taken and waits to write."""
        self.is_lost = self._is_over = True

    async def _advance(self, empty_at: Mapping[Topic, float]) -> int:
        async with self.lock:
            return await self._step(empty_at)

    async def _step(self, empty_at: Mapping[Topic, float]) -> int:
        if self.is_lost:
            return 0
        records = self.merge.take(empty_at, clock.wall())
        if not records:
            await self._pass_gaps()
            return 0
        began = clock.steady()
        result = self.pipeline.step(records, clock.wall())
        self.metrics.observe("processing_seconds", value=clock.steady() - began)
        self.metrics.add(result.tally)
        forget_evicted(self.metrics, result)
        self.is_changed = True
        if self.pauses.look() != self._pauses_known and not await self._is_still_ours():
            return 0
        await self._publish(result)
        await self._pass_gaps()
        return len(records)

    async def _publish(self, result: Result) -> None:
        """Send what there is to say; most steps say nothing, and need no other thread."""
        if result.alerts or result.incidents or result.rejected or result.forwards:
            await self.aside(self.outputs.publish(result))

    async def _pass_gaps(self) -> None:
        """Go on behind the gaps before which all was processed.

        The position before a lost one is committed first: where the loss begins names its incident, and who
        takes over from here finds it to begin there too.
        """
        for topic, gap in list(self._gaps.items()):
            if not self.merge.is_drained(topic) or self.merge.expected(topic) != gap.start:
                continue
            self._settle_positions()
            if gap.is_lost:
                await self._write(self._snapshot())
                if self.is_lost:
                    return
                lost = f"offsets {gap.start} to {gap.stop - 1} of topic {self.topics.full(topic.suffix)}"
                logger.error("partition %d: %s were deleted before they were read", self.number, lost)
            del self._gaps[topic]
            self.merge.skip(topic, gap.start, gap.stop)
            result = self.pipeline.skip(topic, gap, clock.wall())
            self.metrics.add(result.tally)
            self.is_changed = True
            await self._publish(result)

    def _settle_positions(self) -> None:
        """Move the positions past what holds no record behind the last one: it is nothing to be missed."""
        for topic, position in self.pipeline.positions.items():
            expected = self.merge.expected(topic)
            if position < expected and self.merge.is_drained(topic):
                self.pipeline.skip(topic, Gap(position, expected, is_lost=False), clock.wall())

    async def _checkpoint(self, *, is_last: bool = False) -> Mapping[Topic, int]:
        async with self.lock:
            was_lost, self.is_lost = self.is_lost, self.is_lost or is_last
            snapshot = None if was_lost else self._snapshot()
        return await self._write(snapshot, is_last=is_last)

    def _snapshot(self) -> _Snapshot | None:
        """Take what a checkpoint has to hold now, None where nothing has changed since the last."""
        if not self.is_changed:
            return None
        self._settle_positions()
        self.is_changed = False
        return _Snapshot(self.pieces.split(self.pipeline.rows()), dict(self.pipeline.positions))

    async def _write(self, snapshot: _Snapshot | None, *, is_last: bool = False) -> Mapping[Topic, int]:
        """Write checkpoints in the order in which they were taken; steps may go on meanwhile."""
        async with self.writing:
            if snapshot is None or self._is_over:
                return {}
            began = clock.steady()
            await self.aside(self.outputs.acknowledged())
            size = await self.aside(self.writer.write(snapshot.rows))
            if self.writer.is_intruded and not is_last:
                await self._mend()
            self.last_checkpoint = clock.steady()
        if self.is_lost and not is_last:
            return {}
        self.metrics.count("checkpoints_total")
        self.metrics.count("checkpoint_bytes_total", by=size)
        self.metrics.observe("checkpoint_seconds", value=self.last_checkpoint - began)
        return snapshot.positions

    async def _is_still_ours(self) -> bool:
        """Ask the state whose this partition is; what another worker has published must stand last."""
        self._pauses_known = self.pauses.count
        async with self.writing:
            is_ours = await self.aside(self.store.mend(self.writer))
        if not is_ours:
            logger.warning("partition %d: another worker took it while this one was stopped", self.number)
            self._lose()
        return not self.is_lost

    async def _mend(self) -> None:
        """See who has written between our records: a worker that lost this partition, or its new owner."""
        logger.warning("partition %d: another worker has written to its state", self.number)
        self.is_changed = True
        if not await self.aside(self.store.mend(self.writer)):
            logger.warning("partition %d: another worker has it now", self.number)
            self._lose()
