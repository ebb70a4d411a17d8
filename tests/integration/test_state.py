"""The state topic on a real broker: what a worker left is what the next one finds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from stream.shell.connection import Connection
from stream.shell.state import COMMIT, StateError, StateStore, Writer
from stream.shell.topics import STATE, Topics, create
from tests.integration.conftest import Broker

Rows = dict[bytes, bytes]


class Place:
    """One partition of a state topic, with the store of every writer that asks for one."""

    def __init__(self, connection: Connection, topic: str) -> None:
        self._connection = connection
        self.topic = topic
        self.producer = AIOKafkaProducer(**connection.for_aiokafka(), acks="all")
        self._stores: list[StateStore] = []

    async def claim(self, name: str) -> tuple[Rows, Writer, int]:
        """Take the partition over: its rows, the new writer, and how many records were unreadable."""
        store = StateStore(self._connection, self.topic)
        await store.start()
        self._stores.append(store)
        restored = (await store.restore([0], name))[0]
        return restored.rows, restored.writer, restored.unreadable

    async def rows(self) -> Rows:
        """Give what the next owner would find."""
        return (await self.claim("reader"))[0]

    async def put(
        self, key: bytes, value: bytes | None, *, layout: int = 1, writer: str, number: int
    ) -> None:
        """Write a record as it stands, past every writer."""
        headers = [("f", b"%d" % layout), ("w", writer.encode()), ("n", b"%d" % number)]
        await self.producer.send_and_wait(self.topic, value, key=key, partition=0, headers=headers)

    async def close(self) -> None:
        """Disconnect."""
        await self.producer.stop()
        for store in self._stores:
            await store.stop()


@pytest_asyncio.fixture
async def place(broker: Broker, prefix: str) -> AsyncIterator[Place]:
    """Give an empty state topic."""
    connection, topics = Connection(bootstrap=broker.bootstrap), Topics(prefix=prefix, partitions=1)
    await create(connection, topics)
    made = Place(connection, topics.full(STATE))
    await made.producer.start()
    yield made
    await made.close()


async def test_rows_are_found_as_they_were_last_committed(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1", b"y": b"1"})
    await writer.write({b"x": b"2"})
    assert await place.rows() == {b"x": b"2", b"y": b"1"}


async def test_a_row_that_was_deleted_is_gone(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1", b"y": b"1"})
    await writer.write({b"x": None})
    assert await place.rows() == {b"y": b"1"}


async def test_a_worker_that_lost_its_partition_overwrites_nothing(place: Place) -> None:
    _, stale, _ = await place.claim("a")
    await stale.write({b"x": b"1"})
    rows, owner, _ = await place.claim("b")
    await stale.write({b"x": b"stale", b"z": b"stale"})
    assert rows == {b"x": b"1"}
    assert await place.rows() == {b"x": b"1"}
    assert owner.number == 1


async def test_the_new_owner_goes_on_beside_a_worker_that_lost_its_partition(place: Place) -> None:
    _, stale, _ = await place.claim("a")
    await stale.write({b"x": b"1"})
    _, owner, _ = await place.claim("b")
    await stale.write({b"x": b"stale"})
    await owner.write({b"x": b"2"})
    await stale.write({b"x": b"staler"})
    assert await place.rows() == {b"x": b"2"}


async def test_rows_without_their_commit_do_not_count(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1"})
    await place.put(b"x", b"\0\0\0\0half", writer="a", number=2)
    assert await place.rows() == {b"x": b"1"}


async def test_rows_that_do_not_count_are_written_over_by_the_next_checkpoint(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1"})
    await place.put(b"x", b"\0\0\0\0half", writer="a", number=2)
    await place.put(b"new", b"\0\0\0\0half", writer="a", number=2)
    _, owner, _ = await place.claim("b")
    assert owner.void == {b"x": b"1", b"new": None}
    await owner.write({b"y": b"1"})
    assert (await place.claim("c"))[1].void == {}


async def test_a_damaged_row_is_counted_and_left_out(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1", b"y": b"1"})
    await place.put(b"x", b"\0\0\0\0damaged", writer="a", number=2)
    await place.put(COMMIT, b"", writer="a", number=2)
    rows, _, unreadable = await place.claim("b")
    assert (rows, unreadable) == ({b"y": b"1"}, 1)


async def test_a_record_of_somebody_else_is_counted_and_left_out(place: Place) -> None:
    _, writer, _ = await place.claim("a")
    await writer.write({b"x": b"1"})
    await place.producer.send_and_wait(place.topic, b"?", key=b"x", partition=0)
    rows, _, unreadable = await place.claim("b")
    assert (rows, unreadable) == ({b"x": b"1"}, 1)


async def test_a_newer_format_is_refused(place: Place) -> None:
    await place.put(b"x", b"?", layout=3, writer="newer", number=1)
    with pytest.raises(StateError, match="the state is of format 3, this version reads up to 2"):
        await place.claim("a")
