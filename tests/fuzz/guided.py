"""Fuzzing that is guided by coverage: bytes become a log, atheris looks for bytes that reach new code.

``python -m tests.fuzz.guided MINUTES`` after ``pip install '.[fuzz]'``. What it looks at must not be imported
before it is instrumented: so it is a program of its own.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["schemas", "stream.core"]):
    from tests.fuzz.holding import check_log

from stream.core.nouns import Record, Topic

LENGTHS = (1, 3, 50)
"""How the log is cut into batches."""


def fuzz(minutes: float) -> None:
    """Fuzz until *minutes* have passed or something fails; libFuzzer ends the process and tells which."""
    arguments = [sys.argv[0], f"-max_total_time={int(minutes * 60)}", "-max_len=4096", "-print_final_stats=1"]
    atheris.Setup(arguments, _try)
    atheris.Fuzz()


def _try(data: bytes) -> None:
    """Take *data* for records that end where a line does; the first byte of each tells its topic."""
    offsets = dict.fromkeys(Topic, 0)
    records: list[Record] = []
    for place, line in enumerate(data.split(b"\n")):
        topic = Topic(line[0] % len(Topic)) if line else Topic.PREDICTIONS
        headers = (("ce_type", line[1:9]),) if line[:1] > b"\xf0" else ()
        records.append(Record(topic, 0, offsets[topic], float(place), line[1:] or None, None, headers))
        offsets[topic] += 1
    check_log(records, LENGTHS)


if __name__ == "__main__":
    fuzz(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
