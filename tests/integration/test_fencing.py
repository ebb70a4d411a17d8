"""Who has lost a partition writes nothing any more, and what is taken back was never said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from stream.shell.connection import Connection
from stream.shell.fencing import (
    IDLE_SECONDS,
    TOO_LARGE,
    FencedError,
    FencedProducer,
    TransactionError,
    Transactions,
)
from stream.shell.producers import Producers
from stream.shell.state import CLAIM, PROBE, Restored, StateStore
from stream.shell.topics import ALERTS, STATE, Topics, create
from tests.integration import logs, reading
from tests.integration.conftest import Broker
from tests.integration.replaying import replay
from tests.integration.running import RunningWorker, publish, settings, wait_until

Claim = Callable[[str, Transactions], Awaitable[Restored]]


@pytest_asyncio.fixture
async def claim(kafka: Broker, prefix: str) -> AsyncIterator[Claim]:
    """Give what takes partition 0 of an empty state topic over."""
    connection = Connection(bootstrap=kafka.bootstrap)
    topics = Topics(prefix=prefix, partitions=1)
    await create(connection, topics)
    stores: list[StateStore] = []

    async def claimed(name: str, transactions: Transactions) -> Restored:
        producers = Producers(connection, f"group-{prefix}", transactions)
        store = StateStore(connection, topics.full(STATE), producers)
        await store.start()
        stores.append(store)
        return (await store.restore([0], name))[0]

    yield claimed
    for store in stores:
        await store.stop()


async def test_a_writer_that_lost_its_partition_is_refused(claim: Claim) -> None:
    stale = (await claim("a", "on")).writer
    await stale.write({b"x": b"1"})
    owner = await claim("b", "on")
    with pytest.raises(FencedError, match="another worker writes as group-"):
        await stale.write({b"x": b"stale"})
    await owner.writer.write({b"y": b"1"})
    assert owner.rows == {b"x": b"1"}
    assert not owner.writer.is_intruded
    assert (await claim("c", "on")).rows == {b"x": b"1", b"y": b"1"}


async def test_nothing_of_a_refused_checkpoint_is_there_to_be_read(
    claim: Claim, kafka: Broker, prefix: str
) -> None:
    stale = (await claim("a", "on")).writer
    await claim("b", "on")
    with pytest.raises(FencedError):
        await stale.write({b"x": b"stale"})
    keys = [record.key for record in await asyncio.to_thread(reading.records, kafka, prefix + STATE)]
    assert keys == [PROBE, CLAIM, PROBE, CLAIM]


async def test_a_writer_in_the_middle_of_its_transaction_is_refused(claim: Claim) -> None:
    stale = (await claim("a", "on")).writer
    assert isinstance(stale.producers.state, FencedProducer)
    restored: list[Restored] = []

    async def write_while_it_is_taken(producer: FencedProducer) -> None:
        async with producer.transaction() as together:
            await (await together.send(stale.topic, b"stale", key=b"x", partition=0, headers=[]))
            restored.append(await claim("b", "on"))

    with pytest.raises(FencedError):
        await write_while_it_is_taken(stale.producers.state)
    assert restored[0].rows == {}
    assert restored[0].unreadable == 0
    assert restored[0].writer.void == {}


@pytest.mark.parametrize(("before", "after"), [("off", "on"), ("on", "off")])
async def test_the_state_is_found_whether_it_was_written_in_transactions_or_not(
    claim: Claim, before: Transactions, after: Transactions
) -> None:
    first = (await claim("a", before)).writer
    await first.write({b"x": b"1", b"y": b"1"})
    await first.write({b"x": b"2", b"y": None})
    second = await claim("b", after)
    await second.writer.write({b"z": b"1"})
    assert second.rows == {b"x": b"2"}
    assert (await claim("c", before)).rows == {b"x": b"2", b"z": b"1"}


async def test_the_owner_sees_that_somebody_writes_past_the_transactions(claim: Claim) -> None:
    owner = (await claim("a", "on")).writer
    await owner.write({b"x": b"1"})
    intruder = (await claim("b", "off")).writer
    await owner.write({b"x": b"2"})
    assert owner.is_intruded
    await intruder.write({b"x": b"3"})
    assert (await claim("c", "on")).rows == {b"x": b"3"}


async def test_an_output_is_committed_at_once_and_in_order(claim: Claim, kafka: Broker, prefix: str) -> None:
    producer = (await claim("a", "on")).writer.producers.outputs
    sent = [await producer.send(prefix + ALERTS, b"%d" % number, key=b"m") for number in range(2_500)]
    offsets = [metadata.offset for metadata in await asyncio.gather(*sent)]
    found = await asyncio.to_thread(reading.records, kafka, prefix + ALERTS)
    assert [record.value for record in found] == [b"%d" % number for number in range(2_500)]
    assert [record.offset for record in found] == offsets


async def test_an_alert_does_not_wait_until_the_broker_has_a_checkpoint(
    claim: Claim, kafka: Broker, prefix: str
) -> None:
    state, outputs = (await claim("a", "on")).writer.producers
    assert isinstance(state, FencedProducer)
    async with state.transaction() as together:
        await together.send(prefix + STATE, b"row", key=b"x", partition=0)
        await asyncio.wait_for(await outputs.send(prefix + ALERTS, b"alert", key=b"m"), 30.0)
        found = await asyncio.to_thread(reading.records, kafka, prefix + ALERTS)
    assert [record.value for record in found] == [b"alert"]


async def test_an_id_that_publishes_nothing_for_long_writes_a_checkpoint(
    claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker would forget it, and refuse the first alert after a quiet week."""
    writer = (await claim("a", "on")).writer
    state, outputs = writer.producers
    assert isinstance(state, FencedProducer)
    assert isinstance(outputs, FencedProducer)
    by: list[str] = []
    commit = AIOKafkaProducer.commit_transaction

    async def noted(producer: AIOKafkaProducer) -> None:
        by.append(producer._txn_manager.transactional_id.rpartition("-0")[2])  # noqa: SLF001
        await commit(producer)

    monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", noted)
    await writer.write({b"x": b"1"})
    outputs._used -= IDLE_SECONDS  # noqa: SLF001 - an hour goes by
    await writer.write({b"x": b"2", b"y": b"1"})
    await writer.write({b"y": b"2"})
    assert by == ["", "-outputs", ""]
    assert not writer.is_intruded
    assert (await claim("b", "on")).rows == {b"x": b"2", b"y": b"2"}


