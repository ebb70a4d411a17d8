"""A short storm, and a message that comes too late, on Apache Kafka; `make chaos` is the long one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from stream.shell.fencing import WAITING_RECORDS
from tests.chaos.checker import check
from tests.chaos.faults import Kind
from tests.chaos.load import BAD
from tests.chaos.proxy import Proxy
from tests.chaos.storm import LISTENER, SESSION_S, SPOILED, Storm, make_kafka, pass_over
from tests.integration import logs, reading
from tests.integration.apache_kafka import ApacheKafka
from tests.integration.replaying import replay
from tests.integration.running import RunningWorker, make_topics, publish, settings, wait_until
from tests.integration.test_bad_messages import send

MANY = 20
"""How many times what a producer's buffer holds is sent."""

SHORT = {Kind.KILL: 2, Kind.STOP: 1, Kind.BROKER_RESTART: 1, Kind.BLOCKED: 1}


class Place(NamedTuple):
    """A Kafka that runs, behind a proxy that lets everything pass."""

    kafka: ApacheKafka
    proxy: Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Place]:
    """Start Kafka behind a proxy."""
    if pytestconfig.getoption("--broker") != "kafka":
        pytest.skip("a storm takes a broker that remembers: make test-kafka, make chaos")
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("apache-kafka")
    kafka, proxy = make_kafka(tmp_path_factory.mktemp("storm"), cache)
    with ExitStack() as stack:
        stack.enter_context(proxy)
        stack.callback(kafka.kill)
        kafka.start()
        yield Place(kafka, proxy)


@pytest.mark.timeout(240)  # seconds: Kafka is started, killed and started
def test_nothing_is_lost_and_nothing_counts_twice_whatever_dies_when(place: Place, tmp_path: Path) -> None:
    storm = Storm(events=20_000, faults=SHORT, seed=5, partitions=3, models=6)
    passed = pass_over(storm, *place, tmp_path, lambda _text: None)
    verdict = check(place.kafka.bootstrap, passed, tmp_path)
    assert verdict.problems == []
    assert passed.faults == SHORT
    assert verdict.counts["outcomes"] > 8_000
    assert verdict.counts["incidents compared"] > 10
    assert verdict.counts["rejected messages compared"] == SPOILED


def test_a_worker_whose_buffer_is_full_waits_and_then_publishes_everything(
    place: Place, tmp_path: Path
) -> None:
    kafka, proxy = place
    environment = settings(
        kafka,
        "full.",
        brokers=kafka.address(LISTENER),
        checkpoint_seconds=3_600,  # one that waits for the broker would let nothing more be processed
        max_poll_records=500,
    )
    make_topics(environment)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        proxy.hold_writes()
        bad = {"topic": "full.predictions", "value": BAD, "key": b"credit"}
        for _ in range(MANY):
            send(kafka, [bad] * WAITING_RECORDS)
        worker.wait_for(lambda it: it.metric("rejected_total") > WAITING_RECORDS)
        time.sleep(2)  # a step that is at work counts at once what it goes on to publish
        taken = worker.metric("rejected_total")
        time.sleep(1)  # during which it would have taken all of them
        try:
            assert worker.metric("rejected_total") == taken < MANY * WAITING_RECORDS
        finally:
            proxy.pass_all()
        worker.wait_for(lambda it: it.metric("rejected_total") == MANY * WAITING_RECORDS)
        assert worker.terminate() == 0
    sources = [one["source"]["offset"] for one in reading.messages(kafka, "full.rejected")]
    assert sources == list(range(MANY * WAITING_RECORDS))


def test_what_a_lost_worker_had_on_its_way_does_not_take_an_incident_back(
    place: Place, tmp_path: Path
) -> None:
    """A message of a worker that stalls reaches the broker when the new owner has published a newer one."""
    kafka, proxy = place
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[default.detectors]\nuse = ["adwin", "page_hinkley"]\n[default.alerting]\nrecover_seconds = 3600\n'
    )
    environment = settings(
        kafka,
        "late.",
        brokers=kafka.address(LISTENER),
        policy_file=policy,
        checkpoint_seconds=3_600,  # one that waits for the broker would let nothing more be processed
        session_timeout_seconds=SESSION_S,
        rebalance_timeout_seconds=SESSION_S,
    )
    events = list(logs.shifted(["credit"], 3_000))
    file = logs.write(tmp_path / "events.jsonl", events)
    ends = (0, 100, len(events) * 55 // 100, len(events))  # the second one is shortly after the shift
    first, shifted, rest = (
        logs.write(tmp_path / f"part-{begin}.jsonl", events[begin:end]) for begin, end in pairwise(ends)
    )
    with (
        RunningWorker(environment, tmp_path / "log-1") as one,
        RunningWorker(environment, tmp_path / "log-2") as other,
    ):
        both = (one.ready(), other.ready())
        publish(first, environment)
        wait_until(lambda: any(it.metric("events_total") for it in both), lambda: one.log + other.log)
        stalled, owner = both if one.metric("events_total") else (other, one)
        proxy.hold_writes(stalled.pid)
        publish(shifted, environment)
        wait_until(lambda: stalled.metric("incidents_total") > 0, lambda: stalled.log)
        stalled.freeze()
        publish(rest, environment)
        owner.wait_for(lambda it: it.metric("partitions") == 1 and it.has_caught_up)
        proxy.pass_all()
        stalled.thaw()
        assert [worker.terminate() for worker in both] == [0, 0]
    found, expected = reading.incidents(kafka, "late."), replay(file, environment).incidents
    assert found == expected
    assert "partition 0 is lost, nothing more is written: another worker writes as" in stalled.log
