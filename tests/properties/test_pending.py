"""What waits in columns is what would wait in a dict, through evictions, expiry and restarts."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.core.entries import Newcomers, entries_of
from stream.core.hashed import where_in
from stream.core.kept import CHUNK_PLACES
from stream.core.nouns import PredictionKept
from stream.core.pending import Added, Pending, Standing
from stream.core.scalars import Output, Scalars, numbers_of
from stream.core.segments import Named
from stream.core.waiting import Waiting

Rows = dict[str, bytes]

LONG: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A batch of thousands takes its time."""

OUTPUTS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=40),
)
ALIKE: Final[list[list[Output]]] = [
    [True, False], [1, 2**63 - 1], [0.5, 1.0], ["good", "bad"], [None, "é", 1, 1.0],
]  # fmt: skip
"""Outputs of a batch."""

VERSIONS: Final[list[list[Named]]] = [["1", "2.0"], ["1", ("1", "region=south"), ("1", "region=é", "b=c")]]
"""Versions of a batch, alone and with segments."""

BATCHES: Final = st.sampled_from([1, 2, 5, 33, 120, 1_000, 5_000])


NAMED: Final[st.SearchStrategy[Named]] = st.text(max_size=9) | st.tuples(
    st.text(max_size=9), st.text(max_size=9)
)


def hashes(ids: list[str]) -> NDArray[np.int64]:
    return np.array([hash(event_id) for event_id in ids], dtype=np.int64)


def add(pending: Pending, ids: list[str], kept: list[PredictionKept]) -> int:
    times, versions, outputs, scores = zip(*kept, strict=True) if kept else ((), (), (), ())
    columns = np.array(times, dtype=np.float64), versions, Scalars.of(outputs), numbers_of(scores)
    new = Newcomers(ids, hashes(ids), *columns)
    evicted = pending.add(new)
    assert evicted is not None
    return evicted


def keep(pending: Pending | Waiting[PredictionKept], rows: Rows) -> None:
    for key, row in pending.rows().items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row


def typed(kept: PredictionKept | None) -> list[tuple[type, object]]:
    """Give what tells True from 1 and 1 from 1.0."""
    return [(type(value), value) for value in kept or ()]


class Both:
    """A Pending beside the Waiting that says what it should hold."""

    def __init__(self, seed: int, bound: int) -> None:
        self.bound = bound
        self.rng = random.Random(seed)
        self.pending = Pending(bound)
        self.model = Waiting(bound, PredictionKept)
        self.rows: Rows = {}
        self.model_rows: Rows = {}
        self.used: dict[str, None] = {}
        self.clock = 0

    def add(self, count: int) -> None:
        ids: list[str] = []
        kept: list[PredictionKept] = []
        outputs = self.rng.choice(ALIKE)
        versions = self.rng.choice(VERSIONS)
        scores: list[float | None] = self.rng.choice([[None], [0.25, 1.0], [None, 0.25]])
        for _ in range(count):
            self.clock += 1
            is_again = self.used and self.rng.random() < 2 / count
            ids.append(self.rng.choice(list(self.used)[-50:]) if is_again else f"id-{self.clock}")
            self.used[ids[-1]] = None
            kept.append(
                PredictionKept(
                    self.clock + self.rng.choice([0.0, 0.0, 0.0, -40.0]),
                    self.rng.choice(versions),
                    self.rng.choice(outputs),
                    self.rng.choice(scores),
                )
            )
        assert add(self.pending, ids, kept) == sum(map(self.model.add, ids, kept))

    def take(self, share: float) -> None:
        ids = [event_id for event_id in self.used if self.rng.random() < share]
        places = self.pending.find(hashes(ids))
        known = [event_id for event_id in ids if event_id in self.model]
        assert [event_id for event_id, place in zip(ids, places, strict=True) if place >= 0] == known
        places = places[places >= 0]
        want = [self.model.take(event_id) for event_id in known]
        assert self.pending.times_at(places).tolist() == [kept.time for kept in want if kept]
        found = self.pending.found(places)
        assert found.times.tolist() == [kept.time for kept in want if kept]
        assert found.versions == [kept.version for kept in want if kept]
        assert found.outputs.list() == [kept.output for kept in want if kept]
        np.testing.assert_array_equal(found.scores, numbers_of([kept.score for kept in want if kept]))
        self.pending.take(places, hashes(known))

    def expire(self, age: int) -> None:
        before = self.clock - age
        assert self.pending.take_oldest_before(before) == len(self.model.take_oldest_before(before))

    def checkpoint(self) -> None:
        keep(self.pending, self.rows)
        keep(self.model, self.model_rows)

    def crash(self) -> None:
        """Go on from the last checkpoint, as if nothing had been since."""
        self.model = Waiting(self.bound, PredictionKept)
        assert self.model.restore(self.model_rows) == []
        self.pending = Pending(self.bound)
        assert self.pending.restore(self.rows) == []

    def check(self) -> None:
        assert len(self.pending) == len(self.model)
        for event_id in self.used:
            assert (event_id in self.pending) == (event_id in self.model)
        for event_id in self.rng.sample(list(self.used), min(len(self.used), 50)):
            assert typed(self.pending.get(event_id)) == typed(self.model.get(event_id))


