"""The topics: their names and settings, and where a model's events belong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.nouns import Topic
from stream.shell.topics import LARGE_RECORD_BYTES, Topics, TopicSpec

TOPICS = Topics(prefix="p.", partitions=16)


def spec(name: str, topics: Topics = TOPICS) -> TopicSpec:
    """Give how the topic *name* is made."""
    (found,) = (one for one in topics.specs() if one.name == name)
    return found


# Java: Utils.toPositive(Utils.murmur2(key)) of Apache Kafka's own UtilsTest.testMurmur2.
@pytest.mark.parametrize(
    ("model", "hashed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_a_model_has_the_partition_that_javas_clients_give_it(model: str, hashed: int) -> None:
    topics = Topics(prefix="p.", partitions=1_000)
    assert topics.partition_of(model) == (hashed & 0x7FFFFFFF) % 1_000


@given(st.text(), st.integers(1, 1_000))
def test_every_model_has_a_partition(model: str, partitions: int) -> None:
    assert 0 <= Topics(prefix="p.", partitions=partitions).partition_of(model) < partitions


def test_the_inputs_are_known_by_their_full_names() -> None:
    assert TOPICS.inputs() == {
        "p.predictions": Topic.PREDICTIONS,
        "p.feedback": Topic.FEEDBACK,
        "p.lifecycle": Topic.LIFECYCLE,
        "p.commands": Topic.COMMANDS,
    }


def test_there_are_the_topics_of_the_contract() -> None:
    assert {one.name for one in TOPICS.specs()} == {
        *("predictions", "feedback", "lifecycle", "commands"),
        *("policies", "alerts", "incidents", "rejected", "state"),
    }


@pytest.mark.parametrize("name", ["incidents", "policies", "state"])
def test_what_is_read_as_it_now_is_is_compacted(name: str) -> None:
    assert spec(name).config["cleanup.policy"] == "compact"


@pytest.mark.parametrize("name", ["predictions", "feedback", "lifecycle", "commands", "alerts", "rejected"])
def test_what_has_happened_is_deleted_when_it_is_old(name: str) -> None:
    config = spec(name, Topics(prefix="p.", partitions=1, retention_seconds=60.0)).config
    assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", "60000")


def test_a_retention_below_zero_keeps_for_good() -> None:
    assert (
        spec("alerts", Topics(prefix="p.", partitions=1, retention_seconds=-1)).config["retention.ms"] == "-1"
    )


@pytest.mark.parametrize("name", ["predictions", "feedback", "lifecycle", "commands", "state"])
def test_the_inputs_and_the_state_have_the_same_number_of_partitions(name: str) -> None:
    assert spec(name).partitions == 16


@pytest.mark.parametrize("name", ["predictions", "feedback", "state", "rejected"])
def test_large_records_get_into_the_topics_that_carry_them(name: str) -> None:
    assert spec(name).config["max.message.bytes"] == str(LARGE_RECORD_BYTES)


def test_the_state_keeps_every_version_of_a_row_for_a_day() -> None:
    assert spec("state").config["min.compaction.lag.ms"] == "86400000"


@pytest.mark.parametrize("name", ["predictions", "feedback", "lifecycle", "commands"])
def test_no_timestamp_far_ahead_gets_into_the_topics_that_timestamps_order(name: str) -> None:
    assert spec(name).config["message.timestamp.after.max.ms"] == "3600000"
