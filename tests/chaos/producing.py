"""The producers: a load to the input topics, in strict order, as fast as they are allowed to."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from tests.chaos.load import BAD, Round, Sent

PATIENCE_S: Final = 60
_PAUSE_S: Final = 0.02


def partition_of(model: str, partitions: int) -> int:
    """Give the partition of a model as Java's clients have it."""
    return int(murmur2(model.encode()) & 0x7FFFFFFF) % partitions


class Producing:
    """Sends rounds in a thread: a burst when the one before it is acknowledged, an idempotent producer each.

    Where the broker does not acknowledge, the burst is sent again: its events may then stand in the log
    twice, never not at all.
    """

    def __init__(self, broker: str, prefix: str, partitions: int, rounds: Iterable[Round]) -> None:
        self._broker = broker
        self._prefix = prefix
        self._partitions = partitions
        self._rounds = rounds
        self._allowed = 0.0
        self._rate = 0.0
        self._bad = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._producer: AIOKafkaProducer | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="producing", daemon=True
        )
        self.acknowledged: dict[str, list[str]] = {"predictions": [], "feedback": []}
        self.sent_again = 0

    def __enter__(self) -> Self:
        """Start; nothing is sent before it is allowed."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(2 * PATIENCE_S)

    @property
    def events(self) -> int:
        """How many events are acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    def allow(self, events: int, *, within_s: float) -> None:
        """Let further *events* be sent, evenly over the next *within_s* seconds."""
        self._allowed += events
        self._rate = max(0.0, self._allowed - self.events) / within_s

    def spoil(self, count: int) -> None:
        """Let *count* messages that are no events come to one partition before the next round."""
        self._bad += count

    def finish(self, deadline_s: float) -> None:
        """Let all the rest be sent at once and wait for its end. Raises what went wrong."""
        self._allowed, self._rate = float("inf"), float("inf")
        self._thread.join(deadline_s)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise TimeoutError(f"the producers are not done after {deadline_s:g} s: {self.events} events")

    async def _run(self) -> None:
        try:
            budget, seen = 0.0, time.monotonic()
            for one in self._rounds:
                size = len(one.predictions) + len(one.feedback)
                while self.events + size > self._allowed or budget < size:
                    if self._is_over:
                        return
                    if self._rate == float("inf"):
                        break
                    await self._send_bad(one)
                    await asyncio.sleep(_PAUSE_S)
                    now = time.monotonic()
                    budget, seen = min(budget + self._rate * (now - seen), 2.0 * size), now
                budget -= size
                await self._send_bad(one)
                await self._burst("predictions", one.predictions)
                await self._burst("feedback", one.feedback)
        except BaseException as error:  # told to whoever waits for the end
            self._error = error
            raise
        finally:
            await self._disconnect()

    async def _send_bad(self, one: Round) -> None:
        """Send what is bad as of the moment in which *one* begins."""
        first = next(iter(one.predictions or one.feedback), None)
        if first is not None and self._bad:
            count, self._bad = self._bad, 0
            bad = [first._replace(id="", value=b"%s %d" % (BAD, number)) for number in range(count)]
            await self._burst("predictions", bad)

    async def _burst(self, topic: str, burst: Sequence[Sent]) -> None:
        while burst and not self._is_over:
            try:
                await self._send(topic, burst)
            except (KafkaError, OSError, TimeoutError):
                self.sent_again += 1
                await self._disconnect()
                await asyncio.sleep(10 * _PAUSE_S)
            else:
                self.acknowledged[topic] += [sent.id for sent in burst if sent.id]
                return

    async def _send(self, topic: str, burst: Sequence[Sent]) -> None:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._broker, enable_idempotence=True, request_timeout_ms=PATIENCE_S * 1000
            )
            await self._producer.start()
        waiting: list[asyncio.Future[Any]] = [
            await self._producer.send(
                self._prefix + topic,
                sent.value,
                key=sent.model.encode(),
                partition=partition_of(sent.model, self._partitions),
                timestamp_ms=sent.timestamp_ms,
            )
            for sent in burst
        ]
        await asyncio.gather(*waiting)

    async def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)
