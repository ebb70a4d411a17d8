"""One guarded Kafka for all tests in here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.kafka.guarded import Guarded


@pytest.fixture(scope="session")
def guarded(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Share a running Kafka with TLS, SASL and ACLs."""
    if pytestconfig.getoption("--broker") != "kafka":
        pytest.skip("the embedded broker has no TLS, no SASL and no ACLs: make test-kafka")
    made = Guarded(tmp_path_factory.mktemp("guarded"), pytestconfig.cache.mkdir("apache-kafka"))
    with made.kafka:
        yield made
