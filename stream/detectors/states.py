"""States: a series of the budgeted bank as bytes, behind their checksum."""

from __future__ import annotations

import msgspec

from schemas.baselines import PublishedBaseline
from stream.core.errors import UnreadableRowError
from stream.detectors.forms import Form, Nature
from stream.detectors.sealed import sealed, unsealed


class State(msgspec.Struct, array_like=True):
    """All there is to know of a series: held readings and their times, or its form and quiet's snapshot.

    One that begins with a published baseline has it, *given* as JSON, until its first reading comes.
    """

    bank: str
    nature: Nature
    values: bytes
    times: bytes
    form: Form | None
    quiet: bytes
    given: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode
_encode_given = msgspec.json.Encoder().encode
_decode_given = msgspec.json.Decoder(PublishedBaseline).decode


def packed(state: State) -> bytes:
    """Give a series as bytes."""
    return sealed(_encode(state))


def written(given: PublishedBaseline | None) -> bytes:
    """Give a published baseline as a state has it."""
    return b"" if given is None else _encode_given(given)


def unpacked(snapshot: bytes, bank: str, held_bytes: int) -> State:
    """Give the series that *snapshot* is of, of *bank*, with fewer than *held_bytes* of readings held.

    Raises UnreadableRowError where it cannot be read.
    """
    body = unsealed(snapshot)
    try:
        state = _decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableRowError(str(error)) from error
    if state.bank != bank:
        raise UnreadableRowError(f"made with {state.bank}, now {bank}")
    if len(state.values) != len(state.times) or len(state.values) % 8 or len(state.values) >= held_bytes:
        raise UnreadableRowError(f"{len(state.values)} bytes of held readings")
    return state


def given_in(state: State) -> PublishedBaseline | None:
    """Give the baseline that a series begins with, of which nothing was read yet."""
    if not state.given:
        return None
    if state.form is not None or state.values:
        raise UnreadableRowError("a series that begins with a baseline has readings")
    try:
        return _decode_given(state.given)
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableRowError(str(error)) from error
