"""What rows of state may say: numbers that the rest of the core can go on with."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from schemas.codec import TIMES

Moment = Annotated[float, msgspec.Meta(ge=0.0, le=TIMES[1])]
"""Seconds since the epoch, 0 for never: what an event can have told. NaN and infinities are none."""

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""How many, or the how manieth."""

UNREADABLE: Final = (msgspec.DecodeError, ValueError)
"""What decoding raises: text that is not UTF-8 is a ValueError."""

_DIGITS_MAX: Final = 9


def chunk_number(text: str) -> int:
    """Give the number of a chunk that a row's key names; raises ValueError where no key is written so."""
    if not (len(text) <= _DIGITS_MAX and text.isdecimal() and str(int(text)) == text):
        raise ValueError(f"{text!r} is no number of a chunk")
    return int(text)
