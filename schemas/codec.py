"""Wire bytes to events and back; a bad message is data, never an exception."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeGuard, cast

import msgspec

from schemas.alerts import Alert, Incident, Rejected, RejectReason, Source
from schemas.events import Event

RECORD_MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest record that is decoded; a larger one is rejected unread."""

ARRAY_MAX_ELEMENTS: Final = 10_000
"""Most events in one record; a longer array is rejected as a whole."""

RAW_MAX_BYTES: Final = 256 * 1024
"""How much of a rejected message is kept; its source says where the whole of it stands."""

DETAIL_MAX_CHARACTERS: Final = 500
"""Longest explanation of a rejection, which may quote what the message said."""

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Event times outside [EARLIEST, LATEST) are mistakes."""

TIMES: Final = (EARLIEST.timestamp(), LATEST.timestamp())
"""The same bounds in seconds since the epoch."""

Headers = Sequence[tuple[str, bytes | None]]
"""The headers of a record as Kafka has them: a name may stand twice, a value may be null."""

_one: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_many: Final[msgspec.json.Decoder[list[Event]]] = msgspec.json.Decoder(list[Event])
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw])
_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_lenient: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)

FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises where bytes are no event."""

_BRACE: Final = ord("{")
_BRACKET: Final = ord("[")
_WHITESPACE: Final = " \t\r\n"
_SPACES: Final = re.compile(f"[{_WHITESPACE}]*")
_PLACE: Final = re.compile(r"\(byte (\d+)\)$")
_NON_FINITE: Final = re.compile(rb"(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_CLOUDEVENT_FIELDS: Final = {"ce_id": "id", "ce_type": "type", "ce_time": "time"}
_CLOUDEVENT_TYPE: Final = re.compile(r"(?:.*\.)?(prediction|feedback|lifecycle|command)(?:\.v1)?")


def decode(raw: bytes | None, source: Source, headers: Headers = ()) -> Event | Rejected:
    """Turn the bytes of one event into the event, or into why they are none.

    CloudEvents headers ``ce_id``, ``ce_type`` and ``ce_time`` win over the fields of the body. Where a field
    stands twice, the last one counts, as with other readers of JSON; two different types are refused.
    """
    if not raw:
        return reject(RejectReason.EMPTY, "the record has no value", source, raw)
    if len(raw) > RECORD_MAX_BYTES:
        detail = f"{len(raw)} bytes; the most that is read is {RECORD_MAX_BYTES}"
        return reject(RejectReason.TOO_LARGE, detail, source, raw)
    try:
        if not raw.isascii():
            raw.decode()  # fields that nobody reads must be UTF-8 too
        event = _one.decode(_override(raw, headers) if headers else raw)
    except FAULTS as error:
        return _refuse(error, raw, source)
    if not EARLIEST <= event.time < LATEST:
        return reject(RejectReason.TIME_OUT_OF_RANGE, f"time {event.time.isoformat()}", source, raw)
    return event


def decode_plain(raw: bytes | None) -> Event | None:
    """Turn the bytes of one event into the event, fast; None where :func:`decode_record` must judge."""
    if not raw or raw[0] != _BRACE or len(raw) > RECORD_MAX_BYTES or not raw.isascii():
        return None
    try:
        event = _one.decode(raw)
    except FAULTS:
        return None
    return event if EARLIEST <= event.time < LATEST else None


def decode_again(raw: bytes) -> Event:
    """Turn the bytes of one event into the event, where it is known that they are one."""
    return _one.decode(raw)


def are_plain(raws: Sequence[bytes | None]) -> TypeGuard[Sequence[bytes]]:
    """Tell whether all of *raws* can be decoded as they stand: none is null, too large or beyond ASCII."""
    try:
        together = b"".join(cast("Sequence[bytes]", raws))
    except TypeError:
        return False
    if len(together) > RECORD_MAX_BYTES and max(map(len, cast("Sequence[bytes]", raws))) > RECORD_MAX_BYTES:
        return False
    return together.isascii()


def decode_plainly(raws: Sequence[bytes | None]) -> list[Event] | None:
    """Turn the bytes of many events, one each, into the events; None where one of them must be judged alone.

    Whoever calls looks at the times, which are cheaper to compare in an array: see :data:`TIMES`.
    """
    if not are_plain(raws):
        return None
    try:
        return list(map(_one.decode, raws))
    except FAULTS:
        return None


def decode_plain_array(raw: bytes | None) -> list[Event] | None:
    """Turn the bytes of an array into its events, fast; None where :func:`decode_record` must judge."""
    if not raw or raw[0] != _BRACKET or len(raw) > RECORD_MAX_BYTES or not raw.isascii():
        return None
    try:
        events = _many.decode(raw)
    except FAULTS:
        return None
    times = [event.time for event in events]
    if len(events) > ARRAY_MAX_ELEMENTS or not times:
        return None
    return events if min(times) >= EARLIEST and max(times) < LATEST else None


def split_plain_array(raw: bytes) -> list[bytes] | None:
    """Cut an array into its elements, fast; None where :func:`decode_record` must judge."""
    if raw[:1] != b"[" or not are_plain((raw,)):
        return None
    try:
        elements = _elements.decode(raw)
    except FAULTS:
        return None
    return list(map(bytes, elements)) if 0 < len(elements) <= ARRAY_MAX_ELEMENTS else None


def decode_record(raw: bytes | None, source: Source, headers: Headers = ()) -> list[Event | Rejected]:
    """Turn one record, a single event or a JSON array of events, into as many results as it has elements.

    An element that is bad is rejected alone, even where it is what makes the array no JSON (NaN, bytes that
    are not UTF-8); an array that cannot be cut into elements is rejected as a whole. CloudEvents headers
    describe one event: an array ignores them.
    """
    if raw is None or len(raw) > RECORD_MAX_BYTES or not is_array(raw):
        return [decode(raw, source, headers)]
    try:
        if not raw.isascii():
            raw.decode()
        events = _many.decode(raw)
    except FAULTS as error:
        return _decode_elements(raw, source, error)
    if len(events) > ARRAY_MAX_ELEMENTS:
        return [_refuse_long(raw, source)]
    if all(EARLIEST <= event.time < LATEST for event in events):
        return list(events)
    return _decode_elements(raw, source)


def is_array(raw: bytes) -> bool:
    """Tell whether a record holds an array of events rather than one event."""
    return raw[:1] == b"[" or raw.lstrip(_WHITESPACE.encode())[:1] == b"["


def reject(reason: RejectReason, detail: str, source: Source, raw: bytes | None) -> Rejected:
    """Keep *raw* as it came, cut at :data:`RAW_MAX_BYTES`, with the reason why it was not taken."""
    value = raw or b""
    return Rejected(
        reason=reason,
        detail=detail[:DETAIL_MAX_CHARACTERS],
        source=source,
        raw=value[:RAW_MAX_BYTES],
        raw_size=len(value),
    )


def encode(message: Event | Alert | Incident | Rejected | Sequence[Event]) -> bytes:
    """Turn a message into JSON: the same message always gives the same bytes."""
    return _encoder.encode(message)


def _decode_elements(raw: bytes, source: Source, error: Exception | None = None) -> list[Event | Rejected]:
    try:
        elements = _split(raw)
    except (ValueError, RecursionError) as uncut:
        unread = error is not None and not isinstance(error, msgspec.ValidationError)
        return [_refuse(error if error is not None and unread else uncut, raw, source)]
    if len(elements) > ARRAY_MAX_ELEMENTS:
        return [_refuse_long(raw, source)]
    return [
        decode(element, msgspec.structs.replace(source, index=index))
        for index, element in enumerate(elements)
    ]


def _split(raw: bytes) -> list[bytes]:
    """Cut an array into its elements, one more than is allowed at the most; ValueError where it has no end.

    Python's reader takes what JSON forbids but people send (NaN, control characters, halves of surrogate
    pairs), so that the fault stays with its element; bytes that are not UTF-8 come out as they went in.
    """
    text = raw.decode(errors="surrogateescape")
    elements: list[bytes] = []
    place = text.index("[")
    while len(elements) <= ARRAY_MAX_ELEMENTS:
        start = _after_spaces(text, place + 1)
        _, end = _lenient.raw_decode(text, start)
        elements.append(text[start:end].encode(errors="surrogateescape"))
        place = _after_spaces(text, end)
        if text[place : place + 1] != ",":
            if text[place:].rstrip(_WHITESPACE) != "]":
                raise ValueError(f"the array does not end at character {place}")
            break
    return elements


def _after_spaces(text: str, place: int) -> int:
    spaces = _SPACES.match(text, place)
    return spaces.end() if spaces else place


def _override(raw: bytes, headers: Headers) -> bytes:
    """Write CloudEvents attributes over the fields of a body; of a header given twice the last counts."""
    attributes: dict[str, str] = {}
    for name, value in headers:
        field = _CLOUDEVENT_FIELDS.get(name.lower())
        if field is None or value is None:
            continue
        try:
            attributes[field] = value.decode()
        except UnicodeDecodeError as error:
            raise msgspec.ValidationError(f"Header {name} is not UTF-8: {error}") from error
    return _written_over(raw, attributes) if attributes else raw


def _written_over(raw: bytes, attributes: Mapping[str, str]) -> bytes:
    fields = _fields.decode(raw)
    for field, text in attributes.items():
        known = _CLOUDEVENT_TYPE.fullmatch(text) if field == "type" else None
        fields[field] = msgspec.Raw(_encoder.encode(known[1] if known else text))
    return _encoder.encode(fields)


def _refuse_long(raw: bytes, source: Source) -> Rejected:
    detail = f"an array of more than {ARRAY_MAX_ELEMENTS} elements"
    return reject(RejectReason.TOO_LARGE, detail, source, raw)


def _refuse(error: Exception, raw: bytes, source: Source) -> Rejected:
    detail = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    return reject(_reason(error, raw), detail, source, raw)


def _reason(error: Exception, raw: bytes) -> RejectReason:
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return _why_no_json(text, raw)
    if text.startswith("Expected `object`") and " - at " not in text:
        return RejectReason.MALFORMED  # JSON, but no object
    if text.startswith("Number out of range"):
        return RejectReason.NOT_FINITE
    if text.startswith("Object missing required field"):
        return RejectReason.MISSING_FIELD
    return RejectReason.UNKNOWN_TYPE if text.endswith("`$.type`") else RejectReason.INVALID_FIELD


def _why_no_json(text: str, raw: bytes) -> RejectReason:
    """Look at the byte that the reader names: for ``nan`` the one after four, as it expects ``null``."""
    if not raw.strip(_WHITESPACE.encode()):
        return RejectReason.EMPTY
    if place := _PLACE.search(text):
        at = int(place[1])
        if any(_NON_FINITE.match(raw, start) for start in (at, max(0, at - 4))):
            return RejectReason.NOT_FINITE
    return RejectReason.MALFORMED
