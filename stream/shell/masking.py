"""Masking: what is logged is written without the secrets, whoever logged them and at whatever level.

aiokafka, for one, logs its requests at DEBUG, and one of them is the password: that one is not logged at all.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"


class Masking(logging.Formatter):
    """Formats as its parent does, tracebacks included, and puts `***` where a secret would stand."""

    def __init__(self, layout: str, secrets: Iterable[str]) -> None:
        """Mask *secrets* as they are and as Python shows them within a string or bytes."""
        super().__init__(layout)
        shown = {form for secret in secrets for form in _forms(secret)}
        longest_first = sorted(shown, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if shown else None

    def format(self, record: logging.LogRecord) -> str:
        """Format *record* without the secrets."""
        text = super().format(record)
        return text if self._secrets is None else self._secrets.sub(MASK, text)


def hide_authentication() -> None:
    """Keep aiokafka from logging what it sends to log in, whatever handlers there are."""
    logging.getLogger("aiokafka.conn").addFilter(_tells_no_password)  # once, however often it is added


def _tells_no_password(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(type(one).__name__.startswith("SaslAuthenticateRequest") for one in arguments)


def _forms(secret: str) -> set[str]:
    return {secret, repr(secret)[1:-1], repr(secret.encode())[2:-1]} - {""}
