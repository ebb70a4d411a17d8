"""What the pages for users say is what the code does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from schemas.alerts import Rejected, Source
from schemas.codec import decode
from stream.cli import _build_parser
from stream.config import DESCRIPTIONS, VARIABLES, Settings, load_policies
from stream.core.nouns import Topic
from stream.shell.metrics import NAMES
from stream.shell.topics import Topics
from tests.repo.generated import DOCS, PAGES

ROOT = DOCS.parent
README = (ROOT / "README.md").read_text()
DESIGN = (DOCS / "design.md").read_text()
TOPICS = Topics(prefix="driftline.", partitions=16)


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_up_to_date(page: str) -> None:
    """`python -m tests.repo.generated` makes them anew."""
    assert (DOCS / page).read_text() == PAGES[page]()


def test_every_topic_that_the_readme_names_exists_and_none_is_left_out() -> None:
    named = set(re.findall(r"`(driftline\.[a-z]+)`", README)) - {"driftline.toml"}
    assert named == {TOPICS.full(spec.name) for spec in TOPICS.specs()}


def test_every_variable_that_the_readme_names_is_a_setting() -> None:
    named = set(re.findall(r"DRIFTLINE_[A-Z_]+", README)) - {"DRIFTLINE_NAME"}
    assert named
    assert named <= VARIABLES.keys()


def test_the_readme_gives_the_defaults_in_force() -> None:
    defaults = Settings()
    rows = [row.split("|") for row in README.splitlines() if row.startswith("| `DRIFTLINE_")]
    assert rows
    for row in rows:
        names = re.findall(r"DRIFTLINE_([A-Z_]+)", row[1])
        given = re.findall(r"`([^`]*)`", row[2])
        real = [str(getattr(defaults, name.lower())).removesuffix(".0") for name in names]
        assert given == [value for value in real if value], row[1]


def test_every_setting_is_described() -> None:
    assert set(DESCRIPTIONS) == {field.name for field in msgspec.structs.fields(Settings)}


def test_every_metric_that_a_page_names_exists() -> None:
    named = set(re.findall(r"\bdriftline_[a-z_]+", README + DESIGN))
    assert named
    assert named <= NAMES.keys()


def test_every_command_of_the_readme_is_understood() -> None:
    commands = [
        line.split("#")[0].split("driftline ", 1)[1].split()
        for line in re.findall(r"^(?:DRIFTLINE_\S+ )?driftline .*$", README, re.MULTILINE)
    ]
    assert len(commands) >= 5
    for command in commands:
        _build_parser().parse_args(command)


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        target for named in re.findall(r"make ([a-z-]+(?: test)?)", README) for target in named.split()
    }
    assert {"demo", "test", "lint", "test-kafka"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_events_of_the_readme_are_events() -> None:
    block = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        event = decode(line.encode(), Source(topic="readme", partition=0, offset=0))
        assert not isinstance(event, Rejected), json.dumps(line)


def test_the_policy_of_the_readme_is_a_policy(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    tomllib.loads(block[1])
    file = tmp_path / "policy.toml"
    file.write_text(block[1])
    book = load_policies(file)
    assert book.of("credit-risk").detectors.false_alarms == 0.1
    assert book.of("chatbot").detectors.warm_up == 5000


def test_every_input_topic_has_a_rank_of_its_own() -> None:
    assert [topic.suffix for topic in Topic] == ["lifecycle", "predictions", "feedback", "commands"]


def test_every_file_that_a_page_links_to_exists() -> None:
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
