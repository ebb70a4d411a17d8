"""Logs as the world writes them: several models and versions, late, twice, broken, in arrays, labels first.

A log is made from a few drawn parameters and a seed, so that it is long enough for detectors to find
something and still shrinks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from schemas.policy import (
    Adwin,
    Alerting,
    Bounds,
    Detectors,
    Horizons,
    PageHinkley,
    Policy,
)
from stream.core.nouns import Record, Topic
from stream.core.pipeline import Pipeline
from stream.core.ports import DetectorFactory
from stream.detectors.registry import Registry
from tests.flow.timeline import (
    DAY,
    Alarms,
    Happening,
    Log,
    Output,
    a_pipeline,
    at,
    feedback,
    label,
    lifecycle,
    prediction,
    to_bytes,
)

NOW = at(DAY)
"""The worker's clock: a few events are ahead of it."""

POLICY = Policy(
    detectors=Detectors(
        use=("adwin", "page_hinkley"),
        warm_up=30,
        adwin=Adwin(delta=0.05),
        page_hinkley=PageHinkley(threshold=8.0, min_instances=5),
    ),
    horizons=Horizons(
        label_seconds=600.0, orphan_seconds=120.0, lateness_seconds=1_000.0, future_seconds=30.0
    ),
    alerting=Alerting(repeat_seconds=60.0, recover_seconds=300.0, group_seconds=20.0),
    segments=("region",),
    bounds=Bounds(versions=2, features=4, categories=3, segments=2, pending=15, orphans=12, seen_ids=2_000),
)
"""Small bounds and short times, so that a short log meets all of them."""

