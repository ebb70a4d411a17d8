"""A transaction that a topic holds up is told with what the broker said of it: aiokafka only asks again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, NotEnoughReplicasError, NotLeaderForPartitionError
from aiokafka.structs import TopicPartition

from stream.shell import fencing
from stream.shell.connection import Connection
from stream.shell.fencing import FencedProducer
from stream.shell.outputs import PublishError, refusals_of

INCIDENTS = TopicPartition("driftline.incidents", 0)


@dataclass
class Client:
    """Answers every request to write with an error that is worth another try."""

    refusal: type[KafkaError]
    cluster: Any = field(default_factory=lambda: SimpleNamespace(partitions_for_topic=lambda _topic: {0}))

    async def send(self, _node: int, request: Any) -> Any:  # noqa: ANN401 - aiokafka's
        assert request is not None
        error = (0, self.refusal.errno, -1, -1, -1)
        return SimpleNamespace(API_VERSION=7, topics=[(INCIDENTS.topic, [error])])

    def force_metadata_update(self) -> asyncio.Future[bool]:
        known = asyncio.get_running_loop().create_future()
        known.set_result(True)
        return known

    async def _maybe_wait_metadata(self) -> None:
        """Know where the leaders are."""


class Producer:
    """Stands for aiokafka's: sends a record once, which the broker refuses, and waits for another try."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._txn_manager = SimpleNamespace(
            transactional_id="group-0",
            _sequence_numbers={},
            wait_for_transaction_end=lambda: asyncio.get_running_loop().create_future(),
        )
        self._message_accumulator = SimpleNamespace(_batches={}, _pending_batches=set(), reenqueue=id)
        self._sender = SimpleNamespace(
            client=client,
            _txn_manager=self._txn_manager,
            _message_accumulator=self._message_accumulator,
            _acks=-1,
            _request_timeout_ms=1_000,
            _retry_backoff=0.0,
            _in_flight={1},
            _muted_partitions={INCIDENTS},
            _send_produce_req=None,
        )

    async def begin_transaction(self) -> None:
        """Begin."""

    async def send(self, topic: str, _value: bytes, **_more: object) -> asyncio.Future[None]:
        assert topic == INCIDENTS.topic
        batch = SimpleNamespace(tp=INCIDENTS, get_data_buffer=lambda: b"records")
        await self._sender._send_produce_req(1, {INCIDENTS: batch})  # noqa: SLF001 - as its sender does
        assert self._sender._in_flight == self._sender._muted_partitions == set()  # noqa: SLF001
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            NotEnoughReplicasError,
            r"\(NotEnoughReplicasError\): fewer replicas are in sync than its min.insync.replicas",
        ),
        (NotLeaderForPartitionError, r"\(NotLeaderForPartitionError\): look at the broker"),
    ],
)
async def test_a_transaction_that_a_topic_holds_up_says_what_the_broker_said(
    monkeypatch: pytest.MonkeyPatch, refusal: type[KafkaError], said: str
) -> None:
    monkeypatch.setattr(fencing, "AIOKafkaProducer", lambda **_options: Producer(Client(refusal)))
    producer = FencedProducer(Connection(bootstrap="127.0.0.1:1"), "group-0", 0.1)
    refused = pytest.raises(PublishError, match=f"topic {INCIDENTS.topic} takes no messages {said}")
    with refused, refusals_of("driftline.alerts"):
        await (await producer.send(INCIDENTS.topic, b"{}"))
