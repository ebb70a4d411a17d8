"""Why a record is sent again: in a transaction aiokafka asks for ever, and only its log hears why."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.structs import TopicPartition


class _Noting(SendProduceReqHandler):  # type: ignore[misc]
    """Sends batches as aiokafka does, and notes by topic what the broker said last."""

    noted: dict[str, KafkaError]

    def _can_retry(self, error: KafkaError, batch: MessageBatch) -> bool:
        self.noted[batch.tp.topic] = error
        return bool(super()._can_retry(error, batch))


def note_retries(producer: AIOKafkaProducer) -> dict[str, KafkaError]:
    """Give what will hold, by topic, the last error for which *producer* did not get rid of a batch."""
    noted: dict[str, KafkaError] = {}
    sender = producer._sender

    async def send(node: int, batches: Mapping[TopicPartition, MessageBatch]) -> None:
        handler = _Noting(sender, batches)
        handler.noted = noted
        await handler.do(node)
        sender._in_flight.remove(node)
        sender._muted_partitions.difference_update(batches)

    sender._send_produce_req = send
    return noted
