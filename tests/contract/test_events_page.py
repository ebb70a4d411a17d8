"""The page for producers names all that the code knows."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from schemas.alerts import RejectReason
from schemas.codec import ARRAY_MAX_ELEMENTS, RAW_MAX_BYTES, RECORD_MAX_BYTES
from schemas.events import (
    NAME_MAX_LENGTH,
    Command,
    Feedback,
    FeedbackKind,
    Lifecycle,
    LifecycleKind,
    Prediction,
    Safety,
    Usage,
)
from schemas.policy import DEFAULT_POLICY

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
SECTIONS = {section.split(maxsplit=1)[0].rstrip(":"): section for section in PAGE.split("\n## ")}
CODED = re.compile(r"`([^`]+)`")


def rows_of(section: str) -> list[list[str]]:
    rows = [line for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    return [row.strip("| ").split(" | ") for row in rows]


@pytest.mark.parametrize("struct", [Prediction, Feedback, Lifecycle, Command], ids=lambda s: s.__name__)
def test_every_field_is_described_and_no_other(struct: type[msgspec.Struct]) -> None:
    described = {name for row in rows_of(struct.__name__) for name in CODED.findall(row[0])}
    described |= {name for row in rows_of("Every") for name in CODED.findall(row[0])}
    nested: dict[str, type[msgspec.Struct]] = (
        {"usage": Usage, "safety": Safety} if struct is Prediction else {}
    )
    fields = {field.name for field in msgspec.structs.fields(struct)} | {"type"}
    fields |= {
        f"{name}.{field.name}" for name, part in nested.items() for field in msgspec.structs.fields(part)
    }
    assert described == fields


@pytest.mark.parametrize("struct", [Prediction, Feedback, Lifecycle, Command], ids=lambda s: s.__name__)
def test_what_is_required_is_said_to_be(struct: type[msgspec.Struct]) -> None:
    rows = [*rows_of("Every"), *rows_of(struct.__name__)]
    said = {name for row in rows if row[2] == "yes" for name in CODED.findall(row[0])}
    assert said == {field.name for field in msgspec.structs.fields(struct) if field.required} | {"type"}


def test_every_kind_is_named() -> None:
    for section, kinds in (("Feedback", FeedbackKind), ("Lifecycle", LifecycleKind)):
        [row] = [row for row in rows_of(section) if row[0] == "`kind`"]
        assert CODED.findall(row[1]) == [kind.value for kind in kinds]


def test_every_reason_is_explained_in_the_order_of_the_code() -> None:
    assert [row[0].strip("`") for row in rows_of("What")] == [reason.value for reason in RejectReason]


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"1 to {NAME_MAX_LENGTH} characters" in PAGE
    assert f"up to {ARRAY_MAX_ELEMENTS:,} events" in PAGE
    assert f"at most {RECORD_MAX_BYTES // 1024**2} MiB" in PAGE
    assert f"last {DEFAULT_POLICY.bounds.seen_ids:,} " in PAGE
    assert f"up to {RAW_MAX_BYTES // 1024} KiB" in PAGE
    assert f"({DEFAULT_POLICY.horizons.future_seconds / 3600:.0f} h)" in PAGE
    assert f"({DEFAULT_POLICY.horizons.lateness_seconds / 86_400:.0f} d)" in PAGE
