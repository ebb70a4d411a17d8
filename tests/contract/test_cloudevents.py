"""CloudEvents headers: they win over the body, and a bad one is a rejection."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas.alerts import Rejected, RejectReason, Source
from schemas.codec import Headers, decode, decode_record
from schemas.events import Event, Feedback, Prediction
from tests.contract.corpus import prediction

SOURCE = Source(topic="driftline.predictions", partition=0, offset=7)
BODY = prediction("body", b'"score":0.5')


def taken(raw: bytes, headers: Headers) -> Event:
    [event] = decode_record(raw, SOURCE, headers)
    assert not isinstance(event, Rejected)
    return event


def rejected(raw: bytes, headers: Headers) -> Rejected:
    [event] = decode_record(raw, SOURCE, headers)
    assert isinstance(event, Rejected)
    return event


def test_the_headers_win_over_the_body() -> None:
    headers = [("ce_id", b"header"), ("ce_type", b"prediction"), ("ce_time", b"2026-03-03T10:00:00Z")]
    assert taken(BODY, headers) == Prediction(
        id="header", model="contract", time=datetime(2026, 3, 3, 10, tzinfo=UTC), score=0.5
    )


def test_the_headers_stand_in_for_what_the_body_lacks() -> None:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/scoring"),
        ("ce_id", "Überschrift".encode()),
        ("ce_type", b"com.example.prediction.v1"),
        ("ce_time", b"2026-03-03T10:00:00Z"),
    ]
    event = taken(b'{"model":"contract","output":9007199254740993}', headers)
    assert isinstance(event, Prediction)
    assert (event.id, event.output) == ("Überschrift", 9_007_199_254_740_993)


@pytest.mark.parametrize(
    "ce_type",
    ["prediction", "prediction.v1", "com.example.prediction", "com.example.prediction.v1", "v1.prediction"],
)
def test_a_type_may_have_a_prefix_and_a_version(ce_type: str) -> None:
    assert isinstance(taken(BODY, [("ce_type", ce_type.encode())]), Prediction)


@pytest.mark.parametrize(
    "ce_type",
    [
        "",
        "predictions",
        "my_prediction",
        "com.example.Prediction",
        "com.example.prediction.v2",
        "prediction.created",
        "prediction\n",
        "com.example.",
    ],
)
def test_another_type_is_unknown_even_where_the_body_has_one(ce_type: str) -> None:
    assert rejected(BODY, [("ce_type", ce_type.encode())]).reason is RejectReason.UNKNOWN_TYPE


def test_a_type_may_turn_the_body_into_another_event() -> None:
    body = b'{"type":"order","id":"f","model":"m","time":"2026-03-02T10:00:00Z",%s}' % (
        b'"prediction_id":"p","kind":"label","label":1'
    )
    assert isinstance(taken(body, [("ce_type", b"com.example.feedback")]), Feedback)


def test_names_of_headers_may_have_any_case() -> None:
    assert taken(BODY, [("CE_Id", b"header")]).id == "header"


def test_of_a_header_that_stands_twice_the_last_counts() -> None:
    assert taken(BODY, [("ce_id", b"first"), ("ce_id", b"last")]).id == "last"


@pytest.mark.parametrize(
    "headers",
    [
        [("ce_id", None)],
        [("ce_source", b"\xff"), ("ce_specversion", b"1.0")],
        [("traceparent", b"\xff"), ("id", b"other"), ("ce-id", b"other"), ("", b"")],
        [("content-type", b"application/json")],
    ],
    ids=["null", "unread attributes", "other headers", "content type"],
)
def test_other_headers_and_null_change_nothing(headers: Headers) -> None:
    assert taken(BODY, headers) == decode(BODY, SOURCE)


def test_a_header_that_is_not_utf8_is_named_in_the_rejection() -> None:
    refused = rejected(BODY, [("ce_id", b"caf\xe9")])
    assert refused.reason is RejectReason.INVALID_FIELD
    assert "ce_id" in refused.detail
    assert refused.raw == BODY


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'"prediction"', RejectReason.MALFORMED),
        (b"42", RejectReason.MALFORMED),
        (b"null", RejectReason.MALFORMED),
        (b"\x00\x01", RejectReason.MALFORMED),
        (BODY[:-1], RejectReason.MALFORMED),
        (b'{"score":NaN}', RejectReason.NOT_FINITE),
        (b'{"score":1e999,"model":"m","time":"2026-03-02T10:00:00Z"}', RejectReason.NOT_FINITE),
        (b"{}", RejectReason.MISSING_FIELD),
        (b"  ", RejectReason.EMPTY),
        (b"", RejectReason.EMPTY),
        (None, RejectReason.EMPTY),
    ],
    ids=repr,
)
def test_headers_do_not_save_a_bad_body(body: bytes | None, reason: RejectReason) -> None:
    headers = [("ce_id", b"header"), ("ce_type", b"prediction")]
    [refused] = decode_record(body, SOURCE, headers)
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.raw) == (reason, body or b"")


def test_an_array_ignores_the_headers() -> None:
    raw = b"[%s,%s]" % (prediction("a"), prediction("b"))
    headers = [("ce_id", b"\xff"), ("ce_type", b"order"), ("ce_time", b"yesterday")]
    assert decode_record(raw, SOURCE, headers) == decode_record(raw, SOURCE)
