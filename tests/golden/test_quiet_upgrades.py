"""A series under quiet goes on from the snapshots that earlier versions left."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from stream.detectors.quiet import QuietBank
from stream.detectors.quiet.records import FORMAT
from tests.golden.make import DIRECTORY
from tests.golden.quiet import CASES, readings, show, snapshots


def kept(form: int) -> dict[str, bytes]:
    """Give the snapshots that a version of that format left."""
    path = DIRECTORY / f"quiet-format-{form}.msgpack.gz"
    return msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=dict[str, bytes])


def follow(name: str, snapshot: bytes) -> tuple[list[int], bool]:
    """Show the rest of a case; give what was found in it, and whether that lasts."""
    case = CASES[name]
    bank = QuietBank()
    slot = bank.restore(snapshot, only_rise=case.only_rise)
    begun = sum(size for size, _ in case.before)
    return show(bank, slot, readings(case.spec, case.after, begun), begun), bank.is_open(slot)


@pytest.mark.parametrize("form", range(1, FORMAT + 1))
def test_what_follows_is_what_would_have_followed(form: int) -> None:
    """A steady past says the same whether what came lately is part of it or not: all formats agree."""
    own = snapshots()
    for name, snapshot in kept(form).items():
        assert follow(name, snapshot) == follow(name, own[name]), name
    assert [bool(follow(name, one)[0]) for name, one in own.items()] == [True, False, True, True]


def test_the_present_format_has_its_golden_snapshots() -> None:
    assert kept(FORMAT).keys() == CASES.keys()
