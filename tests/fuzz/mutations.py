"""Messages as nobody should send them: real ones, altered in their fields, their shape and their bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from schemas.codec import Headers
from stream.core.nouns import Record, Topic
from tests.flow.timeline import DAY, moment
from tests.flow.timeline import at as at_second

MODELS: Final = (*("risk",) * 9, "churn", "elsewhere", "prices", "risk\u0000", "\u00fc" * 256, "x" * 256, "")
VERSIONS: Final = (None, "1", "1", "2", "3", "")
NUMBERS: Final = (
    *(0, -0.0, 1, -1, 0.5, 1e308, -1e308, 5e-324, 2**53, 2**63 - 1, -(2**63)),
    *(2**63, -(2**63) - 1, 2**64, 10**30, 1.5e300),
)
TIMES: Final = (
    *("2026-01-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2000-01-01T00:00:00Z"),
    *("1999-12-31T23:59:59.999999Z", "2100-01-01T00:00:00Z", "2099-12-31T23:59:59.9999999Z"),
    *("2026-01-01T00:00:00", "2026-01-01", "2026-01-01 00:00:01Z", "2026-01-01t00:00:02z"),
    *("2026-01-01T00:00:03+25:00", "2026-01-01T00:00:04.123456789123Z", "now", "", "1767225600"),
)
TEXTS: Final = ("", " ", "a", "\u0000", "\ud7ff", "\U0010ffff", "\u202e", "NaN", "null", "{}", "y" * 257)
LITERALS: Final = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1" * 400, b"1" * 5_000, b"01", b"+1"),
    *(b"0x10", b"True", b"None", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b"'a'", b"/**/1", b"[[[["),
    *(b"[" * 2_000 + b"]" * 2_000, b'{"a":' * 1_500 + b"1" + b"}" * 1_500),
)
HEADERS: Final = (
    *(("ce_id", b"other"), ("ce_type", b"io.example.prediction.v1"), ("ce_type", b"feedback")),
    *(("ce_type", b"nonsense"), ("ce_time", b"2026-01-01T00:00:09Z"), ("ce_time", b"never")),
    *(("CE_ID", b""), ("ce_id", b"\xff\xfe"), ("ce_id", None), ("ce_specversion", b"1.0"), ("", b"")),
    *(("driftline-forwarded", b"1"), ("driftline-forwarded", None), ("ce_id", b'"},{"')),
)
ODD_BYTES: Final = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xef\xbb\xbf", b",", b"]"),
)
HOLE: Final = "@@hole@@"

Fields = dict[str, Any]


def mutated_records(seed: int, number: int, *, honest: float = 0.4) -> list[Record]:
    """Give the log of *number* records that *seed* makes; a share of them, *honest*, nobody touched."""
    rng = random.Random(seed)
    offsets = dict.fromkeys(Topic, 0)
    records: list[Record] = []
    written: list[tuple[Topic, bytes | None, Headers]] = []
    for place in range(number):
        if written and rng.random() < 0.05:
            topic, value, headers = rng.choice(written[-20:])
        else:
            topic, value, headers = _record(rng, place, honest)
        written.append((topic, value, headers))
        records.append(Record(topic, 0, offsets[topic], at_second(float(place)), value, None, headers))
        offsets[topic] += 1
    return records


def an_event(rng: random.Random, place: int) -> tuple[Topic, Fields]:
    """Give an event as a producer would send it; *place* makes its id and its time."""
    time = moment(at_second(place - rng.choice((0, 0, 0, 50, 700)))).isoformat()
    fields: Fields = {"id": f"e{place}", "model": rng.choice(MODELS[:12]), "time": time}
    kind = rng.choices(list(Topic), (1, 12, 8, 1))[0]
    if kind is Topic.PREDICTIONS:
        fields |= {
            "type": "prediction",
            "output": rng.choice((0, 1, True, 0.25, "yes", "no", f"class{rng.randrange(40)}")),
            "version": rng.choice(VERSIONS[1:5]),
            "score": rng.choice((None, rng.random())),
            "features": {rng.choice(("age", "zip", "x", f"f{rng.randrange(9)}")): _scalar(rng)},
            "usage": {"latency_ms": rng.random(), "cost": 0.1, "input_tokens": rng.randrange(99)},
            "safety": {"refused": False, "harms": {"hate": rng.random()}},
        }
    elif kind is Topic.FEEDBACK:
        of = f"e{max(0, place - rng.randrange(12) + 2)}"
        said = rng.choice(("label", "label", "thumbs", "rating", "override", "complaint"))
        fields |= {"type": "feedback", "prediction_id": of, "kind": said}
        fields |= {"label": _scalar(rng)} if said in {"label", "override"} else {"value": rng.randrange(5)}
    elif kind is Topic.LIFECYCLE:
        fields |= {"type": "lifecycle", "kind": "deployed", "actor": "ci"}
    else:
        fields |= {"type": "command", "incident_id": "inc-1", "action": "acknowledge"}
        fields |= {"actor_id": "ann", "actor_role": "lead", "evidence": [{"kind": "log_pack"}]}
    return kind, fields


def _record(rng: random.Random, place: int, honest: float) -> tuple[Topic, bytes | None, Headers]:
    topic, fields = an_event(rng, place)
    if rng.random() < honest:
        return topic, orjson.dumps(fields), ()
    headers: Headers = ()
    if rng.random() < 0.15:
        headers = tuple(rng.choices(HEADERS, k=rng.randrange(1, 4)))
    if rng.random() < 0.08:
        topic = rng.choice(list(Topic))
    if rng.random() < 0.2:
        elements = [_element(rng, place, number, topic) for number in range(rng.randrange(6))]
        raw = b"[" + rng.choice((b",", b" , ", b"\n,", b",,")).join(elements) + b"]"
    else:
        raw = _mutated(rng, fields)
    if rng.random() < 0.15:
        raw = rng.choice(BYTE_MUTATIONS)(rng, raw)
    return topic, (None if rng.random() < 0.01 else raw), headers


def _element(rng: random.Random, place: int, number: int, wanted: Topic) -> bytes:
    topic, fields = an_event(rng, place)
    while topic is not wanted and rng.random() < 0.9:
        topic, fields = an_event(rng, place)
    fields["id"] += f"-{number}"
    return orjson.dumps(fields) if rng.random() < 0.6 else _mutated(rng, fields)


def _mutated(rng: random.Random, fields: Fields) -> bytes:
    for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
        rng.choice(FIELD_MUTATIONS)(rng, fields)
    raw = orjson.dumps(fields)
    hole = orjson.dumps(HOLE)
    while hole in raw:
        raw = raw.replace(hole, rng.choice(LITERALS), 1)
    if rng.random() < 0.08:
        raw = _with_duplicate_keys(rng, raw)
    return raw


def _scalar(rng: random.Random) -> object:
    return rng.choice((None, True, 0, 1, rng.gauss(0, 1), "DE", "FR", f"c{rng.randrange(30)}"))


def _tables(fields: Fields) -> Iterator[Fields]:
    """Give the object and every object in it."""
    yield fields
    for value in fields.values():
        if isinstance(value, dict):
            yield from _tables(value)


def _place(rng: random.Random, fields: Fields) -> tuple[Fields, str]:
    table = rng.choice([table for table in _tables(fields) if table] or [{"id": ""}])
    return table, rng.choice(list(table))


def _drop(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    table.pop(name)


def _swap_type(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    table[name] = rng.choice((None, True, 0, 1.5, "text", [], {}, [1], {"a": 1}, [[]], [table.get("id")]))


def _put_number(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    number = rng.choice(NUMBERS)
    table[name] = number if -(2**63) <= number < 2**64 else float(number)


def _put_literal(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    table[name] = HOLE


def _put_text(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    table[name] = rng.choice(TEXTS)


def _put_time(rng: random.Random, fields: Fields) -> None:
    times = (*TIMES, *(moment(at_second(days * DAY)).isoformat() for days in (-40, -1, 0.5, 2, 400)))
    fields["time"] = rng.choice(times)


def _put_name(rng: random.Random, fields: Fields) -> None:
    fields[rng.choice(("id", "model", "version", "prediction_id"))] = rng.choice((*MODELS, *TEXTS))


def _swap_kind(rng: random.Random, fields: Fields) -> None:
    fields["type"] = rng.choice(("prediction", "feedback", "lifecycle", "command", "wish", "", "Prediction"))


def _nest(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    deep: Any = table[name]
    for _ in range(rng.choice((1, 3, 120))):
        deep = {"a": deep} if rng.random() < 0.5 else [deep]
    table[name] = deep


def _add_many(rng: random.Random, fields: Fields) -> None:
    name = rng.choice(("features", "segments", "probabilities", "extra"))
    table = {f"{rng.choice(('k', 'f', ''))}{number}": _scalar(rng) for number in range(rng.choice((1, 30)))}
    fields[name] = table


def _rename(rng: random.Random, fields: Fields) -> None:
    table, name = _place(rng, fields)
    table[rng.choice((*TEXTS, name.upper(), name + " "))] = table.pop(name)


FIELD_MUTATIONS: Final[tuple[Callable[[random.Random, Fields], None], ...]] = (
    _drop, _swap_type, _swap_type, _put_number, _put_number, _put_literal, _put_text, _put_time, _put_name,
    _swap_kind, _nest, _add_many, _rename,
)  # fmt: skip


def _with_duplicate_keys(rng: random.Random, raw: bytes) -> bytes:
    again = rng.choice((b'"id":"twice"', b'"type":"feedback"', b'"model":null', b'"time":1', b'"id":"e1"'))
    return b"{" + again + b"," + raw[1:] if rng.random() < 0.5 else raw[:-1] + b"," + again + b"}"


def _flip(rng: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(min(len(raw), rng.choice((1, 2, 8)))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _insert(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + rng.choice(ODD_BYTES) + raw[place:]


def _remove(rng: random.Random, raw: bytes) -> bytes:
    place = rng.randrange(len(raw) + 1)
    return raw[:place] + raw[place + rng.randrange(1, 20) :]


def _repeat(rng: random.Random, raw: bytes) -> bytes:
    return raw * rng.randrange(2, 4)


def _surround(rng: random.Random, raw: bytes) -> bytes:
    before, after = (
        rng.choice((b" \n", b"\xef\xbb\xbf", b"\x00", b"[", b"[[")),
        rng.choice((b"", b" ", b"]", b"}")),
    )
    return before + raw + after


BYTE_MUTATIONS: Final[tuple[Callable[[random.Random, bytes], bytes], ...]] = (
    _flip, _truncate, _insert, _remove, _repeat, _surround,
)  # fmt: skip
