"""Wire bytes to events and back; a bad message is data, never an exception."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from schemas.alerts import Alert, Incident, Rejected, RejectReason, Source
from schemas.events import Event

RECORD_MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest record that is decoded; a larger one is rejected unread."""

RAW_MAX_BYTES: Final = 256 * 1024
"""How much of a rejected message is kept; its source says where the whole of it stands."""

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Event times outside [EARLIEST, LATEST) are mistakes."""

_one = msgspec.json.Decoder(Event)
_many = msgspec.json.Decoder(list[Event])
_elements = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder(order="deterministic")

_BARE_NON_FINITE = re.compile(rb"(?<![\w\"])-?(?:NaN|Infinity)(?![\w\"])")
_CLOUDEVENT_FIELDS: Final = (("ce_id", "id"), ("ce_type", "type"), ("ce_time", "time"))
_CLOUDEVENT_TYPE = re.compile(r"(?:.*\.)?(prediction|feedback|lifecycle|command)(?:\.v1)?")

Headers = Sequence[tuple[str, bytes]]


def decode(raw: bytes | None, source: Source, headers: Headers = ()) -> Event | Rejected:
    """Turn the bytes of one event into the event, or into why they are none.

    CloudEvents headers ``ce_id``, ``ce_type`` and ``ce_time`` win over the fields of the body.
    """
    if not raw:
        return reject(RejectReason.EMPTY, "the record has no value", source, raw)
    if len(raw) > RECORD_MAX_BYTES:
        detail = f"{len(raw)} bytes; the most that is read is {RECORD_MAX_BYTES}"
        return reject(RejectReason.TOO_LARGE, detail, source, raw)
    attributes = _cloudevent(headers) if headers else None
    try:
        if not raw.isascii():
            raw.decode()  # fields that nobody reads must be UTF-8 too
        event = _one.decode(raw if attributes is None else _override(raw, attributes))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return reject(_reason(error, raw), _detail(error), source, raw)
    if not EARLIEST <= event.time < LATEST:
        return reject(RejectReason.TIME_OUT_OF_RANGE, f"time {event.time.isoformat()}", source, raw)
    return event


def decode_record(raw: bytes | None, source: Source, headers: Headers = ()) -> list[Event | Rejected]:
    """Turn one record, a single event or a JSON array of events, into as many results as it has elements.

    An element that is bad is rejected alone. CloudEvents headers describe one event: an array ignores them.
    """
    if raw is None or raw[:1] != b"[" and raw.lstrip(b" \t\r\n")[:1] != b"[" or len(raw) > RECORD_MAX_BYTES:
        return [decode(raw, source, headers)]
    try:
        if not raw.isascii():
            raw.decode()
        events = _many.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_elements(raw, source)
    if all(EARLIEST <= event.time < LATEST for event in events):
        return list(events)
    return _decode_elements(raw, source)


def reject(reason: RejectReason, detail: str, source: Source, raw: bytes | None) -> Rejected:
    """Keep *raw* as it came, cut at :data:`RAW_MAX_BYTES`, with the reason why it was not taken."""
    value = raw or b""
    return Rejected(reason=reason, detail=detail, source=source, raw=value[:RAW_MAX_BYTES], raw_size=len(value))


def encode(message: Event | Alert | Incident | Rejected | Sequence[Event]) -> bytes:
    """Turn a message into JSON: the same message always gives the same bytes."""
    return _encoder.encode(message)


def _decode_elements(raw: bytes, source: Source) -> list[Event | Rejected]:
    try:
        elements = _elements.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return [reject(_reason(error, raw), _detail(error), source, raw)]
    return [
        decode(bytes(element), msgspec.structs.replace(source, index=index))
        for index, element in enumerate(elements)
    ]


def _cloudevent(headers: Headers) -> Mapping[str, bytes] | None:
    given = {name.lower(): value for name, value in headers if name.lower().startswith("ce_")}
    if not given:
        return None
    return {field: given[header] for header, field in _CLOUDEVENT_FIELDS if header in given}


def _override(raw: bytes, attributes: Mapping[str, bytes]) -> bytes:
    fields: dict[str, msgspec.Raw] = _fields.decode(raw)
    for field, value in attributes.items():
        text = value.decode()
        if field == "type" and (match := _CLOUDEVENT_TYPE.fullmatch(text)):
            text = match[1]
        fields[field] = msgspec.Raw(_encoder.encode(text))
    return _encoder.encode(fields)


def _reason(error: Exception, raw: bytes) -> RejectReason:
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        found = _BARE_NON_FINITE.search(raw) and isinstance(error, msgspec.DecodeError)
        return RejectReason.NOT_FINITE if found else RejectReason.MALFORMED
    if text.startswith("Number out of range"):
        return RejectReason.NOT_FINITE
    if text.startswith("Object missing required field"):
        return RejectReason.MISSING_FIELD
    if text.endswith("`$.type`"):
        return RejectReason.UNKNOWN_TYPE
    return RejectReason.INVALID_FIELD


def _detail(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
