"""Names without end: who has to go, and what is said of it, does not depend on the cut into batches."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.policy import Bounds, Policy
from stream.core.nouns import Record
from stream.core.pipeline import Pipeline
from tests.flow.timeline import Alarms, Happening, Log, a_pipeline, at, feedback, label, prediction
from tests.properties.logs import POLICY, cut, kept, run
from tests.properties.test_pipeline import LONG, content, everything

CROWDED: Policy = msgspec.structs.replace(
    POLICY, bounds=Bounds(versions=3, features=4, categories=3, pending=40, orphans=12, seen_ids=2_000)
)
FIRM, MANY = ("a", "b", "c"), tuple("defghijklm")

seeds, sizes = st.integers(0, 2**32), st.lists(st.sampled_from((1, 2, 5, 31, 150)), min_size=1, max_size=3)


def crowded() -> Pipeline:
    """Make a pipeline that has room for four models of three versions."""
    return a_pipeline(CROWDED, Alarms(), max_models=4)


def hostile_log(seed: int) -> list[Record]:
    """Write a log of few honest names among many that come, go, come back, are repeated or in the future."""
    rng = random.Random(seed)
    log, told = Log(), list[Happening]()
    for n in range(rng.randrange(20, 400)):
        log.add(at(float(n)), *_some(rng, n, told))
    return log.records


def _some(rng: random.Random, n: int, told: list[Happening]) -> Iterator[Happening]:
    asked = [one for one in told[-60:] if one["type"] == "prediction"]
    chance = rng.random()
    if chance < 0.15 and told:
        yield rng.choice(told[-30:])  # a duplicate is seen by nobody
    elif chance < 0.4 and asked:
        of = rng.choice(asked)
        wrong = {"model": of["model"], "id": f"f{n}"}
        yield {
            **(label(of["id"], 0) if rng.random() < 0.7 else feedback(of["id"], "thumbs", value=0)),
            **wrong,
        }
    elif chance < 0.45:
        yield {**prediction(f"p{n}", 1, model=rng.choice(FIRM + MANY)), "time": "2100-01-01T00:00:00Z"}
    else:
        names = FIRM if rng.random() < 0.5 else MANY
        made = prediction(
            f"p{n}", 1, model=rng.choice(names), version=rng.choice(FIRM if rng.random() < 0.5 else MANY)
        )
        told.append(made)
        yield made


@settings(LONG, max_examples=60)
@given(seed=seeds, sizes=sizes)
def test_the_cut_into_batches_is_invisible_where_names_come_and_go(seed: int, sizes: list[int]) -> None:
    records = hostile_log(seed)
    one_by_one, pieces = crowded(), crowded()
    wanted, given_ = run(one_by_one, cut(records, [1])), run(pieces, cut(records, sizes))
    assert everything(given_) == everything(wanted)
    assert {store: given_.count("evicted_total", store) for store in ("models", "versions")} == {
        store: wanted.count("evicted_total", store) for store in ("models", "versions")
    }
    assert content(kept(pieces, {})) == content(kept(one_by_one, {}))
