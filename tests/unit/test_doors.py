"""What keeps us out is told for people, wherever in the chain of errors it stands."""

from __future__ import annotations

import logging
import ssl

import pytest
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from stream.cli import main
from stream.shell.access import Operation, _lacking, admit
from stream.shell.broker import free_port
from stream.shell.connection import Connection
from stream.shell.doors import RefusedError, explained, explaining, is_news, reason_of

TLS = Connection(bootstrap="b:1", security_protocol="SSL", tls_ca_file="ca.pem")
SASL = Connection(
    bootstrap="b:1",
    security_protocol="SASL_SSL",
    sasl_username="ann",
    sasl_password="hunter2",  # noqa: S106 - made up
)


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "no")
    error.verify_code, error.verify_message = code, "as OpenSSL says it"
    return error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (certificate(10), "has expired"),
        (certificate(9), "is not valid yet"),
        (certificate(62), "is for another host name"),
        (certificate(64), "is for another host name"),
        (certificate(19), "is signed by an authority that is not trusted here (trusted: ca.pem)"),
        (certificate(23), "is not accepted: as OpenSSL says it"),
        (ConnectionResetError(), "closed the connection at once"),
        (KafkaConnectionError("closed"), "closed the connection at once"),
        (ConnectionRefusedError(111, "refused"), "no broker answers at b:1: [Errno 111] refused"),
        (TimeoutError(), "no broker answers at b:1 within 10 s"),
        (OSError("two\nlines"), "no broker answers at b:1: two lines"),
    ],
)
def test_an_error_of_tls_or_of_the_network_is_explained(error: Exception, says: str) -> None:
    said = explained(error, TLS, "b:1")
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (SaslAuthenticationFailed("no"), "refuses user ann by PLAIN"),
        (UnsupportedSaslMechanismError("no"), "does not offer PLAIN"),
        (IllegalSaslStateError("no"), "asks for no user and password"),
        (TopicAuthorizationFailedError("secrets"), "user ann may not do that"),
    ],
)
def test_an_error_of_sasl_is_explained_without_the_password(error: Exception, says: str) -> None:
    said = explained(error, SASL, "b:1")
    assert says in said
    assert "hunter2" not in said


def test_what_stands_behind_an_error_is_found() -> None:
    error = KafkaConnectionError("Connection at b:1 closed")
    error.__cause__ = certificate(10)
    assert "has expired" in explained(error, TLS, "b:1")


def test_a_worker_that_ends_says_what_kept_it_out_else_the_error() -> None:
    assert reason_of(TopicAuthorizationFailedError("t"), SASL).startswith("user ann may not do that")
    assert reason_of(ValueError("odd"), SASL) == "ValueError: odd"


@pytest.mark.parametrize(
    ("logger", "error", "is_shown"),
    [
        ("faust.consumer", TopicAuthorizationFailedError("t"), False),
        ("faust.consumer", ValueError("odd"), True),
        ("faust.consumer", None, True),
        ("driftline", TopicAuthorizationFailedError("t"), True),
    ],
)
def test_what_the_last_line_explains_is_not_told_by_faust_as_well(
    logger: str, error: Exception | None, *, is_shown: bool
) -> None:
    exception = None if error is None else (type(error), error, None)
    assert is_news(logging.LogRecord(logger, logging.ERROR, "", 1, "x", (), exception)) is is_shown


@pytest.mark.parametrize(
    ("answers", "lacking", "is_known"),
    [
        ({"t": (0, 1 << 3 | 1 << 4)}, [], True),
        ({"t": (0, 1 << 3)}, ["write topic t"], True),
        ({"t": (29, -(2**31))}, ["read topic t", "write topic t"], True),
        ({"t": (3, -(2**31))}, [], False),
        ({"t": (0, -(2**31))}, [], False),
        ({}, [], False),
    ],
)
def test_what_is_lacking_is_what_the_broker_says_it_does_not_allow(
    answers: dict[str, tuple[int, int]], lacking: list[str], *, is_known: bool
) -> None:
    assert _lacking({"t": (Operation.READ, Operation.WRITE)}, answers) == (lacking, is_known)


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), SaslAuthenticationFailed("no")])
def test_what_kafka_raises_while_a_command_works_is_for_people(error: Exception) -> None:
    with pytest.raises(RefusedError) as said, explaining(SASL):
        raise error
    assert "at once" not in str(said.value)
    assert str(said.value) == reason_of(error, SASL)


async def test_servers_that_are_not_there_are_all_named() -> None:
    ports = free_port(), free_port()
    with pytest.raises(RefusedError) as error:
        await admit(Connection(bootstrap=",".join(f"127.0.0.1:{port}" for port in ports)))
    for port in ports:
        assert f"no broker answers at 127.0.0.1:{port}" in str(error.value)


def test_a_file_that_is_no_certificate_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRIFTLINE_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("DRIFTLINE_TLS_CA_FILE", "nowhere.pem")
    assert main(["topics", "check"]) == 2
    assert capsys.readouterr().err.startswith("driftline: tls_ca_file nowhere.pem: ")


def test_config_show_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SASL_PASSWORD", "HTTP_TOKEN"):
        monkeypatch.setenv(f"DRIFTLINE_{name}", "hunter2")
    assert main(["config", "show"]) == 0
    said = capsys.readouterr().out
    assert "hunter2" not in said
    assert said.count('"***"') == 2
