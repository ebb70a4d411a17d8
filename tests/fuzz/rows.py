"""Damaged state: any row cut, altered, made of other values, or put in another's place."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from tests.flow.timeline import Output, a_pipeline
from tests.fuzz.holding import elements_of, fates_of
from tests.properties.logs import NOW, POLICY, Making, a_log, kept

Rows = dict[bytes, bytes]

PIPELINE: Final = msgspec.json.encode(("pipeline",))
VALUES: Final[tuple[object, ...]] = (
    *(0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -1.0, 1e308, float("nan"), float("inf")),
    *(float("-inf"), None, True, "", "x", b"", b"x", [], {}, [None], {"a": 1}, -1e300, 1e18),
)
STATES: Final = 4

row_damages = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2**32)), min_size=1, max_size=4)


def check_rows(which: int, damages: Sequence[tuple[int, int]]) -> None:
    """Check that a worker goes on from state *which*, damaged: row by row, each with a seed of its own."""
    rows, rest, wanted = a_state(which)
    damaged, touched = damage(rows, damages)
    pipeline = _pipeline(which)
    unreadable = pipeline.restore(damaged)
    assert len(unreadable) <= len(damaged)
    output = Output()
    for start in range(0, len(rest), 60):
        output.take(pipeline.step(rest[start : start + 60], NOW))
    pipeline.gauges()
    assert sum(fates_of(output).values()) == elements_of(rest)
    if PIPELINE not in touched:
        models = {msgspec.json.decode(key)[1] for key in rows if key != PIPELINE}
        for model in models - {_model_of(key) for key in touched}:
            assert _of(output, model) == _of(wanted, model)
    again = _pipeline(which)
    rows_after = kept(pipeline, dict(damaged))
    assert again.restore(rows_after) == []


def damage(rows: Rows, damages: Sequence[tuple[int, int]]) -> tuple[Rows, set[bytes]]:
    """Give *rows* with the damages done, and the keys of those that are concerned."""
    damaged, touched = dict(rows), set[bytes]()
    kinds: dict[str, list[bytes]] = {}
    for key in sorted(rows):
        kinds.setdefault(msgspec.json.decode(key)[0], []).append(key)
    for place, seed in damages:
        rng = random.Random(seed)
        of_kind = list(kinds.values())[place % len(kinds)]
        key = of_kind[place // len(kinds) % len(of_kind)]
        if key not in damaged:
            continue
        touched.add(key)
        match rng.randrange(9):
            case 0:
                damaged[key] = damaged[key][: rng.randrange(len(damaged[key]) + 1)]
            case 1:
                damaged[key] = _flipped(rng, damaged[key])
            case 2:
                damaged[key] = damaged[rng.choice(sorted(damaged))]
            case 3:
                damaged[key] = rng.randbytes(rng.randrange(40))
            case 4:
                del damaged[key]
            case 5:
                other = _other_key(rng, key)
                touched.add(other)
                damaged[other] = damaged.pop(key)
            case _:
                damaged[key] = _with_other_values(rng, damaged[key])
    return damaged, touched


@cache
def a_state(which: int) -> tuple[Rows, list[Record], Output]:
    """Give the rows of most of a log, the rest of it, and what comes out of the rest."""
    records = a_log(Making(seed=which, events=300, trouble=0.1, versions=2, alarms=which % 2 == 1))
    half = len(records) * 2 // 3
    pipeline, rows = _pipeline(which), Rows()
    for start in range(0, half, 100):
        pipeline.step(records[start : min(half, start + 100)], NOW)
        rows = kept(pipeline, rows)
    restored, output = _pipeline(which), Output()
    assert restored.restore(rows) == []
    for start in range(half, len(records), 60):
        output.take(restored.step(records[start : start + 60], NOW))
    return rows, records[half:], output


def _pipeline(which: int) -> Pipeline:
    making = Making(seed=which, events=0, trouble=0.0, versions=0, alarms=which % 2 == 1)
    return a_pipeline(POLICY, making.factory(), max_models=10)


def _of(output: Output, model: str) -> object:
    return (
        [alert for alert in output.alerts if alert.model == model],
        [incident for incident in output.incidents if incident.model == model],
    )


def _model_of(raw_key: bytes) -> str | None:
    try:
        key = msgspec.json.decode(raw_key, type=tuple[str, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return key[1] if len(key) > 1 else None


def _flipped(rng: random.Random, row: bytes) -> bytes:
    changed = bytearray(row)
    for _ in range(min(len(row), rng.choice((1, 1, 3)))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _other_key(rng: random.Random, raw_key: bytes) -> bytes:
    key = list(msgspec.json.decode(raw_key, type=tuple[str, ...]))
    if rng.random() < 0.3:
        return _flipped(rng, raw_key)
    place = rng.randrange(len(key) + 1)
    key[place : place + rng.randrange(2)] = [rng.choice(("", "0", "-1", "9" * 30, "risk", "1", "\u0663"))]
    return msgspec.json.encode(key)


def _with_other_values(rng: random.Random, row: bytes) -> bytes:
    """Put another value in one place of what *row* says."""
    try:
        value = msgspec.msgpack.decode(row, strict=False)
    except (msgspec.DecodeError, ValueError):
        return _flipped(rng, row)
    holders = [[value], *_holders(value)]
    holder: Any = rng.choice(holders)
    if holder:
        place = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[place] = _other_value(rng, holder[place])
    return msgspec.msgpack.encode(holders[0][0])


def _other_value(rng: random.Random, value: object) -> object:
    if isinstance(value, bytes) and rng.random() < 0.7:
        return _with_other_values(rng, value) if rng.random() < 0.7 else _flipped(rng, value)
    return rng.choice(VALUES)


def _holders(value: object) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(holder for inner in value.values() for holder in _holders(inner))]
    if isinstance(value, list):
        return [value, *(holder for inner in value for holder in _holders(inner))]
    return []
