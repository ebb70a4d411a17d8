"""Join: a prediction and the feedback that concerns it make an outcome, whichever comes first.

What happens to a prediction and its feedback depends on their own events alone, and on the clock. So a batch
is taken in columns: feedback that is ahead of its prediction first, then all predictions, then the feedback
that follows. Where a bound is reached the oldest go, which is a matter of order between all of them: such a
batch is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from schemas.events import Feedback, Prediction
from schemas.policy import Policy
from stream.core.columns import Arrivals
from stream.core.contents import Said
from stream.core.entries import Newcomers
from stream.core.hashed import Hashes, repeated, where_in
from stream.core.nouns import Outcome, PredictionKept, Tally, Topic, says_what_was_true
from stream.core.outcomes import Outcomes, Share
from stream.core.pending import Pending, Standing
from stream.core.rows import Moment
from stream.core.segments import Named, apart, with_segments
from stream.core.texts import to_keep
from stream.core.waiting import Waiting


class Orphans(NamedTuple):
    """Feedback on one prediction that has not come; *time* is the model's clock when the first arrived."""

    time: Moment
    feedback: list[Feedback]


@dataclass(frozen=True, slots=True)
class _Heard:
    """The feedback of a batch: which it is, what it says, and the model's clock at each of it."""

    at: Arrivals
    said: Said
    clocks: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.clocks)

    @property
    def hashes(self) -> Hashes:
        """The hashes of the ids of the predictions that are meant."""
        return self.said.about

    def event(self, place: int) -> Feedback:
        """Give one event itself."""
        return cast("Feedback", self.at.event(place))

    def only(self, which: NDArray[np.intp]) -> _Heard:
        """Give the part at the places *which*."""
        return _Heard(self.at.only(which), self.said.take(which), self.clocks[which])


