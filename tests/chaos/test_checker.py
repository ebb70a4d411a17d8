"""The checker finds what it is there to find: a storm that it calls harmless has been looked at."""

from __future__ import annotations

import copy
import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chaos import core
from tests.chaos.checker import (
    Verdict,
    check_alerts,
    check_incidents,
    check_models,
    check_rejected,
    check_rows,
)
from tests.chaos.faults import Kind, schedule
from tests.chaos.load import BAD, POLICY, Load, rounds_of
from tests.chaos.oracle import Turn, implied, merged
from tests.chaos.standing import RowKey, Stood, committed, joined
from tests.chaos.storm import PREFIX

MODELS = ("credit", "churn")
Rows = dict[RowKey, Any]


@pytest.fixture(scope="module")
def turns() -> list[Turn]:
    """Give the log of a small load in one partition."""
    topics: dict[str, list[Stood]] = {"predictions": [], "feedback": []}
    for one in rounds_of(Load(models=MODELS, events=6_000, seed=1)):
        for topic, burst in (("predictions", one.predictions), ("feedback", one.feedback)):
            for sent in burst:
                place = len(topics[topic])
                topics[topic].append(Stood(place, sent.timestamp_ms, sent.model.encode(), sent.value))
    return merged(topics)


@pytest.fixture(scope="module")
def ended(turns: list[Turn], tmp_path_factory: pytest.TempPathFactory) -> tuple[Rows, list[dict[str, Any]]]:
    """Give the rows and the incidents that the log comes to."""
    policy = tmp_path_factory.mktemp("checker") / "policy.toml"
    policy.write_text(POLICY)
    (pipeline,) = core.pipelines({"DRIFTLINE_PARTITIONS": "1", "DRIFTLINE_POLICY_FILE": str(policy)})
    rows, incidents, _ = core.led_past(pipeline, turns)
    return joined(rows), incidents


def judged(turns: Sequence[Turn], rows: Rows) -> dict[str, int]:
    """Give what is wrong with *rows* after the log."""
    verdict = Verdict()
    check_models(verdict, implied(turns), rows)
    return dict(+verdict.wrong)


def test_such_a_load_has_everything_that_a_storm_should_meet(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]
) -> None:
    models = implied(turns)
    states = {incident["state"] for incident in ended[1]}
    label_first = [turn.stood.value for turn in turns[:2_000]]
    assert all(model.duplicates and model.waiting for model in models.values())
    assert all(len(model.outcomes) > 1_000 for model in models.values())
    assert all(model.outcomes != sorted(model.outcomes) for model in models.values())
    assert states == {"detected", "recovered"}
    assert any(comes_before(label_first, name) for name in MODELS)


def comes_before(values: Sequence[bytes | None], model: str) -> bool:
    """Tell whether some label of *model* stands before its prediction."""
    predicted: set[str] = set()
    for value in values:
        event = json.loads(value or b"null")
        if event["type"] == "prediction":
            predicted.add(event["id"])
        elif event["model"] == model and event["prediction_id"] not in predicted:
            return True
    return False


def test_a_run_without_a_fault_is_as_promised(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]
) -> None:
    assert judged(turns, ended[0]) == {}


def test_a_lost_event_is_found(turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]) -> None:
    rows = copy.deepcopy(ended[0])
    rows["seen", "churn", "feedback"].pop(700)
    wrong = judged(turns, rows)
    assert wrong == {"events lost": 1, "models whose events are in another order": 1}


def test_an_event_that_counted_twice_is_found(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]
) -> None:
    rows = copy.deepcopy(ended[0])
    seen = rows["seen", "churn", "feedback"]
    seen.append(seen[700])
    assert judged(turns, rows) == {"events twice": 1, "models whose events are in another order": 1}


def test_events_in_another_order_are_found(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]
) -> None:
    rows = copy.deepcopy(ended[0])
    seen = rows["seen", "credit", "predictions"]
    seen[5], seen[6] = seen[6], seen[5]
    assert judged(turns, rows) == {"models whose events are in another order": 1}


def test_a_lost_outcome_is_found(turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]) -> None:
    """The label is forgotten though it was taken: its prediction goes on waiting."""
    rows = copy.deepcopy(ended[0])
    rows["pending", "credit"][implied(turns)["credit"].outcomes[10]] = []
    rows["model", "credit"][2] -= 1
    assert judged(turns, rows) == {"outcomes lost": 1}


def test_an_outcome_that_counted_twice_is_found(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]]
) -> None:
    rows = copy.deepcopy(ended[0])
    rows["model", "credit"][2] += 1
    assert judged(turns, rows) == {"outcomes twice": 1}


