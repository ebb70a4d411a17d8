"""A worker of this version goes on from the states that earlier ones left."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import pytest

from schemas.alerts import Evidence
from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from stream.shell.state import FORMAT
from tests.golden.log import LOGS, Golden
from tests.golden.make import BATCH, DIRECTORY, pipeline

SETTLED: Final = {"state-format-1-quiet.msgpack.gz"}
"""With rows of quiet's format 1, of which all has settled; a little less has of series that went on."""


def _outcome(own: Pipeline, log: Iterable[Record]) -> list[tuple[object, ...]]:
    """Give the alerts and incidents that follow from *log*."""
    said: list[tuple[object, ...]] = []
    rest = iter(log)
    while batch := list(islice(rest, BATCH)):
        result = own.step(batch, float("inf"))
        said += [
            ("alert", alert.id, alert.signal, _to_nine_digits(alert.evidence)) for alert in result.alerts
        ]
        said += [("incident", i.id, i.state, i.findings, i.alerts, i.resolved_at) for i in result.incidents]
    return said


def _to_nine_digits(evidence: Evidence | None) -> dict[str, object]:
    """Leave out the last bits, which may be others on the machine that wrote the golden state."""
    fields = {} if evidence is None else msgspec.structs.asdict(evidence)
    return {name: float(f"{own:.9g}") if isinstance(own, float) else own for name, own in fields.items()}


def _without_figures(outcome: Iterable[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Leave out what an alert is evidenced by."""
    return [(*one[:-1], "evidence") if one[0] == "alert" else one for one in outcome]


def _log_of(path: Path) -> Golden:
    return LOGS[path.name.removesuffix(".msgpack.gz").removeprefix("state-format-").lstrip("0123456789")]


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("state-format-*.msgpack.gz")), ids=lambda p: p.name)
def test_what_follows_is_what_would_have_followed(path: Path) -> None:
    rows = msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=dict[bytes, bytes])
    golden = _log_of(path)
    log = list(golden.records())
    unbroken = pipeline(golden)
    assert _outcome(unbroken, log[: golden.half]), "the golden log must open incidents before half"
    restored = pipeline(golden)
    assert restored.restore(rows) == []
    assert restored.positions == unbroken.positions
    expected = _outcome(unbroken, log[golden.half :])
    assert expected, "the golden log must go on with incidents after half"
    said = _outcome(restored, log[golden.half :])
    if path.name in SETTLED:
        said, expected = _without_figures(said), _without_figures(expected)
    assert said == expected


@pytest.mark.parametrize("name", LOGS)
def test_the_present_format_has_its_golden_states(name: str) -> None:
    assert (DIRECTORY / f"state-format-{FORMAT}{name}.msgpack.gz").exists()
