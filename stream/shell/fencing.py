"""Transactional producers: who takes a partition over shuts out who had it before.

Of a partition one producer writes the state and another what it publishes. Each has a transactional id,
the same in whichever worker. When a producer starts, the broker ends what the one before it has left open,
and refuses everything that still comes from that: rows, commits, alerts and incidents that were on their
way. Nobody who reads what is committed sees them.

Where the broker has no transactions all partitions share plain producers, and the claims in the state
topic alone say whose a partition is.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Final, Literal, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RecordListTooLargeError,
    RequestTimedOutError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata, TopicPartition

from stream.shell import clock
from stream.shell.connection import Connection
from stream.shell.retried import note_retries
from stream.shell.topics import BATCH_BYTES, LARGE_RECORD_BYTES

logger = logging.getLogger(__name__)

Transactions = Literal["auto", "on", "off"]
READ_COMMITTED: Final = "read_committed"
START_SECONDS: Final = 60.0
"""How long the broker may take to give a producer its transactional id."""

PUBLISH_SECONDS: Final = 40.0
"""How long a broker that takes nothing is asked again; a transaction may take as long."""

_ABORTED_AFTER_SECONDS: Final = 20.0  # later than that the broker ends a transaction itself

IDLE_SECONDS: Final = 3_600.0
"""How long an id may go unused: the broker forgets it after ``transactional.id.expiration.ms``, a week."""

STOP_SECONDS: Final = 5.0
WAITING_RECORDS: Final = 1_000
"""Records that may wait for the next transaction; who has more waits too."""

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_LEFT_OUT: Final = (*TOO_LARGE, OutOfOrderSequenceNumber)
"""What a batch is refused with that is too large, and those that follow it."""
_REFUSED: Final = (ProducerFenced, InvalidProducerEpoch, InvalidTxnState)


class FencedError(Exception):
    """Somebody else has taken the partition over: the broker takes nothing more from this producer."""


class TransactionError(Exception):
    """The broker cannot be written to in transactions: the text says why and what to do."""


@dataclass(eq=False)
class TopicRefusedError(Exception):
    """A topic does not take its record, and with it goes the whole transaction."""

    topic: str
    reason: KafkaError


class Sends(Protocol):
    """What records are sent with: an aiokafka producer, or what stands for one."""

    @property
    def send(self) -> Callable[..., Awaitable[asyncio.Future[Any]]]:
        """Take a topic, a value, and by name a key and more; give what is done when the broker has it."""


@dataclass(slots=True)
class Together:
    """Sends the records of one transaction, and knows them all."""

    producer: AIOKafkaProducer
    sent: list[asyncio.Future[RecordMetadata]] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, **more: object
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record; the future is done when the broker has it, which is before it counts."""
        self.topics.append(topic)
        sent: asyncio.Future[RecordMetadata] = await self.producer.send(topic, value, key=key, **more)
        self.sent.append(sent)
        return sent


@dataclass(slots=True)
class _Waiting:
    """A record that waits for the next transaction."""

    topic: str
    value: bytes | None
    key: bytes | None
    more: Mapping[str, object]
    done: asyncio.Future[RecordMetadata]


