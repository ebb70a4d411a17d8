"""Columns: the events of a step are there for its length, and no longer."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import pytest

from schemas.events import Event, Feedback, FeedbackKind, Prediction
from stream.core.columns import Batch
from stream.core.nouns import Admitted, Record, Topic

_TIME = datetime(2026, 11, 21, tzinfo=UTC)
_PREDICTION = Prediction(id="p-1", model="m", time=_TIME)
_LABEL = Feedback(id="f-1", prediction_id="p-1", model="m", time=_TIME, kind=FeedbackKind.LABEL, label=1)


def a_batch(*events: Event) -> Batch:
    topics = [Topic.PREDICTIONS if isinstance(event, Prediction) else Topic.FEEDBACK for event in events]
    return Batch.of(
        [
            Admitted(seq, 1.0, event, Record(topic, 0, seq, 1.0, b""))
            for seq, (event, topic) in enumerate(zip(events, topics, strict=True))
        ]
    )


@pytest.mark.parametrize("events", [(_PREDICTION,), (_PREDICTION, _LABEL)])
def test_events_by_their_topics_are_let_go_of_without_a_garbage_collection(events: tuple[Event, ...]) -> None:
    gc.collect()
    gc.disable()
    try:
        arrivals = a_batch(*events).all()
        assert sum(map(len, arrivals.by_topic().values())) == len(events)
        del arrivals
        assert gc.collect() == 0
    finally:
        gc.enable()
