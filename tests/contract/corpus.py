"""The golden corpus: messages that must be taken, and messages that must be rejected, each for one reason.

What can stand as text is a file, ``good/*.json`` and ``bad/*.json`` with an ``expected.json`` beside it; the
rest is made here.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from schemas.alerts import RejectReason
from schemas.codec import ARRAY_MAX_ELEMENTS, RECORD_MAX_BYTES, Headers

FOLDER: Final = Path(__file__).parent
DAY: Final = "2026-03-02T10:00:00Z"
"""The time of every message that is about something else."""

Step = Literal["codec", "intake", "admission"]
"""What rejects a message: the bytes alone, the topic it came on, or the clock and the events before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadMessage:
    """The value of one record that must end in *rejections* rejections, each for *reason*.

    *raw* is None for a tombstone. *good_elements* events of an array are taken all the same; their ids are
    like those of no other message. *topic* is the input topic without its prefix. The reason ``future`` needs
    a clock: a replay, which has none, takes that message.
    """

    name: str
    raw: bytes | None
    reason: RejectReason
    topic: str = "predictions"
    headers: Headers = ()
    good_elements: int = 0
    rejections: int = 1
    decided_by: Step = "codec"

    @property
    def size(self) -> int:
        """Give the bytes of the value: input topics take up to 8 MB, a producer as it comes 1 MB."""
        return len(self.raw or b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class GoodMessage:
    """The value of one record, and the events in it as JSON objects that leave out what is not set."""

    name: str
    raw: bytes
    expected: list[dict[str, Any]]


def good_messages() -> list[GoodMessage]:
    """Give the messages that must be taken, by name."""
    expected = json.loads((FOLDER / "good" / "expected.json").read_bytes())
    return [
        GoodMessage(
            name=name.removesuffix(".json"), raw=(FOLDER / "good" / name).read_bytes(), expected=events
        )
        for name, events in expected.items()
    ]


def bad_messages() -> list[BadMessage]:
    """Give the messages that must be rejected: the files by name, then those that are made."""
    expected = json.loads((FOLDER / "bad" / "expected.json").read_bytes())
    return [
        *(
            BadMessage(
                name=name.removesuffix(".json"),
                raw=(FOLDER / "bad" / name).read_bytes(),
                reason=RejectReason(fault["reason"]),
                **{key: value for key, value in fault.items() if key != "reason"},
            )
            for name, fault in expected.items()
        ),
        *_empty(),
        *_no_text(),
        *_no_text_in_arrays(),
        *_large(),
        *_deep(),
        *_headers(),
    ]


def prediction(event_id: str, more: bytes = b"") -> bytes:
    """Give a prediction as JSON, with *more* fields as they are."""
    head = b'{"type":"prediction","id":"%s","model":"contract","time":"%s"' % (
        event_id.encode(),
        DAY.encode(),
    )
    return head + (b"," + more if more else b"") + b"}"


def _empty() -> list[BadMessage]:
    values = {"tombstone": None, "empty_record": b"", "whitespace": b" \t\r\n", "newline": b"\n"}
    return [BadMessage(name=name, raw=raw, reason=RejectReason.EMPTY) for name, raw in values.items()]


def _no_text() -> list[BadMessage]:
    values = {
        "invalid_utf8_in_a_read_field": prediction("bad", b'"subject":"caf\xe9"'),
        "invalid_utf8_in_an_unread_field": prediction("bad", b'"unread":"caf\xe9"'),
        "invalid_utf8_in_an_unread_key": prediction("bad", b'"caf\xe9":1'),
        "utf8_overlong": prediction("bad", b'"subject":"\xc0\xaf"'),
        "utf8_surrogate": prediction("bad", b'"subject":"\xed\xa0\x80"'),
        "utf8_truncated": prediction("bad", b'"subject":"\xf0\x9f\x98"'),
        "utf8_byte_order_mark": b"\xef\xbb\xbf" + prediction("bad"),
        "utf16": prediction("bad").decode().encode("utf-16"),
        "utf32": prediction("bad").decode().encode("utf-32-le"),
        "nul_in_a_string": prediction("bad", b'"subject":"a\x00b"'),
        "nul_in_an_unread_string": prediction("bad", b'"unread":"a\x00b"'),
        "nul_after_the_object": prediction("bad") + b"\x00",
        "nul_alone": b"\x00",
        "tab_in_a_string": prediction("bad", b'"subject":"a\tb"'),
        "newline_in_a_string": prediction("bad", b'"subject":"a\nb"'),
        "form_feed_between": b"\x0c" + prediction("bad"),
        "no_break_space_between": b"\xc2\xa0" + prediction("bad"),
        "gzip": gzip.compress(prediction("bad"), mtime=0),
        "avro_of_a_schema_registry": b"\x00\x00\x00\x00\x07\x06bad",
        "every_byte": bytes(range(256)),
    }
    return [BadMessage(name=name, raw=raw, reason=RejectReason.MALFORMED) for name, raw in values.items()]


def _no_text_in_arrays() -> list[BadMessage]:
    values = {
        "array_with_invalid_utf8": prediction("bad", b'"subject":"caf\xe9"'),
        "array_with_invalid_utf8_unread": prediction("bad", b'"unread":"caf\xe9, \xff"'),
        "array_with_nul": prediction("bad", b'"subject":"a\x00]"'),
        "array_with_5000_digits": b"[%s]" % (b"9" * 5_000),
    }
    return [
        BadMessage(
            name=name,
            raw=b"[%s, %s ,%s]" % (prediction(f"first-{name}"), bad, prediction(f"last-{name}")),
            reason=RejectReason.MALFORMED,
            good_elements=2,
        )
        for name, bad in values.items()
    ]


def _large() -> list[BadMessage]:
    padding = b'"unread":"%s"' % (b"x" * RECORD_MAX_BYTES)
    too_many = [prediction(f"many-{number}") for number in range(ARRAY_MAX_ELEMENTS + 1)]
    values = {
        "oversize": prediction("bad", padding),
        "oversize_array": b"[%s]" % prediction("bad", padding),
        "oversize_whitespace": b" " * (RECORD_MAX_BYTES + 1),
        "array_too_long": b"[%s]" % b",".join(too_many),
        "array_too_long_of_numbers": b"[%s]" % b",".join([b"0"] * 2 * ARRAY_MAX_ELEMENTS),
        "array_too_long_with_an_old_event": b"[%s]"
        % b",".join([prediction("bad").replace(DAY.encode(), b"1970-01-01T00:00:00Z"), *too_many]),
    }
    return [BadMessage(name=name, raw=raw, reason=RejectReason.TOO_LARGE) for name, raw in values.items()]


def _deep() -> list[BadMessage]:
    million = 1_000_000
    values = {
        "deep_arrays": b"[" * million + b"]" * million,
        "deep_arrays_without_end": b"[" * 3 * million,
        "deep_objects": b'{"a":' * 500_000 + b"1" + b"}" * 500_000,
        "deep_unread_field": prediction("bad", b'"unread":' + b"[" * 100_000 + b"]" * 100_000),
        "deep_unread_object": prediction("bad", b'"unread":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "deep_element": b"[%s]" % prediction("bad", b'"unread":' + b"[" * 100_000 + b"]" * 100_000),
    }
    return [
        *(BadMessage(name=name, raw=raw, reason=RejectReason.MALFORMED) for name, raw in values.items()),
        BadMessage(name="deep_beyond_a_topic", raw=b"[" * 10 * million, reason=RejectReason.TOO_LARGE),
    ]


def _headers() -> list[BadMessage]:
    values: dict[str, tuple[Headers, RejectReason]] = {
        "ce_id_invalid_utf8": ([("ce_id", b"caf\xe9")], RejectReason.INVALID_FIELD),
        "ce_type_invalid_utf8": ([("ce_type", b"\xff")], RejectReason.INVALID_FIELD),
        "ce_time_invalid_utf8": ([("ce_time", b"\xff")], RejectReason.INVALID_FIELD),
        "ce_id_empty": ([("ce_id", b"")], RejectReason.INVALID_FIELD),
        "ce_id_of_257_characters": ([("ce_id", b"i" * 257)], RejectReason.INVALID_FIELD),
        "ce_time_nonsense": ([("ce_time", b"yesterday")], RejectReason.INVALID_FIELD),
        "ce_time_in_1970": ([("ce_time", b"1970-01-01T00:00:00Z")], RejectReason.TIME_OUT_OF_RANGE),
        "ce_type_unknown": ([("ce_type", b"com.example.explanation.v1")], RejectReason.UNKNOWN_TYPE),
        "ce_type_of_version_2": ([("ce_type", b"com.example.prediction.v2")], RejectReason.UNKNOWN_TYPE),
    }
    return [
        BadMessage(name=name, raw=prediction("bad"), reason=reason, headers=headers)
        for name, (headers, reason) in values.items()
    ]