async def test_an_output_that_was_on_its_way_when_the_partition_was_lost_is_refused(
    claim: Claim, kafka: Broker, prefix: str
) -> None:
    stale = (await claim("a", "on")).writer.producers.outputs
    owner = (await claim("b", "on")).writer.producers.outputs
    late = await stale.send(prefix + ALERTS, b"late", key=b"m")
    await (await owner.send(prefix + ALERTS, b"in time", key=b"m"))
    with pytest.raises(FencedError):
        await late
    with pytest.raises(FencedError):
        await stale.send(prefix + ALERTS, b"later", key=b"m")
    found = await asyncio.to_thread(reading.records, kafka, prefix + ALERTS)
    assert [record.value for record in found] == [b"in time"]


async def test_a_record_that_is_too_large_takes_its_transaction_along_and_nothing_more(
    claim: Claim, kafka: Broker, prefix: str
) -> None:
    producer, alerts = (await claim("a", "on")).writer.producers.outputs, prefix + ALERTS
    await (await producer.send(alerts, b"before", key=b"m", partition=0))
    large = b"." * 2_000_000  # the topic takes a million
    together = [
        await producer.send(alerts, value, key=b"m", partition=0) for value in (b"one", large, b"two")
    ]
    said = await asyncio.gather(*together, return_exceptions=True)
    alone: list[object] = []
    for value in (b"one", large, b"two"):
        sent = await producer.send(alerts, value, key=b"m", partition=0)
        alone += await asyncio.gather(sent, return_exceptions=True)
    assert [isinstance(answer, TOO_LARGE) for answer in said] == [True] * 3
    assert [isinstance(answer, TOO_LARGE) for answer in alone] == [False, True, False]
    found = await asyncio.to_thread(reading.records, kafka, alerts)
    assert [record.value for record in found] == [b"before", b"one", b"two"]


