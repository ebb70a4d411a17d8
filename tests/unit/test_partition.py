"""A partition at work in a process that was stopped: what it publishes is never out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from stream.config import Settings
from stream.core.lost import Gap
from stream.core.merge import Merge
from stream.core.nouns import Topic
from stream.core.pipeline import Position
from stream.shell import clock
from stream.shell.clock import Pauses
from stream.shell.fencing import FencedError
from stream.shell.metrics import Metrics
from stream.shell.outputs import Outputs, PublishError
from stream.shell.partition import Partition
from stream.shell.producers import Pair
from stream.shell.state import Writer
from stream.shell.status import new_registry
from stream.shell.topics import Topics
from stream.wiring import build_replay_pipeline
from tests.flow.timeline import a_pipeline, at, prediction, to_bytes
from tests.unit.turns import settled

LIMIT_S = 5.0


@dataclass
class Clock:
    """A steady clock that the test moves."""

    now: float = 100.0

    def steady(self) -> float:
        return self.now


@dataclass
class Producer:
    """Keeps what is sent; every record is acknowledged at once."""

    sent: list[str] = field(default_factory=list)
    stamps: list[object] = field(default_factory=list)
    is_fenced: bool = False

    async def send(self, topic: str, _value: bytes | None, **more: object) -> asyncio.Future[Any]:
        if self.is_fenced:
            raise FencedError("another worker writes as group-0 now")
        self.sent.append(topic)
        self.stamps.append(more.get("timestamp_ms"))
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.set_result(SimpleNamespace(offset=self.sent.count(topic) - 1))
        return done


@dataclass
class Store:
    """Says whose the partition is, and how often it was asked."""

    is_ours: bool = True
    asked: int = 0

    async def mend(self, _writer: Writer) -> bool:
        self.asked += 1
        return self.is_ours


@dataclass
class Place:
    """A partition with one bad record in hand, which it will publish as rejected."""

    partition: Partition
    time: Clock
    store: Store
    producer: Producer

    def take(self, offset: int) -> None:
        record = SimpleNamespace(offset=offset, timestamp=0, value=b"bad", key=None, headers=())
        self.partition.offer(Topic.PREDICTIONS, offset, [record], self.time.now)

    async def advance(self) -> int:
        empty: Mapping[Topic, float] = dict.fromkeys(Topic, self.time.now + 1)
        return await self.partition.advance(empty)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """Make a partition whose process has looked at the clock just now."""
    time, store, producer = Clock(), Store(), Producer()
    monkeypatch.setattr(clock, "steady", time.steady)
    pipeline = build_replay_pipeline(Settings())
    topics = Topics(prefix="driftline.", partitions=1)
    metrics = Metrics(new_registry(), version="0")
    partition = Partition(
        pipeline,
        Merge(pipeline.positions, 1.0),
        store,  # type: ignore[arg-type]  # only what a pause makes it do
        Writer(Pair(producer, producer), "state", 0, "w"),
        Outputs(producer, topics, metrics),
        topics,
        metrics,
        Pauses(LIMIT_S),
    )
    place = Place(partition, time, store, producer)
    place.take(0)
    return place


@dataclass
class Gate:
    """Keeps the first checkpoint from being written until it is opened; notes what each is to write."""

    write: Callable[[Writer, Mapping[bytes, bytes | None]], Awaitable[int]]
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    written: list[Mapping[bytes, bytes | None]] = field(default_factory=list)
    error: Exception | None = None

    async def through(self, writer: Writer, rows: Mapping[bytes, bytes | None]) -> int:
        self.written.append(rows)
        self.reached.set()
        await self.opened.wait()
        if self.error is not None:
            raise self.error
        return await self.write(writer, rows)

    async def begin(self, place: Place) -> asyncio.Task[Mapping[Topic, int]]:
        """Bring the checkpoint of what is in hand to the gate; then there is one record more."""
        assert await place.advance() == 1
        task = asyncio.create_task(place.partition.checkpoint())
        await self.reached.wait()
        place.take(1)
        return task

    def positions(self) -> list[int]:
        """Give how far each checkpoint has read the predictions."""
        key = msgspec.json.encode(("pipeline",))
        reached = [msgspec.msgpack.decode(rows[key] or b"", type=Position) for rows in self.written]
        return [position.offsets["predictions"] for position in reached]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Put a gate before the writer."""
    gate = Gate(Writer.write)

    async def write(writer: Writer, rows: Mapping[bytes, bytes | None]) -> int:
        return await gate.through(writer, rows)

    monkeypatch.setattr(Writer, "write", write)
    return gate


async def test_a_partition_publishes_without_asking_while_its_process_runs(place: Place) -> None:
    place.time.now += LIMIT_S - 1
    assert await place.advance() == 1
    assert (place.store.asked, place.producer.sent) == (0, ["driftline.rejected"])


async def test_after_a_pause_a_partition_asks_once_and_goes_on_where_it_is_still_ours(place: Place) -> None:
    place.time.now += LIMIT_S + 1
    assert await place.advance() == 1
    place.take(1)
    assert await place.advance() == 1
    assert (place.store.asked, place.producer.sent) == (1, ["driftline.rejected"] * 2)


async def test_after_a_pause_a_partition_that_was_taken_publishes_and_writes_nothing(place: Place) -> None:
    place.store.is_ours = False
    place.time.now += LIMIT_S + 1
    assert await place.advance() == 0
    assert await place.partition.checkpoint() == {}
    place.take(1)
    assert await place.advance() == 0
    assert (place.store.asked, place.producer.sent) == (1, [])


