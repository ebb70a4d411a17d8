"""What an event costs that comes in an array, and one that comes in a record of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from statistics import median

from benchmarks.events import Entry, Load, entries
from benchmarks.probes.stepping import record
from benchmarks.processes import report
from stream.config import load_settings
from stream.core.nouns import Record
from stream.wiring import build_replay_pipeline

EVENTS = 200
"""In an array; of each topic as many come in one poll, in one array or in as many records."""

PASSES = 5


def main(policy: str, predictions: str) -> None:
    """Step a pipeline through the same polls, in turns of single events and of arrays; time both."""
    log = list(entries(Load(predictions=int(predictions))))
    polls = list(zip(*(_portions(log, topic) for topic in ("predictions", "feedback")), strict=True))
    singles, arrays = (
        [
            [record(entry, offset) for of_topic in poll for offset, entry in form(number, of_topic)]
            for number, poll in enumerate(polls)
        ]
        for form in (_single, _array)
    )
    passes = [(_cpu_seconds(policy, singles), _cpu_seconds(policy, arrays)) for _ in range(PASSES)]
    count = len(polls) * EVENTS
    of_singles, of_arrays = (median(used) / count * 1e6 for used in zip(*passes, strict=True))
    report({"us per prediction, single": of_singles, "us per prediction, in an array": of_arrays})


def _portions(log: Sequence[Entry], topic: str) -> Iterable[list[Entry]]:
    rest = (entry for entry in log if entry.topic == topic)
    while portion := list(islice(rest, EVENTS)):
        yield portion


def _single(poll: int, portion: Sequence[Entry]) -> Iterable[tuple[int, Entry]]:
    return enumerate(portion, start=poll * EVENTS)


def _array(poll: int, portion: Sequence[Entry]) -> Iterable[tuple[int, Entry]]:
    value = b"[" + b",".join(entry.value for entry in portion) + b"]"
    return [(poll, portion[0]._replace(value=value))]


def _cpu_seconds(policy: str, polls: Sequence[Sequence[Record]]) -> float:
    pipeline = build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": policy}))
    began = time.process_time()
    for records in polls:
        pipeline.step(records, float("inf"))
    return time.process_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