async def test_a_broker_without_transactions_is_told_from_one_that_has_them(broker: Broker) -> None:
    producers = Producers(Connection(bootstrap=broker.bootstrap), "group-told", "on")
    try:
        if broker.transactions:
            await producers.start()
            taken = (await producers.take([0]))[0]
            assert all(isinstance(producer, FencedProducer) for producer in taken)
        else:
            with pytest.raises(TransactionError, match="the broker has no transactions"):
                await producers.start()
    finally:
        await producers.stop()


def test_a_worker_says_once_where_claims_alone_guard_the_state(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    with RunningWorker(settings(broker, prefix), tmp_path / "log").ready() as worker:
        assert worker.log.count("claims in the state topic say whose") == (not broker.transactions)
        assert worker.terminate() == 0


def test_a_worker_that_is_woken_writes_nothing_that_can_be_read(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(kafka, prefix, max_poll_records=200, checkpoint_seconds=0.1)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit", "churn", "fraud"], 6_000))
    first, second = logs.split(file, 2)
    with (
        RunningWorker(environment, tmp_path / "log-1") as one,
        RunningWorker(environment, tmp_path / "log-2") as other,
    ):
        both = (one.ready(), other.ready())
        publish(first, environment)
        wait_until(lambda: any(it.metric("events_total") > 500 for it in both), lambda: one.log + other.log)
        frozen, owner = both if one.metric("events_total") else (other, one)
        frozen.freeze()  # when it wakes, it goes on with its work, and with what was published meanwhile
        publish(second, environment)
        owner.wait_for(lambda it: it.metric("partitions") == 1 and it.metric("checkpoints_total") > 0)
        frozen.thaw()
        reading.wait_until_committed(kafka, environment, file)
        assert [worker.terminate() for worker in both] == [0, 0]
    owners: list[bytes] = []
    for record in reading.records(kafka, prefix + STATE):
        writer = dict(record.headers)["w"]
        if record.key == CLAIM:
            owners.append(writer)
        elif record.key != PROBE:
            assert writer == owners[-1]
    assert len(owners) > 1
    assert reading.incidents(kafka, prefix) == replay(file, environment).incidents


async def test_what_a_producer_takes_back_is_no_event(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    environment = settings(kafka, prefix)
    events = list(logs.shifted(["credit"], 60))
    predictions = [event for event in events if event["type"] == "prediction"]
    with RunningWorker(environment, tmp_path / "log") as worker:
        await asyncio.to_thread(worker.ready)
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=prefix + "serving")
        await producer.start()
        try:
            for number, event in enumerate([*predictions[:30], predictions[30]]):
                await producer.begin_transaction()
                await producer.send_and_wait(
                    prefix + "predictions", json.dumps(event).encode(), key=b"credit"
                )
                if number == 30:
                    break  # this one stays open: nobody waits for it
                await (producer.commit_transaction() if number % 3 else producer.abort_transaction())
            await asyncio.to_thread(
                worker.wait_for, lambda it: it.metric("events_total") == 20 and it.has_caught_up
            )
            await producer.commit_transaction()
            await asyncio.to_thread(
                worker.wait_for, lambda it: it.metric("events_total") == 21 and it.has_caught_up
            )
        finally:
            await producer.stop()
        assert worker.metric("rejected_total") == 0
        assert await asyncio.to_thread(worker.terminate) == 0
