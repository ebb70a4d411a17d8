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
    """Make brokers of the chosen kind, not started: for tests that stop or kill them."""

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
def numbers() -> Iterator[int]:
    """Count the tests of the session."""
    return itertools.count(1)


@pytest.fixture
def prefix(request: pytest.FixtureRequest, numbers: Iterator[int]) -> str:
    """Give the test a topic prefix that no other test of the session has."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{test[:60]}-{next(numbers)}."
