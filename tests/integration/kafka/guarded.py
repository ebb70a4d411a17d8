"""An Apache Kafka that lets nobody in without a name, nor lets anybody do what is not granted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from stream.shell.access import Grant, Operation, admit
from stream.shell.connection import Connection
from stream.shell.doors import RefusedError
from tests.integration.apache_kafka import ApacheKafka
from tests.integration.certificates import Authority

PASSWORDS: Final = {"worker": "wOrKeR-hunter2-%s", "publisher": "pUbLiSh-hunter3-%s"}
"""The users with their passwords; one with a percent sign, which a log's format may stumble over."""

TOKEN: Final = "tOkEn-hunter5"  # noqa: S105 - made up

LISTENERS: Final = {"SASL": "SASL_SSL", "MUTUAL": "SSL", "EXPIRED": "SSL", "ELSEWHERE": "SSL"}
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_KINDS: Final = {"topic": 2, "group": 3, "transactional id": 5}
_LITERAL, _PREFIXED, _ALLOW, _ANY = 3, 4, 3, 1
_TRIES, _PAUSE_S = 100, 0.05


class Guarded:
    """Runs it, with certificates in *directory*; the plain listener is the administrator's."""

    def __init__(self, directory: Path, cache: Path) -> None:
        self.authority = Authority(directory, "authority")
        self.stranger = Authority(directory, "stranger")
        self.authority.sign("broker")
        self.authority.sign("expired", days=-1)
        self.authority.sign("elsewhere", host="kafka.example")
        self.client = self.authority.sign("worker-by-certificate")
        self.kafka = ApacheKafka(
            directory=directory / "kafka",
            cache=cache,
            listeners=LISTENERS,
            properties=self._properties(),
            scram=PASSWORDS,
        )
        self._numbers = itertools.count(1)

    def _properties(self) -> dict[str, str]:
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        users = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
        stores = {"sasl": "broker", "mutual": "broker", "expired": "expired", "elsewhere": "elsewhere"}
        return {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.name.sasl.sasl.enabled.mechanisms": ",".join(MECHANISMS),
            "listener.name.sasl.plain.sasl.jaas.config": f"{plain} {users};",
            "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(self.authority.certificate),
            **{f"listener.name.{name}.ssl.keystore.type": "PEM" for name in stores},
            **{
                f"listener.name.{name}.ssl.keystore.location": str(self.authority.store(of))
                for name, of in stores.items()
            },
        }

    def door(self, user: str = "worker", mechanism: str = "PLAIN", **more: str) -> dict[str, Any]:
        """Give the settings with which *user* comes in; *more* goes before them."""
        return {
            "brokers": self.kafka.address("SASL"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": mechanism,
            "sasl_username": user,
            "sasl_password": PASSWORDS[user],
            "tls_ca_file": str(self.authority.certificate),
            "http_token": TOKEN,
            "log_level": "DEBUG",
            **more,
        }

    def grant(self, user: str, grants: Iterable[Grant]) -> None:
        """Allow *user* these and return when the broker knows of them."""
        sentinel = Grant(
            kind="group",
            name=f"sentinel-{next(self._numbers)}",
            operations=(Operation.READ,),
            why="comes last",
        )
        asyncio.run(self._grant(user, grants, sentinel))

    async def _grant(self, user: str, grants: Iterable[Grant], sentinel: Grant) -> None:
        client = AIOKafkaClient(bootstrap_servers=self.kafka.bootstrap)
        await client.bootstrap()
        try:
            for name, grant in [*((user, grant) for grant in grants), ("worker", sentinel)]:
                for operation in grant.operations:
                    request = _request(CreateAclsRequest, grant, name, operation)
                    answer = await client.send(client.get_random_node(), request)
                    assert [code for code, *_ in answer.creation_responses] == [0], answer
        finally:
            await client.close()
        known = Connection(
            bootstrap=self.kafka.address("SASL"),
            security_protocol="SASL_SSL",
            sasl_username="worker",
            sasl_password=PASSWORDS["worker"],
            tls_ca_file=str(self.authority.certificate),
        )
        for _ in range(_TRIES):
            try:
                await admit(known, [sentinel])
            except RefusedError:
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        raise AssertionError(f"the broker does not know of what was granted to {user}")

    def revoke(self, user: str, grant: Grant) -> None:
        """Allow *user* this no more."""
        asyncio.run(self._revoke(user, grant))

    async def _revoke(self, user: str, grant: Grant) -> None:
        client = AIOKafkaClient(bootstrap_servers=self.kafka.bootstrap)
        await client.bootstrap()
        try:
            for operation in grant.operations:
                request = _request(DeleteAclsRequest, grant, user, operation)
                answer = await client.send(client.get_random_node(), request)
                assert [code for code, *_ in answer.filter_responses] == [0], answer
        finally:
            await client.close()


def _request(
    kind: type[CreateAclsRequest | DeleteAclsRequest], grant: Grant, user: str, operation: Operation
) -> CreateAclsRequest | DeleteAclsRequest:
    pattern = _PREFIXED if grant.is_prefix else _LITERAL
    return kind(_KINDS[grant.kind], grant.name, pattern, f"User:{user}", "*", int(operation), _ALLOW)
