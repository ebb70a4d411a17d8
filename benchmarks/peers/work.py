"""The work that every peer does: 8 signals, river's ADWIN and PageHinkley over each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
from river import drift

from benchmarks.processes import rates, report
from schemas.events import Feedback, Prediction

decode_prediction: Final = msgspec.json.Decoder(Prediction).decode
decode_feedback: Final = msgspec.json.Decoder(Feedback).decode

SIGNALS: Final = 8


class Watch:
    """Sixteen detectors; *found* counts what they saw."""

    def __init__(self) -> None:
        self.pairs = [(drift.ADWIN(), drift.PageHinkley()) for _ in range(SIGNALS)]
        self.found = 0

    def prediction(self, event: Prediction) -> None:
        """Show the seven signals of a prediction."""
        features, usage = event.features, event.usage
        assert features is not None  # noqa: S101 - the load has them all
        assert usage is not None  # noqa: S101
        values = (
            features["amount"],
            features["age"],
            features["hour"],
            features["n"],
            event.score,
            usage.latency_ms,
            event.output,
        )
        for value, (adwin, page_hinkley) in zip(values, self.pairs, strict=False):
            adwin.update(value)
            page_hinkley.update(value)
            self.found += adwin.drift_detected + page_hinkley.drift_detected

    def error(self, value: int) -> None:
        """Show the error of an outcome."""
        adwin, page_hinkley = self.pairs[-1]
        adwin.update(value)
        page_hinkley.update(value)
        self.found += adwin.drift_detected + page_hinkley.drift_detected


class JoinedWatch:
    """Joins predictions with labels in dictionaries, watches both, and calls *done* after *units* labels."""

    def __init__(self, units: int, done: Callable[[], None]) -> None:
        self._units = units
        self._done = done
        self._watch = Watch()
        self._pending: dict[str, object] = {}
        self._orphans: dict[str, object] = {}
        self._left = units
        self._began: tuple[float, float] | None = None

    def prediction(self, raw: bytes) -> None:
        """Take a record of the predictions."""
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()
        event = decode_prediction(raw)
        self._watch.prediction(event)
        if event.id in self._orphans:
            self._outcome(event.output, self._orphans.pop(event.id))
        else:
            self._pending[event.id] = event.output

    def feedback(self, raw: bytes) -> None:
        """Take a record of the feedback."""
        if self._began is None:
            self._began = time.perf_counter(), time.process_time()
        event = decode_feedback(raw)
        if event.prediction_id in self._pending:
            self._outcome(self._pending.pop(event.prediction_id), event.label)
        else:
            self._orphans[event.prediction_id] = event.label

    def _outcome(self, output: object, label: object) -> None:
        self._watch.error(int(output != label))
        self._left -= 1
        if self._left == 0:
            assert self._began is not None  # noqa: S101 - something came first
            wall, cpu = self._began
            report(
                rates(
                    units=self._units,
                    records=2 * self._units,
                    seconds=time.perf_counter() - wall,
                    cpu_seconds=time.process_time() - cpu,
                )
            )
            self._done()