STEPS: Final = st.one_of(
    st.tuples(st.just("add"), BATCHES),
    st.tuples(st.just("take"), st.sampled_from([0.001, 0.05, 0.6, 0.97])),
    st.tuples(st.just("expire"), st.sampled_from([5_000, 700, 20])),
    st.tuples(st.just("checkpoint"), st.none()),
    st.tuples(st.just("crash"), st.none()),
)


@settings(LONG, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    bound=st.sampled_from([3, 300, 6_000, 1_000_000]),
    steps=st.lists(STEPS, max_size=14),
)
def test_what_waits_in_columns_is_what_would_wait_in_a_dict(
    seed: int, bound: int, steps: list[tuple[str, float]]
) -> None:
    both = Both(seed, bound)
    for what, number in steps:
        match what:
            case "add":
                both.add(int(number))
            case "take":
                both.take(number)
            case "expire":
                both.expire(int(number))
            case "checkpoint":
                both.checkpoint()
            case "crash":
                both.crash()
        both.check()
    both.checkpoint()
    both.crash()
    both.check()
    for age in range(both.clock, -50, -max(1, both.clock // 20)):
        both.expire(age)
        assert len(both.pending) == len(both.model)
    both.expire(-100)
    keep(both.pending, both.rows)
    assert both.rows == {}


@settings(LONG)
@given(kept=st.lists(st.tuples(OUTPUTS, st.none() | st.floats(allow_nan=False), NAMED), max_size=80))
def test_a_prediction_is_kept_as_it_was(kept: list[tuple[Output, float | None, Named]]) -> None:
    predictions = [
        PredictionKept(float(number), version, output, score)
        for number, (output, score, version) in enumerate(kept)
    ]
    ids = [f"é{number}" for number in range(len(kept))]
    pending, rows = Pending(1_000), Rows()
    add(pending, ids, predictions)
    keep(pending, rows)
    restored = Pending(1_000)
    assert restored.restore(rows) == []
    for event_id, prediction in zip(ids, predictions, strict=True):
        assert typed(pending.get(event_id)) == typed(restored.take_id(event_id)) == typed(prediction)


@settings(LONG, max_examples=30)
@given(seed=st.integers(0, 2**32), count=st.sampled_from([1, 256, 257, 3_000]), share=st.floats(0, 1))
def test_a_state_of_the_former_layout_goes_on(seed: int, count: int, share: float) -> None:
    both = Both(seed, 1_000_000)
    both.add(count)
    for event_id in list(both.used):
        if both.rng.random() < share:
            both.model.take(event_id)
    keep(both.model, both.rows)
    both.pending = Pending(both.bound)
    assert both.pending.restore(both.rows) == []
    both.check()
    both.add(40)
    both.take(0.5)
    keep(both.pending, both.rows)
    both.pending = Pending(both.bound)
    assert both.pending.restore(both.rows) == []
    both.check()
    both.expire(-100)
    keep(both.pending, both.rows)
    assert both.rows == {}


@LONG
@given(
    before=st.lists(st.sampled_from([0, 1, CHUNK_PLACES - 3, CHUNK_PLACES]), min_size=1, max_size=3),
    numbers=st.lists(st.sampled_from([0, 1, 2, 5, 40, CHUNK_PLACES + 7]), min_size=3, max_size=3),
    seed=st.integers(0, 9),
)
def test_feedback_that_is_ahead_of_its_prediction_is_told_by_where_that_waits(
    before: list[int], numbers: list[int], seed: int
) -> None:
    rng, standing = random.Random(seed), Standing()
    places: list[NDArray[np.int64]] = []
    ids: list[str] = []
    for model, (old, number) in enumerate(zip(before, numbers, strict=False)):
        pending = Pending(1_000_000, standing)
        kept = PredictionKept(0.0, "1", None, None)
        add(pending, [f"{model}-old-{n}" for n in range(old)], [kept] * old)
        own = [f"{model}-{n}" for n in range(number)]
        columns = np.zeros(number), ["1"] * number, Scalars.of([None] * number), np.full(number, np.nan)
        new = Newcomers(own, hashes(own), *columns)
        if own:
            places.append(pending.append(new, entries_of(new), 0, len(own)))
            pending._index.insert(new.hashes ^ pending.salt, places[-1])  # noqa: SLF001 - as they are joined
        ids += own
        ids_before = [f"{model}-old-{n}" for n in range(min(old, 3))]
        said = rng.choices([*own, *ids_before, "nobody"], k=min(50, 2 * number + 3))
        at = np.arange(len(ids))
        added = Added(np.concatenate(places) if places else np.empty(0, dtype=np.int64), at)
        said_at = np.array([rng.randrange(len(ids) + 1) for _ in said])
        where = where_in(hashes(ids), hashes(said))
        want = (where >= 0) & (at[where] > said_at) if len(ids) else where >= 0
        assert added.ahead(pending.find(hashes(said)), said_at).tolist() == want.tolist()
