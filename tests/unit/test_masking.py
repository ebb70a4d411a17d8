"""No log tells a secret, whoever logs it and how."""

from __future__ import annotations

import io
import logging

import pytest
from aiokafka.protocol.admin import SaslAuthenticateRequest

from stream.shell.connection import Connection
from stream.shell.masking import Masking

SECRET = "pa'ss\\wört 100%s"  # noqa: S105 - made up


def logged(message: str, *arguments: object, exception: BaseException | None = None) -> str:
    record = logging.LogRecord("x", logging.DEBUG, "", 1, message, arguments, None)
    if exception is not None:
        record.exc_info = (type(exception), exception, exception.__traceback__)
    return Masking("%(levelname)s %(message)s", [SECRET, "", "tok"]).format(record)


@pytest.mark.parametrize(
    "value", [SECRET, repr(SECRET), SECRET.encode(), repr({"password": SECRET}), f"\0user\0{SECRET}".encode()]
)
def test_a_secret_is_masked_however_python_shows_it(value: object) -> None:
    said = logged("sent %s at once", value)
    assert "***" in said
    assert "wört" not in said
    assert "w\\x" not in said
    assert said.endswith(" at once")


def test_a_traceback_is_masked_too() -> None:
    said = logged("failed", exception=ValueError(SECRET))
    assert "ValueError: ***" in said


def test_what_is_no_secret_is_left() -> None:
    assert logged("nothing to hide: %s", "ok") == "DEBUG nothing to hide: ok"


def test_without_secrets_nothing_is_masked() -> None:
    record = logging.LogRecord("x", logging.DEBUG, "", 1, "as it is", (), None)
    assert Masking("%(message)s", []).format(record) == "as it is"


def test_aiokafka_logs_no_login_once_there_is_one_to_hide() -> None:
    logger, stream = logging.getLogger("aiokafka.conn"), io.StringIO()
    handler, level = logging.StreamHandler(stream), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    request = SaslAuthenticateRequest(b"\0user\0hunter2").prepare({36: (0, 0)})
    try:
        Connection(
            bootstrap="a:1",
            security_protocol="SASL_PLAINTEXT",
            sasl_username="user",
            sasl_password="hunter2",  # noqa: S106 - made up
        ).for_aiokafka()
        logger.debug("Request to %s:%d %d: %s", "a", 1, 3, request)
        logger.debug("Request to %s:%d %d: %s", "a", 1, 4, "another")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert "hunter2" in str(request)
    assert stream.getvalue().splitlines() == ["Request to a:1 4: another"]
