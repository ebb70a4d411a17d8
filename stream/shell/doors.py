"""Doors: reaching the brokers once before the work begins, and one line for people where they keep us out.

aiokafka tries again and writes what it met into its log; what it raises in the end says no more than that no
broker could be reached. Here the first connection is ours, so that its error is at hand.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from stream.shell.connection import Connection

KNOCK_SECONDS: Final = 10.0
"""How long a broker may take to let us in."""

CLOSE_SECONDS: Final = 1.0

SEE: Final = "docs/security.md"

_EXPIRED, _NOT_YET = 10, 9
_MISMATCHES: Final = frozenset({62, 64})
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""Codes of X.509 verification, as OpenSSL's x509_vfy.h numbers them."""

_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"}
)
_FORBIDDEN: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class RefusedError(Exception):
    """The brokers keep us out, or are not there: the text says which, why, and what to do."""


async def knock(connection: Connection) -> AIOKafkaConnection:
    """Connect to the first bootstrap server that lets us in; the caller closes it.

    All brokers that it names are tried as well: one that keeps us out, or that none can be reached, is an
    error here rather than later. Raises RefusedError, and ConnectionSettingsError for a bad file.
    """
    errors: list[str] = []
    for host, port, _ in collect_hosts(connection.bootstrap, randomize=False):
        try:
            opened, brokers = await _open(connection, host, port)
        except (KafkaError, OSError, TimeoutError) as error:
            errors.append(explained(error, connection, f"{host}:{port}"))
            continue
        try:
            await _try_all(connection, f"{host}:{port}", brokers, (host, port))
        except BaseException:
            await close(opened)
            raise
        return opened
    raise RefusedError("; ".join(dict.fromkeys(errors)))


async def close(opened: AIOKafkaConnection) -> None:
    """Close a connection and wait until it is closed."""
    if (closed := opened.close()) is not None:
        await asyncio.wait({closed}, timeout=CLOSE_SECONDS)


async def _open(
    connection: Connection, host: str, port: int
) -> tuple[AIOKafkaConnection, set[tuple[str, int]]]:
    arguments = connection.for_aiokafka()
    del arguments["bootstrap_servers"]
    opened = AIOKafkaConnection(host, port, request_timeout_ms=int(KNOCK_SECONDS * 1000), **arguments)
    try:
        await opened.connect()
        # A broker with SASL lets those without it in, and closes the door on their first request.
        answer = await opened.send(MetadataRequest([]))
    except KafkaError:  # of a connection that was there
        await close(opened)
        raise
    return opened, {(str(name), int(number)) for _, name, number, *_ in answer.brokers}


async def _try_all(
    connection: Connection, known_by: str, brokers: set[tuple[str, int]], entry: tuple[str, int]
) -> None:
    """Connect to all of *brokers* but *entry*, which let us in; it is no error that some are down."""
    where = {
        (host, port): f"{host}:{port}, which the broker at {known_by} names as its address"
        for host, port in sorted(brokers - {entry})
    }
    tried = await asyncio.gather(*(_try(connection, *address) for address in where))
    unreached = [
        (error, said) for error, said in zip(tried, where.values(), strict=True) if error is not None
    ]
    for error, said in unreached:
        if why := kept_out(error, connection, said):
            raise RefusedError(why) from error
    if unreached and len(unreached) == len(brokers):
        error, said = unreached[0]
        raise RefusedError(
            f"{unanswered(error, said)}: set the brokers' advertised.listeners to what is reached from here"
        )


async def _try(connection: Connection, host: str, port: int) -> Exception | None:
    try:
        opened, _ = await _open(connection, host, port)
    except (KafkaError, OSError, TimeoutError) as error:
        return error
    await close(opened)
    return None


@contextmanager
def explaining(connection: Connection) -> Iterator[None]:
    """Turn what Kafka's clients raise in the block into a RefusedError for people."""
    try:
        yield
    except KafkaError as error:
        raise RefusedError(reason_of(error, connection)) from error


def explained(error: BaseException, connection: Connection, where: str) -> str:
    """Say in one line what *error* of a first connection means at *where*, an address, and what to do."""
    if said := kept_out(error, connection, where):
        return said
    if isinstance(error, (KafkaConnectionError, ConnectionResetError)):
        protocol = connection.security_protocol
        return (
            f"the broker at {where} closed the connection at once: does its listener speak "
            f"{protocol}, as DRIFTLINE_SECURITY_PROTOCOL says?"
        )
    return unanswered(error, where)


