"""What must hold of any log at all: nothing raises, every element is accounted for, the cut is invisible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from schemas.alerts import Rejected, Source
from schemas.codec import decode_record, encode
from stream.core.nouns import Record
from tests.flow.timeline import Output
from tests.properties.logs import NOW, Making, cut, kept, new_pipeline, run

FATES: Final = ("events_total", "duplicates_total", "rejected_total", "forwarded_total")
"""What becomes of an element, by the metric that counts it."""

AMONG: Final = Making(seed=0, events=0, trouble=0.0, versions=0, alarms=False)
"""Two models at most, small bounds, real detectors."""


def elements_of(records: Sequence[Record]) -> int:
    """Give how many elements *records* hold; what cannot be cut into elements is one."""
    return sum(len(decode_record(record.value, _source(record), record.headers)) for record in records)


def check_codec(records: Sequence[Record]) -> None:
    """Check that decoding gives values, that events are written and read again as they are."""
    for record in records:
        for place, one in enumerate(decode_record(record.value, _source(record), record.headers)):
            raw = encode(one)
            if isinstance(one, Rejected):
                assert one.raw_size == 0 or one.raw
                assert len(one.detail) > 0, (record.value, place)
            else:
                assert decode_record(raw, _source(record)) == [one], record.value


def check_log(records: Sequence[Record], sizes: Sequence[int]) -> Counter[str]:
    """Check all that must hold of a log, as it is cut into batches of *sizes*; give what became of it."""
    check_codec(records)
    whole = run_whole(records)
    fates = fates_of(whole)
    assert sum(fates.values()) == elements_of(records), fates
    singly = run(new_pipeline(AMONG), cut(records, [1]))
    assert _all_of(singly) == _all_of(whole)
    pipeline, rows, pieces = new_pipeline(AMONG), dict[bytes, bytes](), Output()
    for number, batch in enumerate(cut(records, sizes)):
        before = sum(fates_of(pieces).values())
        pieces.take(pipeline.step(batch, NOW))
        assert sum(fates_of(pieces).values()) - before == elements_of(batch)
        if number % 3 == 0:
            rows = kept(pipeline, rows)
        if number % 9 == 8:
            rows = kept(pipeline, rows)
            pipeline = new_pipeline(AMONG)
            assert pipeline.restore(rows) == []
    assert _all_of(pieces) == _all_of(whole)
    return fates


def run_whole(records: Sequence[Record]) -> Output:
    """Lead a log through a new pipeline in one batch."""
    return run(new_pipeline(AMONG), iter([records]))


def fates_of(output: Output) -> Counter[str]:
    """Give what became of elements, by the metric."""
    return Counter({name: output.count(name) for name in FATES})


def _all_of(output: Output) -> object:
    names = (*FATES, "outcomes_total", "orphans_total", "unlabelled_total", "findings_total", "evicted_total")
    return output.published(), output.forwards, {name: output.count(name) for name in names}


def _source(record: Record) -> Source:
    return Source(topic="driftline." + record.topic.suffix, partition=0, offset=record.offset)
