"""Logs as Hypothesis draws them: mutated by a seed, of JSON of any shape, of any bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from schemas.codec import Headers
from stream.core.nouns import Record, Topic
from tests.flow.timeline import at
from tests.fuzz.mutations import HEADERS, NUMBERS, TEXTS, TIMES, mutated_records

FIELDS: Final = (
    *("id", "model", "time", "type", "version", "output", "score", "probabilities", "features", "segments"),
    *("usage", "safety", "subject", "prediction_id", "kind", "label", "value", "latency_ms", "harms", ""),
)

names = st.sampled_from((*FIELDS, *TEXTS)) | st.text(max_size=5)
scalars = (
    st.sampled_from((*TEXTS, *TIMES, *NUMBERS, "risk", "prediction", "feedback", "label"))
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)
events = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(("prediction", "feedback", "lifecycle", "command")) | values,
        "id": st.sampled_from(("a", "b", "c")) | st.text(max_size=3) | values,
        "model": st.sampled_from(("risk", "churn", "elsewhere")) | values,
        "time": st.sampled_from(("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", *TIMES)) | values,
        "version": values,
        "output": values,
        "score": values,
        "features": st.dictionaries(names, values, max_size=6) | values,
        "usage": st.dictionaries(names, values, max_size=3) | values,
        "prediction_id": st.sampled_from(("a", "b", "c")) | values,
        "kind": st.sampled_from(("label", "thumbs", "rating", "deployed")) | values,
        "label": values,
        "value": values,
    },
)
headers = st.lists(st.sampled_from(HEADERS), max_size=3).map(tuple)
sizes = st.lists(st.integers(1, 50), min_size=1, max_size=4)


def _written(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


messages = (events | st.lists(events | values, max_size=6) | values).map(_written) | st.binary(max_size=64)


def _in_a_log(parts: Sequence[tuple[Topic, bytes | None, Headers]]) -> list[Record]:
    offsets = dict.fromkeys(Topic, 0)
    records: list[Record] = []
    for place, (topic, value, with_headers) in enumerate(parts):
        records.append(Record(topic, 0, offsets[topic], at(float(place)), value, None, with_headers))
        offsets[topic] += 1
    return records


drawn_logs = st.lists(
    st.tuples(st.sampled_from(Topic), st.none() | messages | messages, st.just(()) | headers),
    min_size=1,
    max_size=30,
).map(_in_a_log)
mutated_logs = st.builds(mutated_records, st.integers(0, 2**64), st.integers(1, 200))
logs = drawn_logs | mutated_logs
