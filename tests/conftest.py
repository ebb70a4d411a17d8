"""What every test may ask for."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line choose the broker of the integration tests."""
    parser.addoption(
        "--broker",
        choices=("embedded", "kafka"),
        default="embedded",
        help="what the integration tests run on: Tansu, or Apache Kafka (needs Java and Maven)",
    )
