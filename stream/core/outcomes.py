"""Outcomes: predictions with what was said of them, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, NamedTuple, cast, overload

import numpy as np
from numpy.typing import NDArray

from schemas.events import Feedback
from stream.core.columns import Arrivals, Batch
from stream.core.contents import Said
from stream.core.nouns import Outcome, PredictionKept
from stream.core.scalars import Numbers, Scalars, numbers_of


class Joint(NamedTuple):
    """Outcomes of several models in columns of one length: what is read of them.

    *places* are those, in their batch, of the events that completed them; *times*, in seconds since the
    epoch, are when both sides were there. *segments* are None where no prediction is in any.
    """

    places: NDArray[np.intp]
    times: NDArray[np.float64]
    outputs: Scalars
    said: Said
    segments: Sequence[tuple[str, ...]] | None


@dataclass(slots=True)
class Outcomes(Sequence[Outcome]):
    """Outcomes of one model in the order in which they were completed, in columns of one length.

    *at* are the events that completed them. Times are in seconds since the epoch: *times* when both sides
    were there, *predicted* and *said_at* when the prediction and the feedback were. *segments* are those that
    predictions are in; None where none is in any. *feedback* are the events themselves, where these are not
    the ones that completed the outcomes.
    """

    at: Arrivals
    predicted: NDArray[np.float64]
    versions: list[str]
    outputs: Scalars
    scores: Numbers
    said: Said
    said_at: NDArray[np.float64]
    segments: list[tuple[str, ...]] | None = None
    feedback: list[Feedback] | None = None

    @property
    def times(self) -> NDArray[np.float64]:
        """When both sides of each outcome were there."""
        return np.maximum(self.predicted, self.said_at)

    @classmethod
    def of(cls, batch: Batch, found: Sequence[tuple[int, Outcome]]) -> Outcomes:
        """Put outcomes, each with the place in *batch* of the event that completed it, into columns."""
        feedback = [one.feedback for _, one in found]
        return cls(
            Arrivals(batch, np.array([place for place, _ in found], dtype=np.intp)),
            np.array([one.prediction.time for _, one in found], dtype=np.float64),
            cast("list[str]", [one.prediction.version for _, one in found]),  # set apart by the join
            Scalars.of([one.prediction.output for _, one in found]),
            numbers_of([one.prediction.score for _, one in found]),
            Said.of(feedback),
            np.array([one.feedback_time for _, one in found], dtype=np.float64),
            feedback=feedback,
        )

    def __len__(self) -> int:
        return len(self.versions)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> list[Outcome]: ...
    def __getitem__(self, index: int | slice) -> Outcome | list[Outcome]:
        """Give one outcome as an object."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        predicted, said_at, score = (
            float(column[index]) for column in (self.predicted, self.said_at, self.scores)
        )
        output = self.outputs.at(index)
        kept = PredictionKept(predicted, self.versions[index], output, None if isnan(score) else score)
        feedback = cast("Feedback", self.at.event(index)) if self.feedback is None else self.feedback[index]
        return Outcome(self.at[index], max(predicted, said_at), kept, feedback, said_at)

    def own(self) -> Outcomes:
        """Give them in columns of their own, as they are."""
        return self

    def only(self, which: Sequence[int]) -> Outcomes:
        """Give the part at the places *which*."""
        places = np.array(which, dtype=np.intp)
        return Outcomes(
            self.at.only(places),
            self.predicted[places],
            [self.versions[place] for place in which],
            self.outputs.take(places),
            self.scores[places],
            self.said.take(places),
            self.said_at[places],
            self.segments and [self.segments[place] for place in which],
            self.feedback and [self.feedback[place] for place in which],
        )


@dataclass(slots=True)
class Share:
    """Outcomes of one model among those of several, *whole*: those from *start* to before *stop*.

    *at* are the model's events that completed them. What is done with the outcomes of all models at once
    needs no columns for each.
    """

    whole: Outcomes
    start: int
    stop: int
    at: Arrivals

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def versions(self) -> list[str]:
        """The versions of their predictions."""
        return self.whole.versions[self.start : self.stop]

    def own(self) -> Outcomes:
        """Give them in columns of their own."""
        whole, own = self.whole, slice(self.start, self.stop)
        return Outcomes(
            self.at,
            whole.predicted[own],
            whole.versions[own],
            whole.outputs.take(own),
            whole.scores[own],
            whole.said.take(own),
            whole.said_at[own],
        )


def joined(parts: Sequence[Outcomes | Share]) -> Joint:
    """Give the columns of *parts* one behind the other, which are of one batch."""
    if (whole := _whole(parts)) is not None:
        return Joint(whole.at.places, whole.times, whole.outputs, whole.said, None)
    own = [part.own() for part in parts]
    segments: list[tuple[str, ...]] = []
    if any(part.segments is not None for part in own):
        segments = [one for part in own for one in part.segments or [()] * len(part)]
    return Joint(
        _concatenated([part.at.places for part in own], np.intp),
        _concatenated([part.times for part in own], np.float64),
        Scalars.joined([part.outputs for part in own]),
        Said.joined([part.said for part in own]),
        segments or None,
    )


def _whole(parts: Sequence[Outcomes | Share]) -> Outcomes | None:
    """Give the outcomes that *parts*, in order, are all the shares of; None where there are none."""
    if not parts or not isinstance(parts[0], Share):
        return None
    whole, stop = parts[0].whole, 0
    for part in parts:
        if not isinstance(part, Share) or part.whole is not whole or part.start != stop:
            return None
        stop = part.stop
    return whole if stop == len(whole) else None


def _concatenated(parts: Sequence[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
