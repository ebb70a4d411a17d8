"""How brokers are reached: the same settings for aiokafka and for Faust, with TLS and SASL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any, NoReturn

import faust
from faust.types.auth import CredentialsT
from yarl import URL

from stream.shell.masking import hide_authentication


class ConnectionSettingsError(Exception):
    """A certificate or key cannot be used: the text says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """Bootstrap servers and what they ask for; an empty file name stands for none."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""

    @property
    def user(self) -> str:
        """Who we are to the brokers, for people."""
        if self._is_sasl:
            return f"user {self.sasl_username}"
        return f"the client of {self.tls_cert_file}" if self.tls_cert_file else "a client without a name"

    def for_aiokafka(self) -> dict[str, Any]:
        """Give the keyword arguments of an aiokafka client.

        Raises ConnectionSettingsError where a file cannot be used.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
        }
        if self._is_tls:
            arguments["ssl_context"] = self._tls()
        if self._is_sasl:
            hide_authentication()
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        return arguments

    def faust_urls(self) -> list[URL]:
        """Give the bootstrap servers as Faust takes them."""
        return [URL(f"kafka://{server.strip()}") for server in self.bootstrap.split(",")]

    def faust_credentials(self) -> CredentialsT | None:
        """Give the credentials as Faust takes them; raises ConnectionSettingsError likewise."""
        context = self._tls() if self._is_tls else None
        if self._is_sasl:
            hide_authentication()
            credentials = faust.SASLCredentials(
                username=self.sasl_username,
                password=self.sasl_password,
                mechanism=self.sasl_mechanism,
                ssl_context=context,
            )
            credentials.protocol = faust.types.auth.AuthProtocol(self.security_protocol)
            return credentials
        return faust.SSLCredentials(context) if context is not None else None

    @property
    def _is_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    @property
    def _is_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.tls_ca_file or None)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionSettingsError(f"tls_ca_file {self.tls_ca_file}: {error}") from error
        if self.tls_cert_file:
            try:
                context.load_cert_chain(self.tls_cert_file, self.tls_key_file or None, _no_password)
            except (OSError, ssl.SSLError) as error:
                files = f"tls_cert_file {self.tls_cert_file}, tls_key_file {self.tls_key_file}"
                raise ConnectionSettingsError(f"{files}: {error}") from error
        return context


def _no_password() -> NoReturn:
    """Refuse a key that asks for a password: OpenSSL would ask the terminal for it."""
    raise ssl.SSLError("the key is encrypted; a key without a password, readable by us alone, is needed")
