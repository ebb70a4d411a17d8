"""One broker for the whole session, chosen with --broker; every test has topics of its own on it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from stream.shell.broker import EmbeddedBroker
from tests.integration.apache_kafka import ApacheKafka

Broker: TypeAlias = EmbeddedBroker | ApacheKafka


@pytest.fixture(scope="session")
def new_broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Broker]:
    """Make brokers of the chosen kind, not started."""

    def make() -> Broker:
        if pytestconfig.getoption("--broker") == "embedded":
            return EmbeddedBroker()
        cache = pytestconfig.cache.mkdir("apache-kafka")
        return ApacheKafka(directory=tmp_path_factory.mktemp("kafka"), cache=cache)

    return make


@pytest.fixture(scope="session")
def broker(new_broker: Callable[[], Broker]) -> Iterator[Broker]:
    """Share one running broker; don't stop it, and stay within your prefix."""
    with new_broker() as running:
        yield running


@pytest.fixture(scope="session")
def made_mortal(new_broker: Callable[[], Broker]) -> Iterator[Broker]:
    """Make the broker that is there to be stopped and killed, once: Kafka takes seconds to be made."""
    made = new_broker()
    yield made
    made.stop()


@pytest.fixture
def mortal(made_mortal: Broker) -> Broker:
    """Give a running broker to stop, kill and start; stay within your prefix."""
    made_mortal.start()
    return made_mortal


@pytest.fixture
def kafka(broker: Broker) -> Broker:
    """Share a broker that has transactions and retention, and whose topics can be altered and deleted."""
    if broker.name != "kafka":
        pytest.skip("the embedded broker has no transactions, deletes and alters nothing: make test-kafka")
    return broker


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Count the tests of the session."""
    return itertools.count(1)


@pytest.fixture
def prefix(request: pytest.FixtureRequest, numbers: Iterator[int]) -> str:
    """Give the test a topic prefix that no other test of the session has."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{test[:60]}-{next(numbers)}."