def test_a_reading_that_counted_twice_or_in_another_order_is_found(
    turns: list[Turn], ended: tuple[Rows, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Two labels change places in the log: every count is as before, the series is not."""
    places = [place for place, turn in enumerate(turns) if turn.topic == "feedback"][2_000:2_040]
    one, other = next(
        (one, other) for one in places for other in places if labels(turns[one]) < labels(turns[other])
    )
    swapped = list(turns)
    swapped[one], swapped[other] = turns[other], turns[one]
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    (pipeline,) = core.pipelines({"DRIFTLINE_PARTITIONS": "1", "DRIFTLINE_POLICY_FILE": str(policy)})
    rows = joined(core.led_past(pipeline, swapped)[0])
    verdict = Verdict()
    check_rows(verdict, {k: v for k, v in ended[0].items() if k[0] == "series"}, rows)
    assert verdict.wrong["rows that differ"] > 0


def labels(turn: Turn) -> tuple[str, int]:
    """Give the model and the label of feedback."""
    event = json.loads(turn.stood.value or b"null")
    return event["model"], event["label"]


def test_incidents_that_are_missing_made_up_or_old_are_found(
    ended: tuple[Rows, list[dict[str, Any]]],
) -> None:
    whole = ended[1]
    expected = {incident["id"]: incident for incident in whole}
    old = {**whole[1], "alerts": 0}
    verdict = Verdict()
    taken_back = check_incidents(
        verdict, expected, [*whole[1:], {**whole[2], "id": "inc-made-up"}, old], late_writes=False
    )
    assert taken_back == set()
    assert verdict.wrong["incidents not published"] == 1
    assert verdict.wrong["incidents that the log does not imply"] == 1
    assert verdict.wrong["incidents whose last message is not how they end"] == 1


def test_a_late_write_takes_back_only_what_was_published(ended: tuple[Rows, list[dict[str, Any]]]) -> None:
    whole = ended[1]
    expected = {incident["id"]: incident for incident in whole}
    verdict = Verdict()
    old, never = {**whole[1], "alerts": 0}, {**whole[2], "alerts": 0}
    published = [*whole[:2], *whole[3:], old, never]
    assert check_incidents(verdict, expected, published, late_writes=True) == {whole[1]["id"]}
    assert verdict.wrong["incidents whose last message is not how they end"] == 1


def test_alerts_may_come_twice_but_neither_never_nor_from_nowhere() -> None:
    verdict = Verdict()
    check_alerts(verdict, ["a", "b"], [{"id": "a"}, {"id": "a"}, {"id": "c"}])
    assert verdict.counts["alerts published again"] == 1
    assert len(verdict.problems) == 2


def test_the_merge_goes_by_the_latest_timestamp_of_each_topic() -> None:
    def records(*times: int) -> list[Stood]:
        return [Stood(offset, time, None, None) for offset, time in enumerate(times)]

    order = merged({"feedback": records(10, 40), "predictions": records(10, 30, 5)})
    assert [(turn.topic[0], turn.stood.offset) for turn in order] == [
        ("p", 0),
        ("f", 0),
        ("p", 1),
        ("p", 2),
        ("f", 1),
    ]


def stood(key: str, writer: str, number: int, row: int | None = None, *, claim: int = -1) -> Stood:
    """Make a record of the state topic; *claim* is the offset of a claim, or of that of the writer."""
    body = msgspec.msgpack.encode(row)
    headers: Mapping[str, bytes] = {"w": writer.encode(), "n": b"%d" % number, "c": b"%d" % claim}
    return Stood(claim, 0, key.encode(), zlib.crc32(body).to_bytes(4) + body, headers)


def test_rows_count_with_their_commit_and_before_a_strangers_claim() -> None:
    state = [
        stood("!claim", "a", 0, claim=1),
        stood('["x"]', "a", 1, 1, claim=1),
        stood("!commit", "a", 1, claim=1),
        stood('["x"]', "a", 2, 2, claim=1),
        stood("!claim", "b", 1, claim=5),
        stood("!commit", "a", 2, claim=1),
        stood('["y"]', "b", 2, 3, claim=5),
        stood("!commit", "b", 2, claim=5),
        stood('["z"]', "b", 3, 4, claim=5),
    ]
    assert committed(state) == {("x",): 1, ("y",): 3}


def test_rows_of_a_claim_that_was_compacted_away_while_it_was_read_count() -> None:
    state = [
        stood("!claim", "a", 0, claim=1),
        stood('["x"]', "a", 1, 1, claim=1),
        stood('["y"]', "c", 8, 3, claim=50),
        stood('["y"]', "a", 2, 9, claim=1),
        stood("!commit", "c", 9, claim=50),
    ]
    assert committed(state) == {("x",): 1, ("y",): 3}


def test_a_seed_decides_the_schedule() -> None:
    counts = {Kind.KILL: 5, Kind.STOP: 3, Kind.SLOW: 2}
    first, again, other = schedule(counts, 1), schedule(counts, 1), schedule(counts, 2)
    assert first == again != other
    assert Counter(fault.kind for fault in first) == counts


def rejected(*offsets: int) -> list[dict[str, Any]]:
    """Give messages that were rejected, by where they stood."""
    return [{"source": {"topic": f"{PREFIX}predictions", "partition": 0, "offset": at}} for at in offsets]


@pytest.mark.parametrize(
    ("published", "wrong"),
    [
        (rejected(1, 2), {}),
        (rejected(1, 2, 2), {}),
        (rejected(1), {"rejected messages not published": 1}),
        (rejected(0, 1, 2), {"rejected messages that were events": 1}),
    ],
)
def test_what_has_to_be_rejected_is_and_nothing_else(
    published: list[dict[str, Any]], wrong: dict[str, int]
) -> None:
    values = [b'{"model":"credit","id":"p"}', BAD + b" 0", BAD + b" 1"]
    log = merged({"predictions": [Stood(at, at, b"credit", value) for at, value in enumerate(values)]})
    verdict = Verdict()
    check_rejected(verdict, [log], published)
    assert dict(+verdict.wrong) == wrong
    assert list(implied(log)) == ["credit"]


def test_the_first_outage_is_a_minute_long_whatever_the_seed() -> None:
    counts = {Kind.KILL: 5, Kind.OUTAGE: 3}
    for seed in range(5):
        first = next(fault for fault in schedule(counts, seed) if fault.kind is Kind.OUTAGE)
        assert first.chances[2] == 1.0