MODELS = (*("risk",) * 24, *("churn",) * 9, *("elsewhere",) * 2, "prices")


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a log is made from."""

    seed: int
    events: int
    trouble: float
    versions: int
    alarms: bool

    def factory(self) -> DetectorFactory:
        return Alarms() if self.alarms else Registry()


makings = st.builds(
    Making,
    seed=st.integers(0, 2**32),
    events=st.integers(50, 1_000),
    trouble=st.sampled_from([0.0, 0.1, 0.3]),
    versions=st.integers(1, 4),
    alarms=st.booleans(),
)


def new_pipeline(making: Making) -> Pipeline:
    """Make the pipeline that watches such a log: it may watch two models and is not that of ``elsewhere``."""
    return a_pipeline(
        POLICY, making.factory(), max_models=2, partition_of=lambda model: int(model == "elsewhere")
    )


def a_log(making: Making) -> list[Record]:
    """Write the log; the same making gives the same bytes."""
    rng = random.Random(making.seed)
    log, time = Log(), 0.0
    waiting: list[tuple[str, str, Any]] = []
    later: list[tuple[float, Happening]] = []
    for number in range(making.events):
        time += rng.choice((0.0, 0.5, 1.0, 3.0, 12.0))
        for due in [planned for planned in later if planned[0] <= time]:
            later.remove(due)
            log.add(at(time), due[1])
        if rng.random() < making.trouble:
            _trouble(rng, log, time, waiting)
        if rng.random() < making.trouble / 5:
            later += _before_its_prediction(rng, f"late{number}", time)
        model = rng.choice(MODELS)
        late = number / making.events
        version = str(min(int(late * making.versions + rng.random() / 3), making.versions))
        for happening in _happening(rng, f"e{number}", model, version, late, waiting):
            log.add(at(time - (rng.choice((0.0, 100.0, 650.0)) if rng.random() < 0.25 else 0.0)), happening)
    return log.records


def _happening(
    rng: random.Random, name: str, model: str, version: str, late: float, waiting: list[tuple[str, str, Any]]
) -> Iterator[Happening]:
    """Give a prediction and, sooner or later, what was said of it."""
    is_wrong = rng.random() < (0.1 if late < 0.5 or late > 0.8 else 0.9)
    truth: Any = rng.choice(("yes", "no")) if model == "churn" else rng.randrange(2)
    other = {"yes": "no", "no": "yes"}.get(truth, 1 if truth == 0 else 0)
    fields: dict[str, Any] = {"model": model, "score": rng.gauss(0.3 if late < 0.6 else 1.4, 0.1)}
    if version != "0":
        fields["version"] = version
    if rng.random() < 0.8:
        fields["features"] = {
            "age": rng.gauss(40, 5) if rng.random() < (0.95 if late < 0.7 else 0.2) else None,
            "country": rng.choice(("DE", "FR", "IT") if late < 0.6 else ("DE", "XX", "YY", 7)),
            rng.choice(("x", "y", "z", "later")): rng.random(),
        }
    if rng.random() < 0.4:
        fields["segments"] = {"region": rng.choice(("south", "south", "north", "east")), "other": name}
    if rng.random() < 0.2:
        fields["usage"] = {"latency_ms": rng.expovariate(0.1)}
    label_of = {**label(name, truth), "model": model}
    asked = prediction(name, other if is_wrong else truth, **fields)
    if rng.random() < 0.15:
        yield from (label_of, asked)
        return
    yield asked
    waiting.append((name, model, truth))
    if rng.random() < 0.2:
        yield {**feedback(name, "thumbs", value=rng.random() < 0.5), "model": model}
    while waiting and rng.random() < 0.6:
        of, of_model, was = waiting.pop(rng.randrange(len(waiting)))
        yield {**label(of, was), "model": of_model}


def _before_its_prediction(rng: random.Random, name: str, time: float) -> Iterator[tuple[float, Happening]]:
    """Plan feedback that comes before its prediction, some of it too long before."""
    for kind in ("thumbs", "rating", "label"):
        said = label(name, 1) if kind == "label" else feedback(name, kind, value=0)
        yield time + rng.choice((5.0, 60.0, 100.0, 150.0)), {**said, "model": "risk"}
    yield time + rng.choice((110.0, 160.0, 200.0)), prediction(name, 0, model="risk")


def _trouble(rng: random.Random, log: Log, time: float, waiting: Sequence[tuple[str, str, Any]]) -> None:
    """Append something that should not be there."""
    name = f"t{time}-{rng.random()}"
    match rng.randrange(9):
        case 0:
            log.write(
                at(time),
                rng.choice((b"oops", None, b"{}", b'{"type":"prediction"}')),
                rng.choice(list(Topic)),
            )
        case 1 if log.records:
            again = rng.choice(log.records[-50:])
            log.write(at(time), again.value, again.topic)
        case 2:
            log.add(at(time - 1_500.0), prediction(name, model="risk"))
        case 3:
            log.add(at(2 * DAY), prediction(name, model=rng.choice(("risk", "never-there"))))
        case 4:
            elements: list[Happening | bytes] = [
                b'{"type":"wish"}',
                prediction(name, 1, model=rng.choice(MODELS)),
            ]
            elements += [prediction(f"{name}-{n}", n % 2, model="risk", score=3.0) for n in range(3)]
            rng.shuffle(elements)
            log.add_array(at(time), *elements, topic=rng.choice((Topic.PREDICTIONS, Topic.FEEDBACK)))
        case 5:
            log.add(at(time), {**label(f"never-{name}", 1), "model": "risk"})
        case 6:
            kind = rng.choice((*["deployed"] * 9, "baseline_accepted", "baseline_reset", "baseline_frozen"))
            only = rng.choice(({}, {"signal": "error"}, {"version": "2"}))
            log.add(at(time), lifecycle(name, model=rng.choice(MODELS), kind=kind, actor="dana", **only))
        case 7 if waiting:
            of, model, _ = rng.choice(waiting)
            log.add(at(time), {**feedback(of, "rating", value=rng.randrange(5), id=name), "model": model})
        case _:
            log.write(at(time), to_bytes(at(time), label(name, 1)), Topic.PREDICTIONS)


def cut(records: Sequence[Record], sizes: Sequence[int]) -> Iterator[Sequence[Record]]:
    """Cut a log into batches of these sizes, over and over."""
    start, place = 0, 0
    while start < len(records):
        size = sizes[place % len(sizes)]
        yield records[start : start + size]
        start, place = start + size, place + 1


def run(pipeline: Pipeline, batches: Iterator[Sequence[Record]]) -> Output:
    """Lead batches through a pipeline; give all that came out."""
    output = Output()
    for batch in batches:
        output.take(pipeline.step(batch, NOW))
    return output


def kept(pipeline: Pipeline, rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Apply what changed to the rows that are kept."""
    for key, row in pipeline.rows().items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row
    return rows
