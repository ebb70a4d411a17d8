"""The index behaves as a dict does, whatever the keys are and however they come."""

from __future__ import annotations

import random
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.core.hashed import HashIndex

FEW_KEYS: Final = st.integers(-4, 4)
CLOSE_KEYS: Final = st.integers(0, 300).map(lambda number: number << 32 | number)
"""Keys of one row of slots."""

ANY_KEYS: Final = st.integers(-(2**63) + 2, 2**63 - 1)


def array(numbers: object) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def check(index: HashIndex, model: dict[int, int], asked: list[int]) -> None:
    assert len(index) == len(model)
    want = [model.get(key, -1) for key in asked]
    assert index.find(array(asked)).tolist() == want
    assert [index.get(key) for key in asked[:5]] == want[:5]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["insert", "remove", "move"]),
            st.one_of([st.lists(keys, max_size=120) for keys in (FEW_KEYS, CLOSE_KEYS, ANY_KEYS)]),
        ),
        max_size=20,
    )
)
def test_an_index_gives_what_a_dict_gives(steps: list[tuple[str, list[int]]]) -> None:
    index, model = HashIndex(), dict[int, int]()
    for step, (what, drawn) in enumerate(steps):
        keys = list(dict.fromkeys(drawn))
        if what == "remove":
            index.remove(array(keys))
            for key in keys:
                model.pop(key, None)
        else:
            keys = [key for key in keys if (key in model) == (what == "move")]
            places = [step * 1_000 + number for number in range(len(keys))]
            (index.insert if what == "insert" else index.move)(array(keys), array(places))
            model.update(zip(keys, places, strict=True))
        check(index, model, drawn)
    check(index, model, list(model))


@pytest.mark.parametrize("batch", [1, 30, 1_000])
def test_an_index_in_which_much_comes_and_goes_stays_small_and_right(batch: int) -> None:
    rng = random.Random(batch)
    index, model = HashIndex(), dict[int, int]()
    for _ in range(20_000 // batch + 20):
        keys = [rng.getrandbits(62) for _ in range(batch)]
        index.insert(array(keys), array(range(batch)))
        model.update(zip(keys, range(batch), strict=True))
        gone = rng.sample(list(model), max(0, len(model) - 3 * batch))
        index.remove(array(gone))
        for key in gone:
            del model[key]
        check(index, model, keys)
    index.remove(array(list(model)))
    assert len(index) == 0
    assert index.find(array(list(model))).tolist() == [-1] * len(model)


def test_a_large_index_finds_all_and_nothing_else() -> None:
    keys = np.random.default_rng(1).integers(-(2**63), 2**63 - 1, 300_000)
    index = HashIndex()
    for start in range(0, 200_000, 7_000):
        index.insert(keys[start : min(200_000, start + 7_000)], np.arange(start, min(200_000, start + 7_000)))
    assert np.array_equal(index.find(keys[:200_000]), np.arange(200_000))
    assert np.all(index.find(keys[200_000:]) == -1)


@pytest.mark.parametrize("count", [1, 100])
def test_the_least_keys_mark_slots_and_are_taken_for_the_next(count: int) -> None:
    index = HashIndex()
    others = list(range(count - 1))
    index.insert(array([-(2**63), *others]), array(range(count)))
    index.remove(array(others))
    assert [index.get(-(2**63) + more) for more in range(4)] == [0, 0, 0, -1]
    index.discard(-(2**63) + 1)
    assert len(index) == 0
