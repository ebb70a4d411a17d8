"""Access: what a worker or a publisher has to be allowed on a Kafka with ACLs, and whether it is.

The broker is asked what it allows, rather than tried: nothing is written to find out. Topics are asked for
with Metadata version 8 (KIP-430), which aiokafka does not have; the group with a heartbeat of a member that
does not exist, which a broker refuses to those who may not read the group before it looks for the member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from stream.shell.connection import Connection
from stream.shell.doors import RefusedError, close, explained, forbidden, knock
from stream.shell.topics import ALERTS, INCIDENTS, POLICIES, REJECTED, STATE, Topics

_UNKNOWN: Final = -(2**31)
"""What a broker says of a topic's operations where it does not say them."""


class Operation(IntEnum):
    """What can be allowed, with Kafka's own numbers (org.apache.kafka.common.acl.AclOperation)."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Operations on one resource; *is_prefix* stands for all names that begin with *name*."""

    kind: Literal["topic", "group", "transactional id"]
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False
    why: str


def of_worker(topics: Topics, group: str) -> list[Grant]:
    """Give the least that a worker needs, topics that exist provided."""
    both = (Operation.READ, Operation.WRITE)
    return [
        *(
            Grant(
                kind="topic",
                name=name,
                operations=both,
                why="reads events; forwards those on a wrong partition",
            )
            for name in topics.inputs()
        ),
        Grant(kind="topic", name=topics.full(STATE), operations=both, why="its state"),
        *(
            Grant(
                kind="topic", name=topics.full(name), operations=(Operation.WRITE,), why="what it publishes"
            )
            for name in (ALERTS, INCIDENTS, REJECTED)
        ),
        Grant(
            kind="topic",
            name=topics.full(POLICIES),
            operations=(Operation.DESCRIBE,),
            why="checks that it exists",
        ),
        Grant(kind="group", name=group, operations=(Operation.READ,), why="shares the partitions"),
        Grant(
            kind="transactional id",
            name=f"{group}-{topics.prefix}",
            operations=(Operation.WRITE, Operation.DESCRIBE),
            is_prefix=True,
            why="keeps a worker that lost a partition from writing; not with DRIFTLINE_TRANSACTIONS=off",
        ),
    ]


def of_publisher(topics: Topics) -> list[Grant]:
    """Give the least that `driftline publish`, or a service that sends events, needs."""
    return [
        Grant(kind="topic", name=name, operations=(Operation.WRITE,), why="sends events")
        for name in topics.inputs()
    ]


def of_creator(topics: Topics) -> list[Grant]:
    """Give what `driftline topics create` needs, and a worker or a publisher with DRIFTLINE_CREATE_TOPICS."""
    operations = (Operation.CREATE, Operation.DESCRIBE)
    return [
        Grant(kind="topic", name=topics.prefix, operations=operations, is_prefix=True, why="makes the topics")
    ]


async def admit(connection: Connection, needed: Sequence[Grant] = ()) -> bool:
    """Connect once and see whether the broker allows what is *needed*; leave no trace.

    Tells whether all of it was known: a topic that does not exist cannot be asked about.
    Raises RefusedError, one line for people.
    """
    opened = await knock(connection)
    try:
        lacking, is_known = await _topics_lacking(opened, needed)
        lacking += await _groups_lacking(opened, needed)
    except (KafkaError, OSError, TimeoutError) as error:
        raise RefusedError(explained(error, connection, connection.bootstrap)) from error
    finally:
        await close(opened)
    if lacking:
        raise RefusedError(forbidden(connection, ", ".join(lacking)))
    return is_known


async def _topics_lacking(opened: AIOKafkaConnection, needed: Iterable[Grant]) -> tuple[list[str], bool]:
    wanted = {
        grant.name: grant.operations for grant in needed if grant.kind == "topic" and not grant.is_prefix
    }
    if not wanted:
        return [], True
    if not _speaks(opened, _MetadataRequest):
        return [], False
    answer = await opened.send(_Ask(list(wanted)))
    codes = {topic: (code, allowed) for code, topic, _, _, allowed in answer.topics}
    return _lacking(wanted, codes)


def _lacking(
    wanted: Mapping[str, tuple[Operation, ...]], answers: Mapping[str, tuple[int, int]]
) -> tuple[list[str], bool]:
    """Name what is wanted and not allowed; tell whether that was known of all topics.

    *answers* are by topic: its error code, and its operations as a bit field.
    """
    lacking: list[str] = []
    is_known = True
    for topic, operations in wanted.items():
        code, allowed = answers.get(topic, (0, _UNKNOWN))
        if code == TopicAuthorizationFailedError.errno:
            allowed = 0
        elif code or allowed == _UNKNOWN:
            is_known = False
            continue
        lacking += [f"{one.name.lower()} topic {topic}" for one in operations if not allowed >> one & 1]
    return lacking, is_known


async def _groups_lacking(opened: AIOKafkaConnection, needed: Iterable[Grant]) -> list[str]:
    lacking: list[str] = []
    for grant in needed:
        if grant.kind == "group":
            answer = await opened.send(HeartbeatRequest(grant.name, -1, "driftline-nobody"))
            if answer.error_code == GroupAuthorizationFailedError.errno:
                lacking.append(f"read group {grant.name}")
    return lacking


def _speaks(opened: AIOKafkaConnection, request: type[RequestStruct]) -> bool:
    lowest, highest = opened._versions.get(request.API_KEY, (0, 0))  # noqa: SLF001 - aiokafka tells nobody
    return bool(lowest <= request.API_VERSION <= highest)


class _MetadataResponse(Response):  # type: ignore[misc]  # aiokafka has no annotations
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]  # aiokafka has no annotations
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Ask(Request[_MetadataRequest]):  # type: ignore[misc]  # aiokafka has no annotations
    """Asks what is allowed on topics; makes none."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class(self._names, False, False, True)  # noqa: FBT003 - by position in the protocol
