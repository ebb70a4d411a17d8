"""A partition at work in a process that was stopped: what it publishes is never out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from stream.config import Settings
from stream.core.lost import Gap
from stream.core.merge import Merge
from stream.core.nouns import Topic
from stream.shell import clock
from stream.shell import partition as partition_module
from stream.shell.clock import Pauses
from stream.shell.fencing import FencedError
from stream.shell.metrics import Metrics
from stream.shell.outputs import Outputs
from stream.shell.partition import Partition
from stream.shell.state import Writer
from stream.shell.status import new_registry
from stream.shell.topics import Topics
from stream.wiring import build_replay_pipeline
from tests.flow.timeline import a_pipeline, at, prediction, to_bytes

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
        done.set_result(SimpleNamespace(offset=len(self.sent)))
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
        Writer(producer, "state", 0, "w"),
        Outputs(producer, topics, metrics),
        topics,
        metrics,
        Pauses(LIMIT_S),
    )
    place = Place(partition, time, store, producer)
    place.take(0)
    return place


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


async def test_a_checkpoint_is_due_in_time_or_sooner_when_much_was_processed_and_it_is_cheap(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_module, "EARLY_RECORDS", 2)
    partition, time = place.partition, place.time
    partition.last_checkpoint = time.now
    assert await place.advance() == 1
    time.now += 4.9
    assert not partition.is_checkpoint_due(5.0, 0)
    place.take(1)
    assert await place.advance() == 1
    assert partition.is_checkpoint_due(5.0, 1)  # two records
    assert not partition.is_checkpoint_due(5.0, 2)  # and as many more to come: alerts are late anyway
    write = partition.writer.write

    async def slowly(rows: Mapping[bytes, bytes | None]) -> int:
        time.now += 0.4
        return await write(rows)

    monkeypatch.setattr(Writer, "write", staticmethod(slowly))
    await partition.checkpoint()
    for offset in (2, 3):
        place.take(offset)
        assert await place.advance() == 1
    time.now += 4.9
    assert not partition.is_checkpoint_due(20.0, 0)  # .4 s would be more than a twelfth of them
    time.now += 0.2
    assert partition.is_checkpoint_due(20.0, 0)
    await partition.checkpoint()
    assert not partition.is_checkpoint_due(20.0, 0)
    time.now += 20.1
    assert partition.is_checkpoint_due(20.0, 0)


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
