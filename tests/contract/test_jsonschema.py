"""The exported JSON Schemas: equal to the code, and of one mind with the codec."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas import export
from schemas.alerts import (
    Alert,
    AlertReason,
    Evidence,
    HistoryEntry,
    Incident,
    IncidentState,
    Kind,
    RejectReason,
    Severity,
    Source,
    Trigger,
)
from schemas.codec import ARRAY_MAX_ELEMENTS, encode, reject
from tests.contract.corpus import BadMessage, GoodMessage, bad_messages, good_messages

SCHEMAS = export.schemas()
STRUCTURAL = {RejectReason.MISSING_FIELD, RejectReason.UNKNOWN_TYPE, RejectReason.INVALID_FIELD}
BEYOND_JSON_SCHEMA = {
    "lifecycle_baselines_of_another_digest": "JSON Schema counts no digests",
    "lifecycle_baseline_with_a_nonsense_count": "JSON Schema compares no fields",
    "prediction_output_beyond_64_bits": "1e30 is a legal float and an integer to JSON Schema",
    "prediction_output_below_64_bits": "1e30 is a legal float and an integer to JSON Schema",
    "prediction_output_of_5000_digits": "Python reads no such number",
    "prediction_feature_beyond_64_bits": "1e30 is a legal float and an integer to JSON Schema",
    "prediction_input_tokens_is_a_float": "310.0 is an integer to JSON Schema",
}
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
EVIDENCE = Evidence(
    observed=0.4,
    expected=0.2,
    statistic=51.0,
    threshold=50.0,
    n=300,
    window_start=AT,
    window_end=AT,
    detector="page_hinkley",
)
TRIGGER = Trigger(topic="driftline.feedback", partition=3, offset=7, event_id="f-1")


def is_valid(name: str, value: object) -> bool:
    return bool(Draft202012Validator(SCHEMAS[name]).is_valid(value))


def is_expressible(message: BadMessage) -> bool:
    return (
        message.reason in STRUCTURAL
        and message.decided_by == "codec"
        and not message.headers
        and not message.name.startswith("time_")  # what "format": "date-time" means is up to the validator
        and message.name not in BEYOND_JSON_SCHEMA
    )


def test_the_files_are_as_the_code_has_them() -> None:
    assert export.differences() == [], "run python -m schemas.export"


def test_the_check_passes_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_the_check_names_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "_FOLDER", tmp_path)
    assert export.main([]) == 0
    assert export.main(["--check"]) == 0
    (tmp_path / "alert.json").unlink()
    (tmp_path / "event.json").write_text("{}")
    (tmp_path / "verdict.json").write_text("{}")
    assert export.main(["--check"]) == 1
    named = [line.split()[0].rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    assert named == ["alert.json", "event.json", "verdict.json"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_says_what_it_describes(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:driftline:v1:{name}"
    assert schema["title"].lower() == name
    assert schema["description"]


def test_the_messages_are_all_there() -> None:
    inputs = {"prediction", "feedback", "lifecycle", "command", "event"}
    assert SCHEMAS.keys() == inputs | {"alert", "incident", "rejected", "policy"}


@pytest.mark.parametrize("message", good_messages(), ids=lambda message: message.name)
def test_a_good_message_is_valid(message: GoodMessage) -> None:
    sent = json.loads(message.raw)
    assert is_valid("event", sent)
    for event in sent if isinstance(sent, list) else [sent]:
        assert [
            name for name in ("prediction", "feedback", "lifecycle", "command") if is_valid(name, event)
        ] == [event["type"]]


@pytest.mark.parametrize(
    "message", [message for message in bad_messages() if is_expressible(message)], ids=lambda m: m.name
)
def test_a_structural_fault_is_invalid(message: BadMessage) -> None:
    assert message.raw is not None
    assert not is_valid("event", json.loads(message.raw))


def test_what_json_schema_cannot_say_is_no_more_than_it_has_to_be() -> None:
    faults = {message.name: message.raw or b"" for message in bad_messages()}
    readable = BEYOND_JSON_SCHEMA.keys() - {"prediction_output_of_5000_digits"}
    assert all(is_valid("event", json.loads(faults[name])) for name in readable)


def test_an_array_is_as_long_as_the_codec_reads() -> None:
    event = json.loads(b'{"type":"prediction","id":"p","model":"m","time":"2026-03-02T10:00:00Z"}')
    assert is_valid("event", [event] * 3)
    assert SCHEMAS["event"]["anyOf"][-1]["maxItems"] == ARRAY_MAX_ELEMENTS
    assert not is_valid("event", [event, 5])
    assert not is_valid("event", [[event]])


def test_what_is_published_is_valid() -> None:
    labels: dict[str, Any] = {
        "id": "a",
        "fingerprint": "f",
        "model": "m",
        "version": "v",
        "segment": "",
        "signal": "error",
        "kind": Kind.PERFORMANCE,
        "severity": Severity.ERROR,
        "detected_at": AT,
        "evidence": EVIDENCE,
        "trigger": TRIGGER,
    }
    alert = Alert(**labels, incident_id="i", reason=AlertReason.FIRST)
    incident = Incident(
        **labels,
        state=IncidentState.DETECTED,
        opened_at=AT,
        last_alert_at=AT,
        resolved_at=None,
        alerts=1,
        findings=3,
        roles=("ai_dev_team",),
        history=(
            HistoryEntry(seq=0, state=IncidentState.DETECTED, at=AT, actor="driftline", reason="first"),
        ),
    )
    rejected = reject(
        RejectReason.MALFORMED, "no JSON", Source(topic="t", partition=0, offset=0, index=3), b"\xff"
    )
    assert is_valid("alert", json.loads(encode(alert)))
    assert is_valid("incident", json.loads(encode(incident)))
    assert is_valid("rejected", json.loads(encode(rejected)))


def test_a_policy_refuses_a_field_that_it_does_not_know() -> None:
    assert is_valid("policy", {})
    assert is_valid("policy", {"bounds": {"features": 10}})
    assert not is_valid("policy", {"bounds": {"featurs": 10}})
    assert not is_valid("policy", {"detectors": {"adwin": {"delta": 0}}})
