"""Join: a prediction and the feedback that concerns it make an outcome, whichever comes first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.events import Feedback, Prediction
from schemas.policy import Policy
from stream.core.nouns import UNVERSIONED, Admitted, Outcome, PredictionKept, Tally, says_what_was_true
from stream.core.pending import Waiting

ORPHAN_FEEDBACK_MAX = 100
"""Feedback on one prediction that waits for it; what comes beyond that makes the oldest go."""


class Orphans(NamedTuple):
    """Feedback on one prediction that has not come; *time* is the model's clock when the first arrived."""

    time: float
    feedback: list[Feedback]


class Join:
    """Matches the events of one model.

    A prediction waits ``label_seconds`` for its label, feedback ``orphan_seconds`` for its prediction, on the
    clock of the model's events: the newest time that was seen. What waits too long counts as "label never
    came" or as an orphan; what finds no room is evicted, oldest first.
    """

    def __init__(self, model: str, policy: Policy) -> None:
        self._model = model
        self._label_seconds = policy.horizons.label_seconds
        self._orphan_seconds = policy.horizons.orphan_seconds
        self.pending: Waiting[PredictionKept] = Waiting(policy.bounds.pending, PredictionKept)
        self.orphans: Waiting[Orphans] = Waiting(policy.bounds.orphans, Orphans)
        self.clock = 0.0
        self.labelled = 0
        self.unlabelled = 0
        self._delays: list[float] = []

    def match(self, events: Sequence[Admitted], tally: Tally) -> list[Outcome]:
        """Take predictions and feedback in the log's order; give the outcomes they complete, in order."""
        outcomes: list[Outcome] = []
        for at in events:
            self.clock = max(self.clock, at.time)
            event = at.event
            if type(event) is Prediction:
                self._take_prediction(at, event, outcomes, tally)
            elif type(event) is Feedback:
                self._take_feedback(at, event, outcomes, tally)
        self._expire(tally)
        tally.count("outcomes_total", self._model, by=len(outcomes))
        if self._delays:
            tally.observations["label_delay_seconds", (self._model,)] += self._delays
            self._delays = []
        return outcomes

    def gauges(self, tally: Tally) -> None:
        """Tell what stands: predictions that wait, and the share of labels that came of those that ended."""
        tally.gauge("pending_predictions", self._model, value=len(self.pending))
        if ended := self.labelled + self.unlabelled:
            tally.gauge("label_coverage_ratio", self._model, value=self.labelled / ended)

    def _take_prediction(
        self, at: Admitted, event: Prediction, outcomes: list[Outcome], tally: Tally
    ) -> None:
        kept = PredictionKept(at.time, event.version or UNVERSIONED, event.output, event.score)
        if evicted := self.pending.add(event.id, kept):
            tally.count("evicted_total", "pending", by=evicted)
        orphans = self.orphans.take(event.id)
        if orphans is None:
            return
        if self._is_expired(orphans, tally):
            return
        for feedback in orphans.feedback:
            if event.id in self.pending:
                self._complete(at, event.id, kept, feedback, outcomes, tally)
            else:
                tally.count("orphans_total", self._model)

    def _take_feedback(self, at: Admitted, event: Feedback, outcomes: list[Outcome], tally: Tally) -> None:
        prediction_id = event.prediction_id
        kept = self.pending.get(prediction_id)
        if kept is not None and kept.time < self.clock - self._label_seconds:
            self.pending.take(prediction_id)
            self._count_unlabelled(1, tally)
            kept = None
        if kept is not None:
            self._complete(at, prediction_id, kept, event, outcomes, tally)
            return
        waiting = self.orphans.take(prediction_id)
        if waiting is None or self._is_expired(waiting, tally):
            waiting = Orphans(self.clock, [])
        waiting.feedback.append(event)
        evicted = max(0, len(waiting.feedback) - ORPHAN_FEEDBACK_MAX)
        del waiting.feedback[:evicted]
        evicted += self.orphans.add(prediction_id, waiting)
        if evicted:
            tally.count("evicted_total", "orphans", by=evicted)

    def _is_expired(self, orphans: Orphans, tally: Tally) -> bool:
        """Tell, and count, whether *orphans* waited too long, whether or not a batch has ended since."""
        is_expired = orphans.time < self.clock - self._orphan_seconds
        if is_expired:
            tally.count("orphans_total", self._model, by=len(orphans.feedback))
        return is_expired

    def _complete(
        self,
        at: Admitted,
        prediction_id: str,
        kept: PredictionKept,
        feedback: Feedback,
        outcomes: list[Outcome],
        tally: Tally,
    ) -> None:
        feedback_time = feedback.time.timestamp()
        if feedback_time - kept.time > self._label_seconds:
            tally.count("orphans_total", self._model)
            return
        if says_what_was_true(feedback):
            self.pending.take(prediction_id)
            self.labelled += 1
            self._delays.append(max(0.0, feedback_time - kept.time))
        outcomes.append(Outcome(at, max(kept.time, feedback_time), kept, feedback, feedback_time))

    def _expire(self, tally: Tally) -> None:
        expired = self.pending.take_oldest_before(self.clock - self._label_seconds)
        if expired:
            self._count_unlabelled(len(expired), tally)
        for orphans in self.orphans.take_oldest_before(self.clock - self._orphan_seconds):
            tally.count("orphans_total", self._model, by=len(orphans.feedback))

    def _count_unlabelled(self, number: int, tally: Tally) -> None:
        self.unlabelled += number
        tally.count("unlabelled_total", self._model, by=number)
