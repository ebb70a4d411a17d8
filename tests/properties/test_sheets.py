"""What is read of a version, and what comes of it, does not depend on whose events share its batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, cycle
from typing import Any

import msgspec
import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from schemas.events import Event, Prediction
from schemas.policy import Bounds, Detectors, Policy
from stream.core.columns import Batch
from stream.core.forms import Forms
from stream.core.nouns import Admitted, Outcome, PredictionKept, Record, SeriesKey, Tally, Topic
from stream.core.observe import Observer
from stream.core.outcomes import Outcomes
from stream.core.reading import Reader, Source
from tests.flow.timeline import Happening, at, feedback, label, prediction, to_bytes
from tests.properties.logs import Making, a_log, cut, kept, makings, new_pipeline, run
from tests.properties.test_pipeline import LONG, content

POLICY = Policy(detectors=Detectors(warm_up=30), bounds=Bounds(features=3, categories=2))

Version = tuple[str, str]
VERSIONS: Sequence[Version] = (("a", "1"), ("a", "2"), ("b", "1"))

OUTPUTS = (None, 1, 2.5, True, "yes", "no", "other", "")
FEATURES = st.dictionaries(
    st.sampled_from(("x", "y", "z", "rare")),
    st.sampled_from((None, 1, 0.5, False, "red", "blue", "new")),
)
USAGES: Sequence[dict[str, float]] = ({"latency_ms": 3}, {"latency_ms": 5, "cost": 0.5}, {})
FIELDS = st.fixed_dictionaries(
    {"output": st.sampled_from(OUTPUTS)},
    optional={"score": st.sampled_from((0.25, 0.75)), "features": FEATURES, "usage": st.sampled_from(USAGES)},
)
SAID: Sequence[Happening | None] = (
    None,
    *(label("p", truth) for truth in (1, 0.5, False, "yes")),
    *(feedback("p", "thumbs", value=is_up) for is_up in (True, False)),
    feedback("p", "rating", value=4),
)
logs = st.lists(st.tuples(st.sampled_from(VERSIONS), FIELDS, st.sampled_from(SAID)), max_size=120)

OWN = ("risk", "churn")
"""The models of generated logs that may be watched side by side."""

Told = tuple[Version, Admitted, Outcome | None]
"""A prediction of a version, and what came of it."""


def told(number: int, version: Version, fields: dict[str, Any], said: Happening | None) -> Told:
    """Make a prediction, the event *number* of a log, and its outcome by an event right behind it."""
    asked = _admitted(2 * number, prediction("p", **fields, version=version[1]))
    if said is None:
        return version, asked, None
    answered = _admitted(2 * number + 1, said)
    made = PredictionKept(asked.time, version[1], fields["output"], None)
    return version, asked, Outcome(answered, answered.time, made, answered.event, answered.time)  # type: ignore[arg-type]


def _admitted(seq: int, happening: Happening) -> Admitted:
    """Make an event whose time is that of one of seven seconds: some are older than those before them."""
    made: Event = msgspec.json.decode(to_bytes(at(seq % 7), {**happening, "id": f"e{seq}"}), type=Event)
    topic = Topic.PREDICTIONS if isinstance(made, Prediction) else Topic.FEEDBACK
    return Admitted(seq, at(seq % 7), made, Record(topic, 0, seq, 0.0, b""))


class Reading:
    """Reads all versions; keeps by series each reading with its time and the event that completed it."""

    def __init__(self) -> None:
        self.observers = {version: Observer(*version, POLICY) for version in VERSIONS}
        self.reader = Reader(POLICY.signals, POLICY.task, Forms())
        self.tally = Tally()
        self.read: dict[SeriesKey, list[tuple[float, float, str]]] = {}

    def take(self, part: Sequence[Told]) -> None:
        """Read *part* of a log all at once."""
        admitted = sorted(
            [(version, asked) for version, asked, _ in part]
            + [(version, done.at) for version, _, done in part if done is not None],
            key=lambda one: one[1].seq,
        )
        batch = Batch.of([one for _, one in admitted])
        sources = []
        for model in dict.fromkeys(version[0] for version, _ in admitted):
            places = np.array([place for place, (version, _) in enumerate(admitted) if version[0] == model])
            done = {one.at.seq: one for version, _, one in part if one is not None and version[0] == model}
            found = [(place, done[one.seq]) for place, (_, one) in enumerate(admitted) if one.seq in done]
            outcomes = [Outcomes.of(batch, found)] if found else []
            versions = {version: own for (of, version), own in self.observers.items() if of == model}
            sources.append(Source(versions, batch.all().only(places), outcomes))
        if (sheet := self.reader.read(sources, self.tally)) is not None:
            for cell, value, time, stand in zip(
                *(column.tolist() for column in (sheet.cell, sheet.values, sheet.times, sheet.stand)),
                strict=True,
            ):
                observer, column = sheet.series(cell)
                series = self.read.setdefault(observer.spec(column).key, [])
                series.append((value, time, batch.events[int(sheet.place[stand])].id))

    def all(self) -> tuple[object, ...]:
        """Give what was read, and what is known now."""
        known = {version: (own.shape, own.changed, own.dropping) for version, own in self.observers.items()}
        return self.read, known, self.tally


@given(log=logs, sizes=st.lists(st.sampled_from((1, 3, 10, 50)), min_size=1, max_size=3))
def test_versions_are_read_together_as_each_is_read_alone(
    log: list[tuple[Version, dict[str, Any], Happening | None]], sizes: list[int]
) -> None:
    together, alone = Reading(), Reading()
    whole = [told(number, *one) for number, one in enumerate(log)]
    start, turns = 0, cycle(sizes)
    while start < len(whole):
        size = next(turns)
        together.take(whole[start : start + size])
        start += size
    for version in VERSIONS:
        for one in whole:
            if one[0] == version:
                alone.take([one])
    event(f"series: {min(len(alone.read), 20)} or more")
    assert together.all() == alone.all()


@settings(LONG, max_examples=25)
@given(making=makings, sizes=st.lists(st.sampled_from((7, 97, 400)), min_size=1, max_size=3))
def test_what_comes_of_a_model_does_not_depend_on_the_models_beside_it(
    making: Making, sizes: list[int]
) -> None:
    by_model = {model: [one for one in a_log(making) if _is_of(model, one)] for model in OWN}
    merged = sorted(chain(*by_model.values()), key=lambda one: (one.timestamp, one.topic, one.offset))
    beside = new_pipeline(making)
    together = run(beside, cut(merged, sizes))
    rows = content(kept(beside, {}))
    for model, records in by_model.items():
        own = new_pipeline(making)
        alone = run(own, cut(sorted(records, key=lambda one: (one.timestamp, one.topic, one.offset)), sizes))
        assert [one for one in together.alerts if one.model == model] == alone.alerts
        assert [one for one in together.incidents if one.model == model] == alone.incidents
        said = content(kept(own, {}))
        series = {
            key: row for key, row in said.items() if isinstance(key, bytes) and key.startswith(b'["series"')
        }
        assert series.items() <= rows.items()
        event(f"{model}: {min(len(series) // 10, 3)}0 series or more")


def _is_of(model: str, record: Record) -> bool:
    """Tell whether a record is one event of *model*."""
    try:
        said = msgspec.json.decode(record.value or b"")
    except msgspec.DecodeError:
        return False
    return isinstance(said, dict) and said.get("model") == model
