"""The join takes columns; what comes out is what came out if it took one event after the other."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Event
from schemas.policy import Bounds, Horizons, Policy
from stream.core.columns import Batch, by_model
from stream.core.join import Join
from stream.core.nouns import TOPIC_OF, Admitted, Record, Tally
from stream.core.outcomes import Outcomes
from stream.core.pending import Pending
from stream.core.shared import Shared
from stream.core.together import Joined, match_together
from tests.flow.timeline import Happening, at, feedback, label, lifecycle, prediction, to_bytes

COUNTED = ("outcomes_total", "unlabelled_total", "orphans_total", "evicted_total")

names = st.sampled_from("abcdef")
happenings = st.one_of(
    names.map(lambda name: prediction(name, 1, version=name)),
    names.map(lambda name: prediction(name, 1, segments={"region": name, "channel": "web"})),
    names.map(lambda name: label(name, 1)),
    names.map(lambda name: feedback(name, "thumbs", value=True)),
    names.map(lambda name: feedback(name, "override", label=0)),
    names.map(lifecycle),
)
timelines = st.lists(st.tuples(st.integers(0, 40), happenings), max_size=30)
policies = st.builds(
    lambda label_seconds, orphan_seconds, pending, orphans, segments: Policy(
        segments=segments,
        horizons=Horizons(label_seconds=label_seconds, orphan_seconds=orphan_seconds),
        bounds=Bounds(pending=pending, orphans=orphans),
    ),
    st.sampled_from((5.0, 20.0, 1_000.0)),
    st.sampled_from((5.0, 20.0, 1_000.0)),
    st.sampled_from((1, 2, 4, 1_000)),
    st.sampled_from((1, 2, 4, 1_000)),
    st.sampled_from(((), ("region",), ("channel", "region"))),
)


def admitted(number: int, time: int, happening: Happening) -> Admitted:
    event: Event = msgspec.json.decode(to_bytes(at(time), happening), type=Event)
    return Admitted(number, at(time), event, Record(TOPIC_OF[type(event)], 0, number, at(time), b""))


def each_of(part: Outcomes) -> list[object]:
    """Give outcomes, each with the segments that its prediction is in."""
    assert len(part.segments or ()) in {0, len(part)}
    segments = part.segments or [()] * len(part)
    return [(tuple(outcome), own) for outcome, own in zip(part, segments, strict=True)]


def matched(policy: Policy, log: list[Admitted], sizes: list[int]) -> tuple[list[object], dict[str, float]]:
    """Give the outcomes of *log*, cut into batches of *sizes* in turn, and what was counted."""
    join, tally, found, start = Join("m", policy), Tally(), list[object](), 0
    while start < len(log):
        size = sizes[start % len(sizes)]
        batch = Batch.of(log[start : start + size])
        for part in join.match(batch.all(), tally):
            found += each_of(part.own())
        start += size
    counts = dict.fromkeys(COUNTED, 0.0)
    for (name, _), value in tally.counts.items():
        counts[name] += value
    return found, counts


@settings(max_examples=3000, deadline=None)
@given(policy=policies, timeline=timelines, sizes=st.lists(st.integers(2, 30), min_size=1, max_size=3))
def test_batches_give_what_single_events_give(
    policy: Policy, timeline: list[tuple[int, Happening]], sizes: list[int]
) -> None:
    log = [admitted(number, time, happening) for number, (time, happening) in enumerate(timeline)]
    assert matched(policy, log, sizes) == matched(policy, log, [1])


def matched_together(
    policy: Policy, log: list[Admitted], sizes: list[int]
) -> tuple[dict[str, object], dict[tuple[str, tuple[str, ...]], float]]:
    """Give outcomes, clock and what waits by model of a log of several, in batches, and what was counted."""
    shared, tally, start = Shared(), Tally(), 0
    joins = {name: Join(name, policy, shared.standing) for name in {one.event.model for one in log}}
    found: dict[str, list[object]] = {name: [] for name in joins}
    while start < len(log):
        size = sizes[start % len(sizes)]
        batch = Batch.of(log[start : start + size])
        came = by_model(batch, range(len(batch.topics)))
        parts = [Joined(joins[name], events) for name, events in came.items()]
        for name, outcomes in zip(came, match_together(parts, shared.standing, tally), strict=True):
            found[name] += [one for part in outcomes for one in each_of(part.own())]
        start += size
    waiting = {name: waiting_of(join, log) for name, join in joins.items()}
    clocks = {name: join.clock for name, join in joins.items()}
    assert len(shared.standing.index) == sum(len(join.pending) for join in joins.values())
    for join in joins.values():
        join.release()
    assert len(shared.standing.index) == 0
    counts = {key: value for key, value in tally.counts.items() if value}
    return {name: (found[name], clocks[name], waiting[name]) for name in joins}, counts


def waiting_of(join: Join, log: list[Admitted]) -> object:
    """Give the predictions that wait as a checkpoint has them, and their times in order of arrival."""
    ids, restored = dict.fromkeys(one.event.id for one in log), Pending(1_000)
    rows = join.pending.rows()
    assert restored.restore({key: row for key, row in rows.items() if row is not None}) == []
    kept = {name: restored.get(name) for name in ids}
    assert kept == {name: join.pending.get(name) for name in ids}
    return kept, restored.oldest_times(len(restored) + 1).tolist()


model_timelines = st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 40), happenings), max_size=60)


@settings(max_examples=2000, deadline=None)
@given(policy=policies, timeline=model_timelines, sizes=st.lists(st.integers(2, 60), min_size=1, max_size=3))
def test_models_that_are_matched_together_are_as_each_alone(
    policy: Policy, timeline: list[tuple[str, int, Happening]], sizes: list[int]
) -> None:
    log = [
        admitted(number, time, {**happening, "model": name})
        for number, (name, time, happening) in enumerate(timeline)
    ]
    assert matched_together(policy, log, sizes) == matched_together(policy, log, [1])
