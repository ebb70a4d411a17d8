"""The ACLs on the page are those that the worker asks for, and that the tests on Apache Kafka grant."""

from __future__ import annotations

import re

import pytest

from stream.config import Settings
from stream.shell.access import Grant, of_creator, of_publisher, of_worker
from stream.wiring import build_topics
from tests.repo.generated import DOCS

PAGE = (DOCS / "security.md").read_text()
SETTINGS = Settings()
TOPICS = build_topics(SETTINGS)
NEEDED = {
    "worker": of_worker(TOPICS, SETTINGS.group),
    "publisher": of_publisher(TOPICS),
    "who makes the topics": of_creator(TOPICS),
}


def row(who: str, grant: Grant) -> str:
    name = f"`{grant.name}*` (prefixed)" if grant.is_prefix else f"`{grant.name}`"
    operations = ", ".join(one.name.capitalize() for one in grant.operations)
    return f"| {who} | {grant.kind} | {name} | {operations} |"


def test_the_acls_on_the_page_are_those_that_are_needed() -> None:
    rows = re.findall(r"^\| .* \| (?:topic|group|transactional id) \| .*$", PAGE, re.MULTILINE)
    assert rows == [row(who, grant) for who, grants in NEEDED.items() for grant in grants]


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"DRIFTLINE_[A-Z_]+", PAGE))))
def test_every_variable_on_the_page_is_a_setting(variable: str) -> None:
    assert variable.removeprefix("DRIFTLINE_").lower() in Settings.__struct_fields__
