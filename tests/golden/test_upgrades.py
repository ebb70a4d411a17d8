"""A worker of this version goes on from the states that earlier ones left."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from stream.shell.state import FORMAT
from tests.golden.log import HALF, records
from tests.golden.make import BATCH, DIRECTORY, pipeline


def _outcome(own: Pipeline, log: Iterable[Record]) -> list[tuple[object, ...]]:
    """Give the alerts and incidents that follow from *log*."""
    said: list[tuple[object, ...]] = []
    rest = iter(log)
    while batch := list(islice(rest, BATCH)):
        result = own.step(batch, float("inf"))
        said += [("alert", alert.id, alert.signal, alert.evidence) for alert in result.alerts]
        said += [("incident", i.id, i.state, i.findings, i.alerts, i.resolved_at) for i in result.incidents]
    return said


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("state-format-*.msgpack.gz")), ids=lambda p: p.name)
def test_what_follows_is_what_would_have_followed(path: Path) -> None:
    rows = msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=dict[bytes, bytes])
    log = list(records())
    unbroken = pipeline()
    assert _outcome(unbroken, log[:HALF]), "the golden log must open incidents before half"
    restored = pipeline()
    assert restored.restore(rows) == []
    assert restored.positions == unbroken.positions
    expected = _outcome(unbroken, log[HALF:])
    assert expected, "the golden log must go on with incidents after half"
    assert _outcome(restored, log[HALF:]) == expected


def test_the_present_format_has_its_golden_state() -> None:
    assert (DIRECTORY / f"state-format-{FORMAT}.msgpack.gz").exists()
