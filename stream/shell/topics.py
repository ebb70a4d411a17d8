"""The topics: their names, their settings, their making and their check."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.partitioner import murmur2

from stream.core.nouns import Topic
from stream.shell.connection import Connection

ALERTS: Final = "alerts"
INCIDENTS: Final = "incidents"
REJECTED: Final = "rejected"
POLICIES: Final = "policies"
STATE: Final = "state"

BATCH_BYTES: Final = 512 * 1024
"""What workers send goes in batches of so many bytes, those of a partition one after the other: half of what
a topic takes by default. A checkpoint of some megabytes waits for as many answers as there are batches.
"""

LARGE_RECORD_BYTES: Final = 8 * 1024 * 1024
"""Largest record of the state and of rejected messages."""

COMPACTION_LAG_MS: Final = 86_400_000
"""How long the state keeps every version of a row, in milliseconds: longer than any checkpoint is open."""

AHEAD_MS: Final = 3_600_000
"""How far ahead of the broker's clock the timestamp of an input may be, in milliseconds: they order it."""

_FORBIDDEN: Final = (ClusterAuthorizationFailedError, TopicAuthorizationFailedError)
_TRIES: Final = 50
_PAUSE_SECONDS: Final = 0.1


class TopicsError(Exception):
    """The topics are not as they have to be: the text names them and says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """A topic as it is made; the name is without prefix."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """All topics under one prefix. The inputs and the state have *partitions* partitions."""

    prefix: str
    partitions: int
    replication: int = 1
    retention_seconds: float = 7 * 86_400.0

    def full(self, name: str) -> str:
        """Give a topic's name with the prefix."""
        return self.prefix + name

    def inputs(self) -> dict[str, Topic]:
        """Give the input topics by full name."""
        return {self.full(topic.suffix): topic for topic in Topic}

    def specs(self) -> list[TopicSpec]:
        """Give every topic as it is made."""
        retention = -1 if self.retention_seconds < 0 else int(self.retention_seconds * 1000)
        kept = {"cleanup.policy": "delete", "retention.ms": str(retention)}
        compacted = {"cleanup.policy": "compact"}
        large = {"max.message.bytes": str(LARGE_RECORD_BYTES)}
        state = {**compacted, **large, "min.compaction.lag.ms": str(COMPACTION_LAG_MS)}
        ordered = {**kept, **large, "message.timestamp.after.max.ms": str(AHEAD_MS)}
        inputs = [TopicSpec(name=topic.suffix, partitions=self.partitions, config=ordered) for topic in Topic]
        return [
            *inputs,
            TopicSpec(name=STATE, partitions=self.partitions, config=state),
            TopicSpec(name=ALERTS, partitions=self.partitions, config=kept),
            TopicSpec(name=INCIDENTS, partitions=self.partitions, config=compacted),
            TopicSpec(name=REJECTED, partitions=self.partitions, config={**kept, **large}),
            TopicSpec(name=POLICIES, partitions=1, config=compacted),
        ]

    def partition_of(self, model: str) -> int:
        """Give the input partition of *model*: murmur2, as Java's clients have it."""
        return int(murmur2(model.encode()) & 0x7FFFFFFF) % self.partitions


async def create(connection: Connection, topics: Topics) -> list[str]:
    """Make the topics that do not exist; give their names. Raises TopicsError where one can't be made."""
    async with _admin(connection) as admin:
        existing = set(await admin.list_topics())
        missing = [spec for spec in topics.specs() if topics.full(spec.name) not in existing]
        for spec in missing:
            name = topics.full(spec.name)
            wanted = NewTopic(name, spec.partitions, topics.replication, topic_configs=dict(spec.config))
            answer = await admin.create_topics([wanted])
            for _, code, *rest in answer.topic_errors:
                error = for_code(code)
                if error in _FORBIDDEN:
                    raise TopicsError(
                        f"topic {name} does not exist, and {connection.user} may not create it: run "
                        "'driftline topics create' as a user who may, or grant Create on the topics; "
                        "docs/security.md lists the ACLs that are needed"
                    )
                if code and error is not TopicAlreadyExistsError:
                    detail = rest[0] if rest and rest[0] else error.description
                    raise TopicsError(f"topic {name} could not be created: {detail}")
        await _until_known(admin, {topics.full(spec.name) for spec in missing})
        return [topics.full(spec.name) for spec in missing]


async def _until_known(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Give the brokers a moment to tell each other of new topics."""
    for _ in range(_TRIES):
        if names <= set(await admin.list_topics()):
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def check(connection: Connection, topics: Topics) -> list[str]:
    """Give what is wrong with the topics, a line each: missing ones, wrong numbers of partitions."""
    async with _admin(connection) as admin:
        existing = set(await admin.list_topics())
        wanted = {topics.full(spec.name): spec for spec in topics.specs()}
        wrong = [
            f"topic {name} does not exist: `driftline topics create` makes it"
            for name in wanted
            if name not in existing
        ]
        present = [name for name in wanted if name in existing]
        if present:
            for described in await admin.describe_topics(present):
                spec = wanted[described["topic"]]
                has = len(described["partitions"])
                keyed = spec.name in {*(topic.suffix for topic in Topic), STATE}
                if keyed and has != topics.partitions:
                    wrong.append(
                        f"topic {described['topic']} has {has} partitions, {topics.partitions} are "
                        "configured: the four inputs and the state need the same number; set "
                        "DRIFTLINE_PARTITIONS to it or make the topic anew"
                    )
        return wrong


class _admin:  # noqa: N801 - reads as a function
    """An admin client for the length of a block; a broker that can't be reached is a TopicsError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = AIOKafkaAdminClient(**connection.for_aiokafka())

    async def __aenter__(self) -> AIOKafkaAdminClient:
        try:
            await self._client.start()
        except Exception as error:
            await self._client.close()
            raise TopicsError(f"no broker answers at {self._connection.bootstrap}: {error}") from error
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
