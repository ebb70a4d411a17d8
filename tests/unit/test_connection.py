"""How the settings of a connection become those of aiokafka and of Faust."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from faust import SASLCredentials
from faust.types.auth import AuthProtocol, SASLMechanism

from stream.shell.connection import Connection, ConnectionSettingsError

SASL = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "user", "sasl_password": "secret"}


def test_a_plain_connection_says_no_more_than_where() -> None:
    assert Connection(bootstrap="a:1,b:2").for_aiokafka() == {
        "bootstrap_servers": "a:1,b:2",
        "security_protocol": "PLAINTEXT",
    }


def test_a_plain_connection_has_no_credentials() -> None:
    assert Connection(bootstrap="a:1").faust_credentials() is None


def test_every_bootstrap_server_is_one_of_fausts() -> None:
    urls = Connection(bootstrap="a:1, b:2").faust_urls()
    assert [str(url) for url in urls] == ["kafka://a:1", "kafka://b:2"]


def test_an_ipv6_server_keeps_its_brackets() -> None:
    (url,) = Connection(bootstrap="[::1]:9092").faust_urls()
    assert (url.host, url.port) == ("::1", 9092)


def test_tls_checks_certificates_and_names() -> None:
    context = Connection(bootstrap="a:1", security_protocol="SSL").for_aiokafka()["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_sasl_without_tls_needs_no_context() -> None:
    arguments = Connection(bootstrap="a:1", security_protocol="SASL_PLAINTEXT", **SASL).for_aiokafka()
    assert arguments == {
        "bootstrap_servers": "a:1",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "user",
        "sasl_plain_password": "secret",
    }


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_fausts_credentials_say_the_same(protocol: str) -> None:
    credentials = Connection(bootstrap="a:1", security_protocol=protocol, **SASL).faust_credentials()
    assert isinstance(credentials, SASLCredentials)
    assert (credentials.protocol, credentials.mechanism) == (
        AuthProtocol(protocol),
        SASLMechanism.SCRAM_SHA_512,
    )
    assert (credentials.ssl_context is not None) == (protocol == "SASL_SSL")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Connection(bootstrap="a:1", **SASL))


@pytest.mark.parametrize("name", ["tls_ca_file", "tls_cert_file"])
def test_a_certificate_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.pem")
    connection = Connection(bootstrap="a:1", security_protocol="SSL", **{name: missing})
    with pytest.raises(ConnectionSettingsError, match=f"{name} {missing}"):
        connection.for_aiokafka()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    connection = Connection(bootstrap="a:1", security_protocol="SSL", tls_ca_file=str(file))
    with pytest.raises(ConnectionSettingsError, match="tls_ca_file"):
        connection.for_aiokafka()
