"""The join of many models at once: what is ordinary of a batch costs by its events, not by its models.

Ordinary is a model's part of a batch in which :class:`Join` would find no event out of the ordinary. What is
not is left to it. Both give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, compress, pairwise
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from stream.core.columns import Arrivals
from stream.core.contents import Predicted, Said
from stream.core.entries import Newcomers, entries_of
from stream.core.found import found_at
from stream.core.fresh import Part
from stream.core.hashed import Hashes, repeated
from stream.core.join import Join
from stream.core.nouns import Tally, Topic
from stream.core.outcomes import Outcomes, Share
from stream.core.pending import Added, Standing
from stream.core.segments import Named

_TOGETHER: Final = 2
"""Parts from which on they are matched together."""


class Joined(NamedTuple):
    """The events of one model that a batch brings, in the log's order."""

    join: Join
    events: Arrivals


class _Row(NamedTuple):
    """The events of one topic of all parts, one part behind the other.

    Those of part k are from ``ends[k]`` to before ``ends[k + 1]``; *of_each* tells the part of each event.
    *hashes* are those of the ids of the predictions that are meant; *keys* have the salts of their models.
    *rows* tell where the events stand among those of the topic in the batch.
    """

    at: list[Arrivals]
    ends: NDArray[np.intp]
    of_each: NDArray[np.intp]
    places: NDArray[np.intp]
    rows: NDArray[np.intp]
    hashes: Hashes
    keys: Hashes

    @classmethod
    def of(cls, parts: Sequence[Joined], topic: Topic) -> _Row:
        at = [part.events.of(topic) for part in parts]
        sizes = np.array([len(one) for one in at])
        of_each = np.repeat(np.arange(len(parts)), sizes)
        places = np.concatenate([one.places for one in at])
        batch = parts[0].events.batch
        rows = batch.decoded.rows[places]
        hashes = batch.hashes[places] if topic is Topic.PREDICTIONS else batch.decoded.said.about[rows]
        salts = np.array([part.join.pending.salt for part in parts])
        ends = np.concatenate(([0], np.cumsum(sizes)))
        return cls(at, ends, of_each, places, rows, hashes, hashes ^ salts[of_each])

    def bounds(self) -> list[tuple[int, int]]:
        return list(pairwise(self.ends.tolist()))

    def predicted(self) -> Predicted:
        return self.at[0].batch.decoded.predicted.take(self.rows)

    def said(self, which: NDArray[np.intp]) -> Said:
        return self.at[0].batch.decoded.said.take(self.rows[which])

    def times(self) -> NDArray[np.float64]:
        return self.at[0].batch.times[self.places]


def match_together(
    parts: Sequence[Joined], standing: Standing, tally: Tally
) -> list[Sequence[Outcomes | Share]]:
    """Give for each part what :meth:`Join.match` gives, for all of them at once.

    No two parts are of one model, and none is empty; *standing* is where the predictions of all of them wait.
    """
    if len(parts) < _TOGETHER:
        return [join.match(events, tally) for join, events in parts]
    predictions, said = _Row.of(parts, Topic.PREDICTIONS), _Row.of(parts, Topic.FEEDBACK)
    is_alone, added = _let_wait(parts, predictions, standing, tally)
    is_odd, clocks = is_alone.copy(), _clocks(parts)
    for at, (join, _) in enumerate(parts):
        orphans = join.orphans
        if len(orphans) and any(name in orphans for name in predictions.at[at].ids()):
            is_odd[at] = True
    found = _match(parts, said, added, standing, is_odd, clocks)
    outcomes: list[Sequence[Outcomes | Share]] = []
    own = zip(parts, is_alone.tolist(), is_odd.tolist(), clocks.tolist(), strict=True)
    for at, ((join, events), alone, odd, clock) in enumerate(own):
        if alone:
            outcomes.append(join.match(events, tally))
        elif odd:
            ids = predictions.at[at].ids()
            outcomes.append(join.finish(join.match_waiting(events, ids, tally), tally))
        else:
            join.clock = clock
            outcomes.append(join.finish(found.get(at, ()), tally))
    return outcomes


def _clocks(parts: Sequence[Joined]) -> NDArray[np.float64]:
    """Give the clock of each part after its events, of whatever topic; no part is empty."""
    before = np.array([part.join.clock for part in parts])
    starts = np.cumsum([0, *(len(part.events) for part in parts[:-1])])
    places = np.concatenate([part.events.places for part in parts])
    newest: NDArray[np.float64] = np.maximum.reduceat(parts[0].events.batch.times[places], starts)
    clocks: NDArray[np.float64] = np.maximum(newest, before)
    return clocks


def _make_ready(
    parts: Sequence[Joined], predictions: _Row, standing: Standing
) -> tuple[NDArray[np.bool_], list[bool]]:
    """Make what is to take predictions ready; tell which parts are to be matched alone, which have room."""
    is_alone = np.zeros(len(parts), dtype=np.bool_)
    has_room: list[bool] = []
    if standing.fresh.is_full:
        standing.fresh.file()
    for at, ((join, events), own) in enumerate(zip(parts, predictions.at, strict=True)):
        join.pending.pack()
        has_room.append(join.pending.has_room(len(own)))
        is_alone[at] = join.is_crowded(events, own)
        if not has_room[at]:
            join.pending.file()
    return is_alone, has_room


