"""A worker of this version goes on from the states that earlier ones left."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from schemas.alerts import Evidence
from stream.core.nouns import Record, Stage
from stream.core.pipeline import Pipeline
from stream.detectors.budgeted import Budgeted
from stream.detectors.quiet import QuietBank
from stream.shell.state import FORMAT
from tests.golden import quiet
from tests.golden.log import LOGS, Golden
from tests.golden.make import BATCH, DIRECTORY, pipeline


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
    assert _outcome(restored, log[golden.half :]) == expected


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("quiet-format-*.msgpack.gz")), ids=lambda p: p.name)
def test_series_of_quiet_go_on_as_they_would_have(path: Path) -> None:
    rows = msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=list[bytes])
    unbroken, slots = quiet.bank()
    assert quiet.show(unbroken, slots, 0, quiet.HALF), "the golden series must change before half"
    restored = Budgeted(QuietBank())
    own = [restored.restore(row, only_rise=quiet.only_rise(number)) for number, row in enumerate(rows)]
    expected = quiet.show(unbroken, slots, quiet.HALF, quiet.READINGS)
    assert expected, "the golden series must change after half"
    assert quiet.show(restored, own, quiet.HALF, quiet.READINGS) == expected


def test_a_change_of_which_a_former_row_does_not_tell_the_beginning_is_learned_anew() -> None:
    rows = msgspec.msgpack.decode(
        gzip.decompress((DIRECTORY / "quiet-format-1.msgpack.gz").read_bytes()), type=list[bytes]
    )
    restored = Budgeted(QuietBank())
    slot = restored.restore(rows[quiet.ERROR], only_rise=True)
    assert restored.explain(slot).stage is Stage.CHANGED
    assert restored.accept(slot)
    assert restored.explain(slot).stage is Stage.LEARNING
    assert restored.baseline(slot) is None


@pytest.mark.parametrize("name", LOGS)
def test_the_present_format_has_its_golden_states(name: str) -> None:
    assert (DIRECTORY / f"state-format-{FORMAT}{name}.msgpack.gz").exists()