class FencedProducer:
    """Writes for one partition under its transactional id, one transaction after the other."""

    def __init__(
        self, connection: Connection, transactional_id: str, publish_timeout_seconds: float = PUBLISH_SECONDS
    ) -> None:
        self.transactional_id = transactional_id
        self._patience = publish_timeout_seconds
        self._producer = AIOKafkaProducer(
            **connection.for_aiokafka(),
            transactional_id=transactional_id,
            transaction_timeout_ms=int((publish_timeout_seconds + _ABORTED_AFTER_SECONDS) * 1000),
            acks="all",
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGE_RECORD_BYTES,
        )
        self._one_at_a_time = asyncio.Lock()
        self._waiting: list[_Waiting] = []
        self._sending: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._retried = note_retries(self._producer)
        self._used = clock.steady()

    async def start(self) -> None:
        """Shut out who wrote under this id before.

        Raises TransactionError where the broker gives the id to nobody, or not to this user.
        """
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._producer.start()
        except BaseException as error:
            await self.stop()
            if isinstance(error, TransactionalIdAuthorizationFailed):
                raise TransactionError(
                    f"the broker refuses the transactional id {self.transactional_id} to this user: allow "
                    "Write and Describe for it, or set DRIFTLINE_TRANSACTIONS=off"
                ) from error
            if isinstance(error, TimeoutError):
                raise TransactionError(
                    f"the broker has given the transactional id {self.transactional_id} to nobody within "
                    f"{START_SECONDS:g} s: a cluster of fewer than three brokers needs "
                    "transaction.state.log.replication.factor and .min.isr set; DRIFTLINE_TRANSACTIONS=off "
                    "does without"
                ) from error
            raise

    def is_idle(self) -> bool:
        """Tell whether the last transaction was so long ago that another one is due."""
        return clock.steady() - self._used >= IDLE_SECONDS

    async def stop(self) -> None:
        """Disconnect; a transaction that is open is ended by whoever takes the id next."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._producer.stop()
        except (TimeoutError, KafkaError) as error:
            logger.info("%s was cut off: %r", self.transactional_id, error)
            await self._producer.client.close()

    async def send(
        self, topic: str, value: bytes | None, *, key: bytes | None = None, **more: object
    ) -> asyncio.Future[RecordMetadata]:
        """Send a record with the next transaction, which begins when the one before it has ended.

        The future is done when the record is committed. Raises FencedError, here or there, where the
        partition is another worker's. Where one record of a transaction is too large none of them counts, and
        the futures of all say so: sent again one after the other, each is in a transaction of its own.
        """
        while len(self._waiting) >= WAITING_RECORDS:
            await asyncio.wait([self._waiting[0].done])
        self._check()
        record = _Waiting(topic, value, key, more, asyncio.get_running_loop().create_future())
        self._waiting.append(record)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_waiting())
        return record.done

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Together]:
        """Commit what is sent within the block, all of it or nothing.

        Raises FencedError where the partition is another worker's, TopicRefusedError where a topic takes
        nothing, TransactionError where the broker does not answer, else what it answers; nothing more can be
        written after any of them. A record that is too large is raised as what it is: none of the block
        counts, and others can be written.
        """
        async with self._one_at_a_time:
            self._check()
            self._retried.clear()
            together = Together(self._producer)
            numbered = dict(self._producer._txn_manager._sequence_numbers)
            try:
                async with asyncio.timeout(self._patience):
                    await self._producer.begin_transaction()
                    try:
                        yield together
                        await asyncio.gather(*together.sent)  # commit_transaction does not look at them
                    except TOO_LARGE:
                        await self._take_back(together, numbered)
                        raise
                    await self._producer.commit_transaction()
                    self._used = clock.steady()
            except TOO_LARGE:
                raise
            except BaseException as error:
                self._failure = failure = await self._blamed(error, together) or self._told(error)
                self._hear_out(together)
                if isinstance(error, Exception) and failure is not error:
                    raise failure from error
                raise

    async def _take_back(self, together: Together, numbered: Mapping[TopicPartition, int]) -> None:
        """Abort; the next batch of a partition is numbered as the broker, which left some out, expects it."""
        sent = await asyncio.gather(*together.sent, return_exceptions=True)
        for answer in sent:
            if isinstance(answer, BaseException) and not isinstance(answer, _LEFT_OUT):
                raise answer
        await self._producer.abort_transaction()
        numbers = self._producer._txn_manager._sequence_numbers
        taken = Counter(answer.topic_partition for answer in sent if not isinstance(answer, BaseException))
        numbers.update({partition: numbered.get(partition, 0) + taken[partition] for partition in numbers})

    async def _send_waiting(self) -> None:
        while self._waiting:
            taken: list[_Waiting] = []
            try:
                async with self.transaction() as together:
                    taken, self._waiting = self._waiting, []
                    for one in taken:
                        await together.send(one.topic, one.value, key=one.key, **one.more)
            except TOO_LARGE as error:
                _refuse(taken, error)
            except BaseException as error:
                _refuse([*taken, *self._waiting], self._failure or self._told(error))
                self._waiting = []
                if not isinstance(error, Exception):
                    raise
            else:
                for one, sent in zip(taken, together.sent, strict=True):
                    one.done.set_result(sent.result())

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _told(self, error: BaseException) -> Exception:
        if isinstance(error, _REFUSED):
            return FencedError(f"another worker writes as {self.transactional_id} now")
        if isinstance(error, FencedError | TransactionError | TopicRefusedError | KafkaError):
            return error
        if isinstance(error, TimeoutError):
            return TransactionError(
                f"a transaction of {self.transactional_id} has not ended within {self._patience:g} s: "
                "is the broker there?"
            )
        return TransactionError(f"a transaction of {self.transactional_id} failed: {error!r}")

    async def _blamed(self, error: BaseException, together: Together) -> TopicRefusedError | None:
        """Say which topic is to blame. aiokafka asks for ever where a record is of a transaction."""
        if isinstance(error, _REFUSED) or not isinstance(error, KafkaError | TimeoutError):
            return None
        is_late = isinstance(error, TimeoutError)
        blamed = [
            topic
            for topic, sent in zip_longest(together.topics, together.sent)
            if sent is None or (_is_open(sent) if is_late else not _is_open(sent) and sent.exception())
        ]
        if not blamed:
            return None
        if isinstance(error, KafkaError):
            return TopicRefusedError(blamed[0], error)
        client = self._producer.client
        with suppress(TimeoutError):
            if await asyncio.wait_for(client.force_metadata_update(), STOP_SECONDS):
                missing = [topic for topic in blamed if not client.cluster.partitions_for_topic(topic)]
                reason = UnknownTopicOrPartitionError() if missing else self._retried.get(blamed[0])
                return TopicRefusedError([*missing, *blamed][0], reason or RequestTimedOutError())
        return None

    def _hear_out(self, together: Together) -> None:
        """Take note of every error that nobody else will ask for."""
        for sent in together.sent:
            sent.add_done_callback(_heard)
        queued = self._producer._message_accumulator
        batches = [*chain(*queued._batches.values()), *queued._pending_batches]
        end = self._producer._txn_manager.wait_for_transaction_end()
        for future in (*(one._drain_waiter for one in batches), *(one.future for one in batches), end):
            if future is not None:
                future.add_done_callback(_heard)


def _refuse(records: Iterable[_Waiting], error: Exception) -> None:
    for one in records:
        one.done.set_exception(error)
        one.done.exception()  # who waits for it hears of it; where nobody does, nobody need to


def _is_open(future: asyncio.Future[Any]) -> bool:
    return not future.done() or future.cancelled()


def _heard(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
