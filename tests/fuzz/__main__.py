"""Fuzz for minutes: ``python -m tests.fuzz --minutes 10``; prints minutes, inputs and crashes.

Hypothesis draws logs and damages, and makes what fails small; tests/fuzz/guided.py is guided by coverage.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from stream.core.nouns import Record
from stream.shell.unfolding import unfold_at_most
from tests.fuzz.holding import check_log
from tests.fuzz.rows import check_rows, row_damages
from tests.fuzz.strategies import logs, sizes
from tests.unit.test_batches import changes, check_hurt
from tests.unit.wire import CODECS, PLAIN

EXAMPLES = 200
"""Logs that are drawn between two looks at the clock."""


UNFOLDED_BYTES = 1_000_000
"""What a batch may unfold to, so that some unfold too far."""


class Tried:
    """What was tried so far."""

    def __init__(self) -> None:
        self.logs = self.records = self.states = self.batches = 0
        self.crashes: set[str] = set()

    def line(self, began: float) -> str:
        minutes = (time.monotonic() - began) / 60
        return (
            f"{minutes:.1f} minutes, {self.logs} logs of {self.records} records, "
            f"{self.states} damaged states, {self.batches} damaged batches, {len(self.crashes)} crashes"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="begin here; the clock decides if not given")
    given_ = parser.parse_args(arguments)
    return _fuzz(given_.minutes, time.time_ns() if given_.seed is None else given_.seed)


def _fuzz(minutes: float, first_seed: int) -> int:
    tried, began, number = Tried(), time.monotonic(), first_seed
    unfold_at_most(UNFOLDED_BYTES)
    logging.getLogger("stream.shell.batches").setLevel(logging.CRITICAL)  # what is damaged is the point
    shown = began
    while time.monotonic() - began < minutes * 60:
        for trial in (_logs_of(tried), _states_of(tried), _batches_of(tried)):
            try:
                seed(number)(trial)()
            except Exception:  # noqa: BLE001 - a crash is what is looked for
                text = traceback.format_exc()
                kind = text.strip().splitlines()[-1][:200]
                if kind not in tried.crashes:
                    tried.crashes.add(kind)
                    print(text, f"--seed {number}", sep="\n", flush=True)
        number += 1
        if time.monotonic() - shown > 60:
            shown = time.monotonic()
            print(tried.line(began), flush=True)
    print(tried.line(began))
    return 1 if tried.crashes else 0


def _logs_of(tried: Tried) -> Callable[[], None]:
    @_long(EXAMPLES)
    @given(records=logs, cut=sizes)
    def trial(records: list[Record], cut: list[int]) -> None:
        tried.logs += 1
        tried.records += len(records)
        check_log(records, cut)

    return trial


def _states_of(tried: Tried) -> Callable[[], None]:
    @_long(EXAMPLES)
    @given(damages=row_damages, which=st.integers(0, 3))
    def trial(damages: list[tuple[int, int]], which: int) -> None:
        tried.states += 1
        check_rows(which, damages)

    return trial


def _batches_of(tried: Tried) -> Callable[[], None]:
    @_long(EXAMPLES)
    @given(codec=st.sampled_from((PLAIN, *CODECS)), hurt=changes)
    def trial(codec: int, hurt: list[tuple[int, bytes, int]]) -> None:
        tried.batches += 1
        check_hurt(codec, hurt)

    return trial


def _long(examples: int) -> settings:
    return settings(
        deadline=None,
        database=None,
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=True,
    )


if __name__ == "__main__":
    sys.exit(main())
