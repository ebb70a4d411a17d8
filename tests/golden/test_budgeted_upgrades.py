"""Series of the budgeted bank go on from the snapshots that earlier versions left."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import msgspec
import pytest

from stream.core.nouns import Finding, Stage
from stream.detectors.budgeted import Budgeted
from stream.detectors.quiet import QuietBank
from stream.detectors.quiet.records import FORMAT
from tests.golden import budgeted
from tests.golden.make import DIRECTORY


def kept(form: int) -> list[bytes]:
    """Give the snapshots that a version of that format left."""
    path = DIRECTORY / f"budgeted-format-{form}.msgpack.gz"
    return msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=list[bytes])


def briefly(said: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Leave out the figures: of an older row more has settled than of one that was written now."""
    return [
        (number, name, finding.index, finding.is_worse)
        for number, name, finding in said
        if isinstance(finding, Finding)
    ]


@pytest.mark.parametrize("form", range(1, FORMAT + 1))
def test_they_go_on_as_they_would_have(form: int) -> None:
    unbroken, slots = budgeted.bank()
    assert budgeted.show(unbroken, slots, 0, budgeted.HALF), "the golden series must change before half"
    restored = Budgeted(QuietBank())
    own = [
        restored.restore(row, only_rise=budgeted.only_rise(number)) for number, row in enumerate(kept(form))
    ]
    expected = budgeted.show(unbroken, slots, budgeted.HALF, budgeted.READINGS)
    assert {number for number, *_ in expected} >= {1, 2, 3}, "the golden series must change after half"
    said = budgeted.show(restored, own, budgeted.HALF, budgeted.READINGS)
    assert briefly(said) == briefly(expected)
    assert form < FORMAT or said == expected


def test_a_change_of_which_a_former_row_does_not_tell_the_beginning_is_learned_anew() -> None:
    restored = Budgeted(QuietBank())
    slot = restored.restore(kept(1)[budgeted.ERROR], only_rise=True)
    assert restored.explain(slot).stage is Stage.CHANGED
    assert restored.accept(slot)
    assert restored.explain(slot).stage is Stage.LEARNING
    assert restored.baseline(slot) is None


def test_a_change_of_a_present_row_is_accepted() -> None:
    restored = Budgeted(QuietBank())
    slot = restored.restore(kept(FORMAT)[budgeted.ERROR], only_rise=True)
    assert restored.accept(slot)
    after = restored.baseline(slot)
    assert after is not None
    assert 900 < after.readings < 1_100, "what came since reading 7,000 of 8,000"
