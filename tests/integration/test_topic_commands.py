"""`driftline topics`, and workers on topics that are not as they have to be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, driftline, settings


def test_creating_the_topics_again_does_nothing(broker: Broker, prefix: str) -> None:
    environment = settings(broker, prefix, partitions=3)
    first, second = (driftline("topics", "create", environment=environment) for _ in range(2))
    assert (first.returncode, first.stdout.count("created ")) == (0, 9)
    assert (second.returncode, second.stdout) == (0, "all topics exist\nall topics are as they should be\n")


def test_topics_that_are_missing_are_named(broker: Broker, prefix: str) -> None:
    done = driftline("topics", "check", environment=settings(broker, prefix))
    assert done.returncode == 1
    assert f"topic {prefix}feedback does not exist: `driftline topics create` makes it\n" in done.stdout


@pytest.fixture
def mismatched(broker: Broker, prefix: str) -> dict[str, str]:
    """Give settings of two partitions, in a place where the feedback has three."""

    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(prefix + "feedback", 3, 1)])
        finally:
            await admin.close()

    asyncio.run(make())
    return settings(broker, prefix, partitions=2)


def test_a_check_names_the_topic_whose_partitions_are_not_like_the_others(
    mismatched: dict[str, str], prefix: str
) -> None:
    driftline("topics", "create", environment=mismatched)
    done = driftline("topics", "check", environment=mismatched)
    assert done.returncode == 1
    assert done.stdout == (
        f"topic {prefix}feedback has 3 partitions, 2 are configured: the four inputs and the state need the "
        "same number; set DRIFTLINE_PARTITIONS to it or make the topic anew\n"
    )


def test_a_worker_does_not_start_on_topics_with_other_numbers_of_partitions(
    mismatched: dict[str, str], prefix: str, tmp_path: Path
) -> None:
    with RunningWorker(mismatched, tmp_path / "log") as worker:
        status, log = worker.ended(), worker.log
    assert status == 1
    assert log.splitlines()[-1].startswith(f"driftline: topic {prefix}feedback has 3 partitions, 2 are"), log
