"""The rows of a pipeline: what cannot be read is learned again, told, and deleted; the rest goes on."""

from __future__ import annotations

import msgspec
import pytest

from schemas.policy import Bounds
from stream.core.nouns import Topic
from stream.core.pipeline import Pipeline
from tests.flow.timeline import (
    MODEL,
    ONLY_ERRORS,
    Alarms,
    Timeline,
    a_pipeline,
    at,
    label,
    prediction,
    right,
    watch,
    wrong,
)

Rows = dict[bytes, bytes]


def kept(pipeline: Pipeline, rows: Rows) -> Rows:
    """Apply what changed to the rows that are kept."""
    for key, row in pipeline.rows().items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row
    return rows


def key_of(*parts: str) -> bytes:
    return msgspec.json.encode(parts)


@pytest.fixture
def rows() -> Rows:
    """Give the rows of a pipeline with a prediction that waits, an orphan, and an incident."""
    t = watch()
    t.push(at(0), right("a"), wrong("b"), prediction("waiting", 0), label("orphan", 0))
    return kept(t.pipeline, {})


def restored(rows: Rows) -> tuple[Timeline, list[str]]:
    t = Timeline(a_pipeline(ONLY_ERRORS, Alarms()))
    return t, t.pipeline.restore(rows)


def test_there_is_a_row_for_everything(rows: Rows) -> None:
    kinds = [msgspec.json.decode(key, type=tuple[str, ...])[0] for key in rows]
    assert sorted(set(kinds)) == sorted(
        {"pipeline", "model", "seen", "pending", "orphans", "shape", "series", "incident"}
    )


def test_a_restored_pipeline_stands_where_the_rows_say(rows: Rows) -> None:
    t, unreadable = restored(rows)
    assert unreadable == []
    assert t.pipeline.positions == {
        Topic.LIFECYCLE: 0, Topic.PREDICTIONS: 3, Topic.FEEDBACK: 3, Topic.COMMANDS: 0,
    }  # fmt: skip


def test_a_restored_pipeline_knows_what_waits_and_what_was_taken(rows: Rows) -> None:
    t, _ = restored(rows)
    t.push(at(1), prediction("a"), label("waiting", 0), prediction("orphan", 0))
    assert t.count("duplicates_total") == 1
    assert t.count("outcomes_total") == 2


def test_nothing_new_is_nothing_to_write_but_the_position(rows: Rows) -> None:
    t, _ = restored(rows)
    assert list(t.pipeline.rows()) == [key_of("pipeline")]


@pytest.mark.parametrize("kind", ["model", "seen", "pending", "orphans", "shape", "series", "incident"])
def test_a_row_that_cannot_be_read_is_told_and_the_rest_goes_on(rows: Rows, kind: str) -> None:
    bad = [key for key in rows if key.startswith(f'["{kind}"'.encode())]
    t, unreadable = restored({**rows, **dict.fromkeys(bad, b"\xc1")})
    assert len(unreadable) == len(bad) > 0
    assert all(kind in key for key in unreadable)
    t.push(at(1), right("c"))
    assert t.count("outcomes_total") == 1


def test_a_row_that_cannot_be_read_is_deleted_unless_it_is_written_anew(rows: Rows) -> None:
    pending, summary = key_of("pending", MODEL, "0"), key_of("model", MODEL)
    t, _ = restored({**rows, pending: b"\xc1"})
    assert t.pipeline.rows()[pending] is None
    t, _ = restored({**rows, summary: b"\xc1"})
    t.push(at(1), prediction("c"))
    assert t.pipeline.rows()[summary] is not None


@pytest.mark.parametrize(
    "key",
    [
        b"no json",
        key_of("unknown", MODEL),
        key_of("series", MODEL, "too", "short"),
        key_of("seen", MODEL, "no-such-topic", "0"),
        key_of("pending", MODEL, "no-number"),
        key_of("lonely"),
        key_of(),
    ],
)
def test_a_row_of_an_unknown_key_is_told_and_the_rest_goes_on(rows: Rows, key: bytes) -> None:
    t, unreadable = restored({**rows, key: rows[key_of("pending", MODEL, "0")]})
    assert len(unreadable) == 1
    t.push(at(1), label("waiting", 0))
    assert t.count("outcomes_total") == 1