def unanswered(error: BaseException, where: str) -> str:
    """Say that nobody answers."""
    if isinstance(error, TimeoutError):
        return f"no broker answers at {where} within {KNOCK_SECONDS:g} s"
    return f"no broker answers at {where}: {' '.join(str(error).split()) or type(error).__name__}"


def kept_out(error: BaseException, connection: Connection, where: str) -> str:
    """Say why a broker that is there does not let us in; empty where that is not what *error* means."""
    for one in _chain(error):
        if isinstance(one, ssl.SSLError):
            return _of_tls(one, connection, where)
        if said := _of_sasl(one, connection, where):
            return said
        if isinstance(one, _FORBIDDEN):
            return forbidden(connection, f"do that ({' '.join(str(one).split())})")
    return ""


def is_news(record: logging.LogRecord) -> bool:
    """Tell whether a log record says more than the last line of a worker whose rights were taken away.

    A handler's filter: Faust logs the error that ends it several times, with a traceback each time.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not (record.name.startswith(("faust", "mode")) and isinstance(error, _FORBIDDEN))


def forbidden(connection: Connection, what: str) -> str:
    """Say that our user may not do *what*."""
    return f"{connection.user} may not {what}: grant it; {SEE} lists the ACLs that are needed"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _of_tls(error: ssl.SSLError, connection: Connection, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, connection, where)
    reason, protocol = error.reason or "", connection.security_protocol
    if reason in _NO_TLS:
        return f"the broker at {where} speaks no TLS, and DRIFTLINE_SECURITY_PROTOCOL is {protocol}"
    if "ALERT" in reason or "HANDSHAKE" in reason:
        own = f"the client certificate {connection.tls_cert_file}" if connection.tls_cert_file else "none"
        return (
            f"the broker at {where} asks for a client certificate that it trusts ({reason}), "
            f"and was given {own}: set DRIFTLINE_TLS_CERT_FILE and DRIFTLINE_TLS_KEY_FILE"
        )
    return f"TLS with the broker at {where} fails: {reason or error}"


def _of_certificate(error: ssl.SSLCertVerificationError, connection: Connection, where: str) -> str:
    of = f"the certificate of the broker at {where}"
    if error.verify_code == _EXPIRED:
        return f"{of} has expired: renew it there; if it has not, this machine's clock is wrong"
    if error.verify_code == _NOT_YET:
        return f"{of} is not valid yet: this machine's clock is wrong, or the broker's was"
    if error.verify_code in _MISMATCHES:
        return (
            f"{of} is for another host name: connect by a name that is in it (DRIFTLINE_BROKERS, the "
            "brokers' advertised.listeners), or have it made for this one"
        )
    if error.verify_code in _UNKNOWN_ISSUER:
        trusted = connection.tls_ca_file or "the system's authorities"
        return (
            f"{of} is signed by an authority that is not trusted here (trusted: {trusted}): "
            "set DRIFTLINE_TLS_CA_FILE to the PEM file with the brokers' authority"
        )
    return f"{of} is not accepted: {error.verify_message}"


def _of_sasl(error: BaseException, connection: Connection, where: str) -> str:
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"the broker at {where} refuses {connection.user} by {connection.sasl_mechanism}: the user name "
            "or the password is wrong; check DRIFTLINE_SASL_USERNAME, DRIFTLINE_SASL_PASSWORD_FILE (or "
            "DRIFTLINE_SASL_PASSWORD) and DRIFTLINE_SASL_MECHANISM"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return (
            f"the broker at {where} does not offer {connection.sasl_mechanism}: set "
            "DRIFTLINE_SASL_MECHANISM to one that its listener has"
        )
    if isinstance(error, IllegalSaslStateError):
        return (
            f"the broker at {where} asks for no user and password: DRIFTLINE_SECURITY_PROTOCOL is "
            f"{connection.security_protocol}, and its listener has no SASL"
        )
    return ""


def reason_of(error: BaseException, connection: Connection) -> str:
    """Say in one line why a worker that was running ended: what kept it out, else the error as it is."""
    if isinstance(error, RefusedError) or not isinstance(error, (KafkaError, ssl.SSLError)):
        return f"{type(error).__name__}: {error}"
    said = kept_out(error, connection, connection.bootstrap)
    return said or f"{type(error).__name__}: {error}"