async def test_a_partition_that_the_broker_refuses_is_lost_and_says_so(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.producer.is_fenced = True
    assert await place.advance() == 0
    assert place.partition.is_lost
    assert caplog.messages == [
        "partition 0 is lost, nothing more is written: another worker writes as group-0 now"
    ]


async def test_a_partition_whose_checkpoint_is_refused_is_lost(place: Place) -> None:
    assert await place.advance() == 1
    place.producer.is_fenced = True
    assert await place.partition.checkpoint() == {}
    place.take(1)
    assert await place.advance() == 0
    assert place.partition.is_lost


async def test_a_lost_gap_is_told_when_what_stands_before_it_is_processed_and_committed(place: Place) -> None:
    place.partition.skip(Topic.PREDICTIONS, Gap(1, 9, is_lost=True))
    assert place.partition.is_full(Topic.PREDICTIONS)
    await place.advance()
    assert place.producer.sent == [
        "driftline.rejected",
        *["state"] * (len(place.producer.sent) - 3),
        "driftline.alerts",
        "driftline.incidents",
    ]
    assert place.partition.pipeline.positions[Topic.PREDICTIONS] == 9
    assert not place.partition.is_full(Topic.PREDICTIONS)


async def test_a_gap_waits_for_runs_that_are_still_on_their_way(place: Place) -> None:
    place.partition.skip(Topic.PREDICTIONS, Gap(2, 9, is_lost=True))
    await place.advance()
    assert place.partition.is_waiting
    place.take(1)
    await place.advance()
    assert place.partition.pipeline.positions[Topic.PREDICTIONS] == 9
    assert not place.partition.is_waiting


async def test_a_checkpoint_reaches_behind_the_markers_that_follow_the_last_record(place: Place) -> None:
    record = SimpleNamespace(offset=1, timestamp=0, value=b"bad", key=None, headers=())
    place.partition.offer(Topic.PREDICTIONS, 1, [record], place.time.now, stop=5)
    await place.advance()
    assert (await place.partition.checkpoint())[Topic.PREDICTIONS] == 5


async def test_a_checkpoint_is_due_so_long_after_the_last_was_written(place: Place) -> None:
    partition, time = place.partition, place.time
    partition.last_checkpoint = time.now
    assert await place.advance() == 1
    time.now += 4.9
    assert not partition.is_checkpoint_due(5.0)
    time.now += 0.1
    assert partition.is_checkpoint_due(5.0)
    await partition.checkpoint()
    assert not partition.is_checkpoint_due(5.0)


async def test_steps_go_on_while_a_checkpoint_is_written(place: Place, gate: Gate) -> None:
    writing = await gate.begin(place)
    assert await place.advance() == 1
    assert place.producer.sent.count("driftline.rejected") == 2
    gate.opened.set()
    assert (await writing)[Topic.PREDICTIONS] == 1
    assert (await place.partition.checkpoint())[Topic.PREDICTIONS] == 2
    assert gate.positions() == [1, 2]


async def test_the_last_checkpoint_follows_one_that_is_being_written(place: Place, gate: Gate) -> None:
    writing = await gate.begin(place)
    assert await place.advance() == 1
    last = asyncio.create_task(place.partition.give_up())
    await settled()
    place.take(2)
    assert await place.advance() == 0  # it is given up
    assert not last.done()
    gate.opened.set()
    assert await writing == {}  # what the group is told is what the last one reaches
    assert (await last)[Topic.PREDICTIONS] == 2
    assert gate.positions() == [1, 2]


async def test_after_a_checkpoint_that_failed_none_is_written(place: Place, gate: Gate) -> None:
    """It would lack the rows of the one before it."""
    writing = await gate.begin(place)
    assert await place.advance() == 1
    last = asyncio.create_task(place.partition.give_up())
    await settled()
    gate.error = PublishError("topic state takes no messages")
    gate.opened.set()
    with pytest.raises(PublishError):
        await writing
    assert await last == {}
    assert gate.positions() == [1]


async def test_after_a_pause_a_partition_asks_when_its_checkpoint_is_written(
    place: Place, gate: Gate
) -> None:
    writing = await gate.begin(place)
    place.time.now += LIMIT_S + 1
    advancing = asyncio.create_task(place.advance())
    await settled()
    assert (place.store.asked, place.producer.sent.count("driftline.rejected")) == (0, 1)
    gate.opened.set()
    await writing
    assert await advancing == 1
    assert (place.store.asked, place.producer.sent.count("driftline.rejected")) == (1, 2)


async def test_what_stands_before_a_lost_gap_is_committed_after_what_was_taken_before(
    place: Place, gate: Gate
) -> None:
    writing = await gate.begin(place)
    place.partition.skip(Topic.PREDICTIONS, Gap(2, 9, is_lost=True))
    advancing = asyncio.create_task(place.advance())
    await settled()
    assert gate.positions() == [1]
    gate.opened.set()
    await asyncio.gather(writing, advancing)
    assert gate.positions() == [1, 2]
    assert place.producer.sent[-2:] == ["driftline.alerts", "driftline.incidents"]


async def test_an_event_is_sent_on_with_its_timestamp_unless_no_broker_takes_that(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "wall", lambda: 1_000.0)
    place.partition.pipeline = a_pipeline(partition_of=lambda _model: 1)
    place.partition.merge = Merge(place.partition.pipeline.positions, 1.0)
    for offset, timestamp in enumerate((999_000, 2_000_000, -(2**63))):
        value = to_bytes(at(offset), prediction(f"p{offset}"))
        record = SimpleNamespace(offset=offset, timestamp=timestamp, value=value, key=None, headers=())
        place.partition.offer(Topic.PREDICTIONS, offset, [record], place.time.now)
    assert await place.advance() == 3
    assert place.producer.sent == ["driftline.predictions"] * 3
    assert place.producer.stamps == [999_000, 1_000_000, 0]