def _let_wait(
    parts: Sequence[Joined], predictions: _Row, standing: Standing, tally: Tally
) -> tuple[NDArray[np.bool_], Added]:
    """Let predictions wait; give those, and of which parts none does, as they are to be matched alone."""
    is_alone, has_room = _make_ready(parts, predictions, standing)
    if not len(predictions.rows):
        return is_alone, Added(np.empty(0, dtype=np.int64), predictions.places)
    slots = standing.index.claim(predictions.keys[~is_alone[predictions.of_each]])
    if slots is None:
        is_alone[predictions.of_each[repeated(predictions.keys)]] = True
        is_alone[predictions.of_each[standing.index.find(predictions.keys) >= 0]] = True
        slots = standing.index.claim(predictions.keys[~is_alone[predictions.of_each]])
    bounds = predictions.bounds()
    told = predictions.predicted()
    new = Newcomers(
        parts[0].events.batch.ids(Topic.PREDICTIONS, predictions.rows),
        predictions.hashes,
        predictions.times(),
        _named(parts, predictions.at, told, is_alone),
        told.outputs,
        told.scores,
    )
    entries = entries_of(new)
    plain = [at for at, alone in enumerate(is_alone.tolist()) if not alone and bounds[at][0] < bounds[at][1]]
    fresh = [Part(parts[at].join.pending, *bounds[at]) for at in plain if has_room[at]]
    full = [at for at in plain if not has_room[at]]
    runs = list(standing.fresh.add(new, entries, fresh))
    runs += [(*bounds[at], parts[at].join.pending.append(new, entries, *bounds[at])) for at in full]
    which = np.concatenate([np.empty(0, dtype=np.intp), *(np.arange(start, stop) for start, stop, _ in runs)])
    places = np.empty(len(predictions.rows), dtype=np.int64)
    for start, stop, own_places in runs:
        places[start:stop] = own_places
    if slots is not None and runs:
        standing.index.put(slots, places[~is_alone[predictions.of_each]])
    for at in full:
        join = parts[at].join
        join.count_evicted(join.pending.evict(), predictions.at[at], tally)
    return is_alone, Added(places[which], predictions.places[which])


def _named(
    parts: Sequence[Joined], predictions: Sequence[Arrivals], told: Predicted, is_alone: NDArray[np.bool_]
) -> Sequence[Named]:
    """Give the version of each prediction, with its segments where its model's are declared."""
    if not any(part.join.declares_segments for part in parts):
        return cast("list[Named]", told.versions.tolist())
    own = zip(parts, predictions, is_alone.tolist(), strict=True)
    versions = [one.versions() if alone else part.join.named(one) for part, one, alone in own]
    return list(chain.from_iterable(versions))


def _match(
    parts: Sequence[Joined],
    said: _Row,
    added: Added,
    standing: Standing,
    is_odd: NDArray[np.bool_],
    clocks: NDArray[np.float64],
) -> dict[int, list[Share]]:
    """Match the feedback of the parts that are ordinary; the others are marked in *is_odd*."""
    places = standing.index.find(said.keys)
    is_odd[said.of_each[places < 0]] = True
    is_odd[said.of_each[repeated(said.keys)]] = True
    is_odd[said.of_each[added.ahead(places, said.places)]] = True
    waits = np.array([part.join.label_seconds for part in parts])[said.of_each]
    kept = np.array([part.join.kept_seconds for part in parts])[said.of_each]
    said_at = said.times()
    which = np.flatnonzero(~is_odd[said.of_each])
    entries = standing.slots.entries_at(places[which])
    of, least = said.of_each[which], np.maximum(clocks[said.of_each] - kept, said_at - waits)[which]
    is_late = entries["time"] < least
    if is_late.any():
        is_odd[of[is_late]] = True
        stays = ~is_odd[of]
        which, entries = which[stays], entries[stays]
    return _outcomes(parts, said, standing, which, places[which], entries) if len(which) else {}


def _outcomes(
    parts: Sequence[Joined],
    said: _Row,
    standing: Standing,
    which: NDArray[np.intp],
    places: NDArray[np.int64],
    entries: NDArray[np.void],
) -> dict[int, list[Share]]:
    """Complete the predictions at *places* by the feedback at *which* of *said*: whole parts of it."""
    found = found_at(standing.slots, places, entries)
    heard = said.said(which)
    said_at, of = said.times()[which], said.of_each[which]
    delays, keys = np.maximum(said_at - found.times, 0.0).tolist(), said.keys[which]
    is_truth = heard.is_truth()
    is_all = bool(is_truth.all())
    if not is_all:
        places, keys = places[is_truth], keys[is_truth]
    is_fresh = standing.fresh.among(places)
    of_fresh = np.bincount(of[is_truth][is_fresh], minlength=len(parts)).tolist()
    standing.take(places, keys)
    whole = Outcomes(
        Arrivals(parts[0].events.batch, said.places[which]),
        found.times,
        cast("list[str]", found.versions),
        found.outputs,
        found.scores,
        heard,
        said_at,
    )
    outcomes: dict[int, list[Share]] = {}
    ends = np.flatnonzero(np.diff(of)) + 1
    for start, end in pairwise([0, *ends.tolist(), len(of)]):
        at = int(of[start])
        join, own = parts[at].join, slice(start, end)
        told = delays[own] if is_all else list(compress(delays[own], is_truth[own]))
        join.pending.took(of_fresh[at])
        join.labelled += len(told)
        join.delays += told
        outcomes[at] = [Share(whole, start, end, said.at[at])]
    return outcomes
