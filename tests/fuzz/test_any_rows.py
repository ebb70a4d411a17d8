"""Whatever stands in the state topic: a worker goes on, tells what it cannot read, and keeps the rest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.rows import STATES, a_state, check_rows, row_damages
from tests.fuzz.test_any_log import SHORT


@settings(SHORT, max_examples=80)
@given(which=st.integers(0, STATES - 1), damages=row_damages)
def test_damaged_rows_stop_nothing_and_leave_other_models_alone(
    which: int, damages: list[tuple[int, int]]
) -> None:
    check_rows(which, damages)


@pytest.mark.parametrize("which", [1, 3])
def test_the_states_that_are_damaged_hold_incidents(which: int) -> None:
    rows, _, output = a_state(which)
    assert any(b'"incident"' in key for key in rows)
    assert output.incidents
