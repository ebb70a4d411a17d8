"""What the partitions of a worker write with: their state one way, what they publish another.

A checkpoint may be megabytes, and an alert does not wait until the broker has them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IncompatibleBrokerVersion, UnknownError

from stream.shell.connection import Connection
from stream.shell.fencing import PUBLISH_SECONDS, FencedProducer, TransactionError, Transactions
from stream.shell.topics import BATCH_BYTES, LARGE_RECORD_BYTES

logger = logging.getLogger(__name__)

_NO_TRANSACTIONS: Final = (UnknownError, IncompatibleBrokerVersion)

Producer: TypeAlias = AIOKafkaProducer | FencedProducer


class Pair(NamedTuple):
    """The producers of a partition: of its state, and of what it publishes."""

    state: Producer
    outputs: Producer


class Producers:
    """Gives every partition what it writes with."""

    def __init__(
        self,
        connection: Connection,
        name: str = "",
        transactions: Transactions = "off",
        publish_timeout_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        """Let transactional ids begin with *name*, which is that of the group and its topics."""
        self._connection = connection
        self._name = name
        self._transactions = transactions
        self._patience = publish_timeout_seconds
        self._fenced: list[FencedProducer] = []
        self._plain: Pair | None = None

    def _new_plain(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._connection.for_aiokafka(),
            acks="all",
            linger_ms=2,
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGE_RECORD_BYTES,
            request_timeout_ms=int(self._patience * 1000),
        )

    async def start(self) -> None:
        """Connect, and see what the broker can. Raises TransactionError where it cannot what is wanted."""
        is_wanted = self._transactions != "off"
        is_fencing = is_wanted and await has_transactions(self._connection, f"{self._name}-probe")
        if self._transactions == "on" and not is_fencing:
            raise TransactionError(
                "the broker has no transactions and DRIFTLINE_TRANSACTIONS is on: auto or off does without"
            )
        if not is_fencing:
            self._plain = plain = Pair(self._new_plain(), self._new_plain())
            await asyncio.gather(*(producer.start() for producer in plain))
            why = "are switched off" if self._transactions == "off" else "are not what this broker has"
            logger.info("transactions %s: claims in the state topic say whose a partition is", why)

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        await self._let_go()
        await asyncio.gather(*(producer.stop() for producer in self._plain or ()))

    async def take(self, partitions: Iterable[int]) -> dict[int, Pair]:
        """Give the producers of *partitions*; those given before are no more.

        What another worker, or an earlier producer of this one, has not committed by then never will be.
        """
        await self._let_go()
        if self._plain is not None:
            return dict.fromkeys(partitions, self._plain)
        taken = {
            number: Pair(self._new(f"{number}"), self._new(f"{number}-outputs")) for number in partitions
        }
        await asyncio.gather(*(producer.start() for producer in self._fenced))
        return taken

    def _new(self, name: str) -> FencedProducer:
        producer = FencedProducer(self._connection, f"{self._name}-{name}", self._patience)
        self._fenced.append(producer)
        return producer

    async def _let_go(self) -> None:
        leaving, self._fenced = self._fenced, []
        await asyncio.gather(*(producer.stop() for producer in leaving))


async def has_transactions(connection: Connection, transactional_id: str) -> bool:
    """Tell whether the broker gives out transactional ids; raises TransactionError where not to this user."""
    producer = FencedProducer(connection, transactional_id)
    said_by_aiokafka = logging.getLogger("aiokafka.producer.sender")
    said_by_aiokafka.disabled = True  # that a broker has none is no error
    try:
        with suppress(*_NO_TRANSACTIONS):
            await producer.start()
            await producer.stop()
            return True
    finally:
        said_by_aiokafka.disabled = False
    return False
