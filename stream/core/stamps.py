"""Stamps: times that are all written alike, read all at once."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.codec import TIMES

_WRITTEN: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,6}))?(?:Z|\+00:00)", re.ASCII)
_DATE: Final = 10
_HOUR, _MINUTE, _SECOND, _FRACTION = 11, 14, 17, 20
_TENS_BELOW: Final = ((_HOUR, 24), (_MINUTE, 60), (_SECOND, 60))
_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY, _MICROS = 86_400, 1_000_000


def seconds_of(stamps: bytes, length: int) -> NDArray[np.float64] | None:
    """Give the times, in epoch seconds, of *stamps* of so many bytes each, one behind the other.

    They are those of RFC 3339 in UTC, with up to six decimal places. None where one is written otherwise than
    the first, or is no time that an event may have. Gives what ``datetime.timestamp`` gives, to the last bit.
    """
    first = stamps[:length].decode("ascii", "replace")
    if (written := _WRITTEN.fullmatch(first)) is None:
        return None
    least = np.frombuffer(re.sub(r"\d", "0", first).encode(), dtype=np.uint8).copy()
    decimals = len(written[1] or "")
    is_digit = least == ord("0")
    is_digit[_FRACTION + decimals :] = False  # those of the offset
    digits = np.frombuffer(stamps, dtype=np.uint8).reshape(-1, length) - least
    if (digits > np.where(is_digit, 9, 0).astype(np.uint8)).any():
        return None
    seconds: NDArray[np.float64] = np.zeros(len(digits))
    for place, below in _TENS_BELOW:
        part = digits[:, place] * np.uint8(10) + digits[:, place + 1]
        if int(part.max()) >= below:
            return None
        seconds *= 60.0
        seconds += part
    days = _days_of(digits, stamps, length)
    if days is None:
        return None
    micros = (seconds + days * _DAY) * _MICROS
    for place in range(decimals):
        micros += digits[:, _FRACTION + place] * 10.0 ** (5 - place)
    micros /= _MICROS
    return micros if TIMES[0] <= float(micros.min()) and float(micros.max()) < TIMES[1] else None


def _days_of(digits: NDArray[np.uint8], stamps: bytes, length: int) -> NDArray[np.float64] | None:
    """Give the days since the epoch; None where there is no such date. Most stamps have that before them."""
    dates = digits[:, :_DATE]
    starts = [0]
    if (dates != dates[0]).any():
        starts += (np.flatnonzero((dates[1:] != dates[:-1]).any(axis=1)) + 1).tolist()
    days: list[int] = []
    try:
        for start in starts:
            written = stamps[start * length : start * length + _DATE].decode()
            days.append(date.fromisoformat(written).toordinal() - _EPOCH)
    except ValueError:
        return None
    return np.repeat(np.array(days, dtype=np.float64), np.diff([*starts, len(digits)]))