@pytest.mark.parametrize("position", [None, b"\xc1"])
def test_rows_without_their_position_are_of_no_use(rows: Rows, position: bytes | None) -> None:
    del rows[key_of("pipeline")]
    known = len(rows)
    if position is not None:
        rows[key_of("pipeline")] = position
    t, unreadable = restored(rows)
    assert len(unreadable) >= known
    assert t.pipeline.models() == []
    assert set(t.pipeline.positions.values()) == {0}
    assert {key for key, row in t.pipeline.rows().items() if row is None} >= rows.keys() - {
        key_of("pipeline")
    }


def test_a_model_whose_summary_was_lost_tells_no_newest_event(rows: Rows) -> None:
    t, _ = restored({**rows, key_of("model", MODEL): b""})
    assert ("last_event_timestamp_seconds", (MODEL,)) not in t.pipeline.gauges().gauges


def test_no_rows_are_a_new_pipeline() -> None:
    t, unreadable = restored({})
    assert unreadable == []
    t.push(at(0), prediction("a"))
    assert t.count("events_total") == 1


def test_an_incident_whose_series_was_lost_is_closed_with_its_version(rows: Rows) -> None:
    series = key_of("series", MODEL, "unversioned", "", "error")
    shape = key_of("shape", MODEL, "unversioned")
    t = Timeline(
        a_pipeline(msgspec.structs.replace(ONLY_ERRORS, bounds=Bounds(versions=1)), Alarms()),
    )
    t.pipeline.restore({**rows, series: b"", shape: b"", key_of("model", MODEL): b""})
    t.push(at(1), prediction("c", version="2"))
    assert [incident.resolved_at is not None for incident in t.incidents] == [True]


def test_an_evicted_version_leaves_no_row() -> None:
    t = watch(msgspec.structs.replace(ONLY_ERRORS, bounds=Bounds(versions=1)))
    t.push(at(0), wrong("a", version="1"))
    rows = kept(t.pipeline, {})
    t.push(at(1), prediction("b", version="2"))
    rows = kept(t.pipeline, rows)
    of_version = [key for key in rows if b'"1"' in key]
    assert of_version == [key_of("pending", MODEL, "1")], "the second chunk of what waits, no version"


def test_an_evicted_model_leaves_no_row() -> None:
    t = watch(max_models=1)
    t.push(at(0), wrong("a"))
    rows = kept(t.pipeline, {})
    t.push(at(1), prediction("b", model="other"))
    rows = kept(t.pipeline, rows)
    assert not [key for key in rows if MODEL.encode() in key]


def test_a_model_that_comes_back_before_the_checkpoint_keeps_only_what_is_new() -> None:
    t = watch(max_models=1)
    t.push(at(0), wrong("a"))
    rows = kept(t.pipeline, {})
    t.push(at(1), prediction("b", model="other"), prediction("c", 0))
    rows = kept(t.pipeline, rows)
    again, unreadable = restored(rows)
    assert unreadable == []
    again.push(at(2), prediction("a", 0), label("c", 1))
    assert again.count("duplicates_total") == 0
    assert again.count("outcomes_total") == 1


def test_bounds_that_were_lowered_hold_from_the_next_newcomer_on() -> None:
    t = watch()
    for version in "123":
        t.push(at(0), prediction(f"p{version}", version=version))
    rows = kept(t.pipeline, {})
    lower = msgspec.structs.replace(ONLY_ERRORS, bounds=Bounds(versions=1))
    again = Timeline(a_pipeline(lower, Alarms()))
    again.pipeline.restore(rows)
    again.push(at(1), prediction("q", version="4"))
    assert again.count("evicted_total", "versions") == 3