class Join:
    """Matches the events of one model.

    A prediction waits ``label_seconds`` for its label, feedback ``orphan_seconds`` for its prediction, each
    ``future_seconds`` more on the clock of the model's events: that is the newest time that was seen, which
    one clock that is wrong may put so far ahead. What waits too long counts as "label never came" or as an
    orphan; what finds no room is evicted, oldest first.
    """

    def __init__(self, model: str, policy: Policy, standing: Standing | None = None) -> None:
        """Keep predictions in *standing*, with those of all models of a pipeline; else alone."""
        self.model = model
        horizons = policy.horizons
        self.label_seconds = horizons.label_seconds
        self.kept_seconds = horizons.label_seconds + horizons.future_seconds
        """How long a prediction is kept: its label may come when the clock is ahead by what it may be."""
        self._orphan_seconds = horizons.orphan_seconds + horizons.future_seconds
        self._bounds = policy.bounds
        self.pending = Pending(policy.bounds.pending, standing)
        self.orphans: Waiting[Orphans] = Waiting(policy.bounds.orphans, Orphans)
        self.clock = 0.0
        self.labelled = 0
        self.unlabelled = 0
        self.dropping: dict[str, list[int]] = {}
        """The numbers of events that made a full store drop something, by store; whoever asks empties it."""
        self.delays: list[float] = []
        self._segments = policy.segments
        self._has_segments = bool(policy.segments)

    @property
    def declares_segments(self) -> bool:
        """Whether predictions are told apart by segments."""
        return bool(self._segments)

    def restored(self) -> None:
        """Take note that what waits was restored: some of it may be in segments, whatever is declared now."""
        self._has_segments = self._has_segments or self.pending.has_segments()

    def named(self, predictions: Arrivals) -> Sequence[Named]:
        """Give the version of each of *predictions*, with the segments that it is in of those declared."""
        versions = predictions.versions()
        if not self._segments:
            return versions
        if (segments := predictions.predicted().segments) is None:
            return versions
        return with_segments(versions, segments.tolist(), self._segments)

    def match(self, events: Arrivals, tally: Tally) -> Sequence[Outcomes | Share]:
        """Take predictions and feedback in the log's order; give the outcomes they complete, in order."""
        return self.finish(self._match(events, tally), tally)

    def finish(self, parts: Iterable[Outcomes | Share], tally: Tally) -> Sequence[Outcomes | Share]:
        """Give the outcomes of a batch, *parts*; count them, and let go of what has waited too long."""
        outcomes = [part for part in parts if len(part)]
        if self._has_segments:
            outcomes = [_apart(part.own()) for part in outcomes]
        self._expire(tally)
        tally.count("outcomes_total", self.model, by=sum(map(len, outcomes)))
        if self.delays:
            tally.observations["label_delay_seconds", (self.model,)] += self.delays
            self.delays = []
        return outcomes

    def release(self) -> None:
        """Let go of what waits: the model is watched no longer."""
        self.pending.release()

    def gauges(self, tally: Tally) -> None:
        """Tell what stands: predictions that wait, and the share of labels that came of those that ended."""
        tally.gauge("pending_predictions", self.model, value=len(self.pending))
        if ended := self.labelled + self.unlabelled:
            tally.gauge("label_coverage_ratio", self.model, value=self.labelled / ended)

    def _match(self, events: Arrivals, tally: Tally) -> Iterator[Outcomes]:
        predictions = events.of(Topic.PREDICTIONS)
        ids = predictions.ids()
        is_single = len(events) == 1
        if not is_single and self.is_crowded(events, predictions):
            yield from self._match_runs(events, tally)
            return
        if ids and not self._add(predictions, ids, tally, may_replace=is_single):
            yield from self._match_runs(events, tally)
            return
        yield from self.match_waiting(events, ids, tally)

    def match_waiting(self, events: Arrivals, ids: Sequence[str], tally: Tally) -> Iterator[Outcomes]:
        """Do what :meth:`match` does once the predictions among *events*, with these *ids*, wait."""
        predictions, said = events.of(Topic.PREDICTIONS), events.of(Topic.FEEDBACK)
        clocks = np.maximum(np.maximum.accumulate(events.times()), self.clock)
        if len(clocks):
            self.clock = float(clocks[-1])
        by_topic = events.batch.topics[events.places]
        heard = _Heard(said, said.said(), clocks[by_topic == Topic.FEEDBACK])
        singles: list[tuple[int, Outcome]] = []
        if ids and len(heard):
            heard = self._put_aside(heard, predictions, tally)
        if ids and len(self.orphans):
            ticks = clocks[by_topic == Topic.PREDICTIONS]
            self._meet_orphans(predictions, ids, ticks, singles, tally)
        together = self._follow(heard, singles, tally) if len(heard) else None
        yield from _in_order(events, together, singles)

    def _match_runs(self, events: Arrivals, tally: Tally) -> Iterator[Outcomes]:
        for part in _runs(events):
            yield from self._match(part, tally)
            self._expire(tally)

    def is_crowded(self, events: Arrivals, predictions: Arrivals) -> bool:
        """Tell whether a bound decides what becomes of one of *events*, beside its own prediction.

        *predictions* are those among them. Events of every topic move the clock.
        """
        said = len(events.of(Topic.FEEDBACK))
        if len(self.orphans) + said > self._bounds.orphans:
            return True
        number = len(predictions)
        excess = len(self.pending) + number - self._bounds.pending
        if not number or excess <= 0:
            return False
        if said or number > self._bounds.pending or any(name in self.orphans for name in predictions.ids()):
            return True
        newest = max(self.clock, float(events.times().max()))
        return bool((self.pending.oldest_times(excess) < newest - self.kept_seconds).any())

    def _add(self, predictions: Arrivals, ids: Sequence[str], tally: Tally, *, may_replace: bool) -> bool:
        """Let predictions wait; False, and none does, where one waits already and may not be replaced.

        That is an id whose first event was long forgotten.
        """
        told = predictions.predicted()
        columns = (
            predictions.hashes(),
            predictions.times(),
            self.named(predictions),
            told.outputs,
            told.scores,
        )
        new = Newcomers(ids, *columns)
        evicted = self.pending.add(new, may_replace=may_replace)
        self.count_evicted(evicted or 0, predictions, tally)
        return evicted is not None

    def count_evicted(self, number: int, predictions: Arrivals, tally: Tally) -> None:
        """Count predictions that went so that *predictions* found room."""
        if number:
            self._dropped("pending", predictions.batch.seqs[predictions.places[-number:]].tolist())
            tally.count("evicted_total", "pending", by=number)

    def _put_aside(self, heard: _Heard, predictions: Arrivals, tally: Tally) -> _Heard:
        """Let feedback wait whose prediction comes later in the batch; give the rest."""
        own = where_in(predictions.hashes(), heard.hashes)
        is_ahead = (own >= 0) & (predictions.places[own] > heard.at.places)
        if not is_ahead.any():
            return heard
        for place in np.flatnonzero(is_ahead).tolist():
            self._wait(heard, place, tally)
        return heard.only(np.flatnonzero(~is_ahead))

    def _meet_orphans(
        self,
        predictions: Arrivals,
        ids: Sequence[str],
        clocks: NDArray[np.float64],
        singles: list[tuple[int, Outcome]],
        tally: Tally,
    ) -> None:
        """Match predictions that were just added with the feedback that waited for them."""
        for place, name in enumerate(ids):
            orphans = self.orphans.take(name)
            if orphans is None or self._is_expired(orphans, float(clocks[place]), tally):
                continue
            for feedback in orphans.feedback:
                kept = self.pending.get(name)
                if kept is None:
                    tally.count("orphans_total", self.model)
                else:
                    self._complete(predictions, place, kept, feedback, singles, tally)

    def _follow(self, heard: _Heard, singles: list[tuple[int, Outcome]], tally: Tally) -> Outcomes | None:
        """Match feedback with predictions that wait; what is out of the ordinary goes one by one."""
        places = self.pending.find(heard.hashes)
        there = places >= 0
        predicted = np.zeros(len(places))
        predicted[there] = self.pending.times_at(places[there])
        odd = ~there | (predicted < heard.clocks - self.kept_seconds)
        if len(twice := repeated(heard.hashes)):
            odd |= np.isin(heard.hashes, heard.hashes[twice])
        if odd.any():
            for place in np.flatnonzero(odd).tolist():
                self._take_feedback(heard, place, singles, tally)
            plain = np.flatnonzero(~odd)
            heard, places, predicted = heard.only(plain), places[plain], predicted[plain]
        said_at = heard.at.times()
        in_time = said_at - predicted <= self.label_seconds
        if not in_time.all():
            tally.count("orphans_total", self.model, by=float(np.count_nonzero(~in_time)))
            which = np.flatnonzero(in_time)
            heard, places = heard.only(which), places[which]
            predicted, said_at = predicted[which], said_at[which]
        return self._outcomes(heard, places, predicted, said_at) if len(places) else None

    def _outcomes(
        self,
        heard: _Heard,
        places: NDArray[np.intp],
        predicted: NDArray[np.float64],
        said_at: NDArray[np.float64],
    ) -> Outcomes:
        """Complete the predictions at *places* of those that wait, each with its own feedback."""
        found = self.pending.found(places)
        outcomes = Outcomes(
            heard.at,
            predicted,
            cast("list[str]", found.versions),
            found.outputs,
            found.scores,
            heard.said,
            said_at,
        )
        delays, hashes = np.maximum(said_at - predicted, 0.0), heard.hashes
        is_truth = heard.said.is_truth()
        if not is_truth.all():
            places, hashes, delays = places[is_truth], hashes[is_truth], delays[is_truth]
        self.pending.take(places, hashes)
        self.labelled += len(places)
        self.delays += delays.tolist()
        return outcomes

    def _take_feedback(
        self, heard: _Heard, place: int, singles: list[tuple[int, Outcome]], tally: Tally
    ) -> None:
        feedback, clock = heard.event(place), float(heard.clocks[place])
        kept = self.pending.get(feedback.prediction_id)
        if kept is not None and kept.time < clock - self.kept_seconds:
            self.pending.take_id(feedback.prediction_id)
            self._count_unlabelled(1, tally)
            kept = None
        if kept is None:
            self._wait(heard, place, tally)
        else:
            self._complete(heard.at, place, kept, feedback, singles, tally)

    def _wait(self, heard: _Heard, place: int, tally: Tally) -> None:
        """Let the feedback at *place* wait for its prediction, from now on unless there is older one."""
        feedback, clock = heard.event(place), float(heard.clocks[place])
        waiting = self.orphans.take(feedback.prediction_id)
        if waiting is None or self._is_expired(waiting, clock, tally):
            waiting = Orphans(clock, [])
        waiting.feedback.append(to_keep(feedback))
        evicted = max(0, len(waiting.feedback) - self._bounds.orphan_feedback)
        del waiting.feedback[:evicted]
        evicted += self.orphans.add(feedback.prediction_id, waiting)
        if evicted:
            self._dropped("orphans", [heard.at.seq(place)])
            tally.count("evicted_total", "orphans", by=evicted)

    def _dropped(self, store: str, seqs: list[int]) -> None:
        self.dropping.setdefault(store, []).extend(seqs)

    def _is_expired(self, orphans: Orphans, clock: float, tally: Tally) -> bool:
        """Tell, and count, whether *orphans* waited too long, whether or not a batch has ended since."""
        is_expired = orphans.time < clock - self._orphan_seconds
        if is_expired:
            tally.count("orphans_total", self.model, by=len(orphans.feedback))
        return is_expired

    def _complete(
        self,
        at: Arrivals,
        place: int,
        kept: PredictionKept,
        feedback: Feedback,
        singles: list[tuple[int, Outcome]],
        tally: Tally,
    ) -> None:
        """Make an outcome of one prediction that waits, by the event at *place* of *at*."""
        said_at = feedback.time.timestamp()
        if said_at - kept.time > self.label_seconds:
            tally.count("orphans_total", self.model)
            return
        if says_what_was_true(feedback):
            self.pending.take_id(_id_of(at, place))
            self.labelled += 1
            self.delays.append(max(0.0, said_at - kept.time))
        outcome = Outcome(at[place], max(kept.time, said_at), kept, feedback, said_at)
        singles.append((int(at.places[place]), outcome))

    def _expire(self, tally: Tally) -> None:
        if expired := self.pending.take_oldest_before(self.clock - self.kept_seconds):
            self._count_unlabelled(expired, tally)
        for orphans in self.orphans.take_oldest_before(self.clock - self._orphan_seconds):
            tally.count("orphans_total", self.model, by=len(orphans.feedback))

    def _count_unlabelled(self, number: int, tally: Tally) -> None:
        self.unlabelled += number
        tally.count("unlabelled_total", self.model, by=number)


def _apart(outcomes: Outcomes) -> Outcomes:
    """Tell versions and segments apart, which were put together."""
    outcomes.versions, outcomes.segments = apart(outcomes.versions)
    return outcomes


def _id_of(at: Arrivals, place: int) -> str:
    event = at.batch.events[int(at.places[place])]
    return event.id if isinstance(event, Prediction) else cast("Feedback", event).prediction_id


def _runs(events: Arrivals) -> Iterator[Arrivals]:
    """Cut *events* into runs of one topic; a single run into single events."""
    topics = events.batch.topics[events.places]
    cuts = np.flatnonzero(np.diff(topics)) + 1
    ends = [0, *(cuts.tolist() if len(cuts) else range(1, len(events))), len(events)]
    for start, end in pairwise(ends):
        yield events[start:end]


def _in_order(
    events: Arrivals, together: Outcomes | None, singles: Sequence[tuple[int, Outcome]]
) -> Iterator[Outcomes]:
    """Give outcomes in the order of the events that completed them."""
    if not singles:
        if together is not None:
            yield together
        return
    found = list(singles)
    if together is not None:
        found += zip(together.at.places.tolist(), together, strict=True)
    found.sort(key=lambda one: one[0])
    yield Outcomes.of(events.batch, found)
