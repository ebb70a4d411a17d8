"""One model's part of a pipeline: its stages with their state, and the rows that state is kept in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from schemas.alerts import Kind
from schemas.events import Prediction
from schemas.policy import Policy
from stream.core.detect import Watch
from stream.core.errors import UnreadableRowError
from stream.core.incident import Change, Incidents
from stream.core.intake import Admission
from stream.core.join import Join
from stream.core.nouns import UNVERSIONED, Admitted, Outcome, SeriesKey, Tally, Topic
from stream.core.observe import Column, Observer, Shape
from stream.core.ports import DetectorFactory

RowKey = tuple[str, ...]
"""What a row holds, the model, and what of the model: ``("series", model, version, segment, signal)``."""


class Summary(msgspec.Struct, array_like=True):
    """The small state of a model: its clocks, its counts, and when each version was last seen."""

    newest: dict[str, float]
    clock: float
    labelled: int
    unlabelled: int
    versions: dict[str, int]
    last_seq: int


_encode = msgspec.msgpack.Encoder().encode
_decode_summary = msgspec.msgpack.Decoder(Summary).decode
_decode_shape = msgspec.msgpack.Decoder(Shape).decode


class Model:
    """All that a pipeline knows of one model, and the way of its events through the stages."""

    def __init__(self, name: str, policy: Policy, factory: DetectorFactory, prefix: str) -> None:
        self.name = name
        self.last_seq = 0
        self._policy = policy
        self._prefix = prefix
        self._versions: dict[str, Observer] = {}
        self._version_seq: dict[str, int] = {}
        self.admission = Admission(policy)
        self._join = Join(name, policy)
        self._watch = Watch(policy, factory)
        self.incidents = Incidents(name, policy)

    def knows(self, version: str) -> bool:
        """Tell whether *version* has been met, and has not been evicted since."""
        return version in self._versions

    def is_full(self) -> bool:
        """Tell whether a further version makes another one go."""
        return len(self._versions) >= self._policy.bounds.versions

    def meet(self, version: str, seq: int) -> None:
        """Take note of a prediction of *version* by the event with number *seq*."""
        if version not in self._versions:
            self._versions[version] = Observer(self.name, version, self._policy)
            self._versions[version].changed = True
        self._version_seq[version] = seq

    def evict_version(self, seq: int) -> tuple[list[RowKey], list[Change]]:
        """Forget the version that was seen least lately; give its rows and its incidents, now closed."""
        version = min(self._version_seq, key=self._version_seq.__getitem__)
        del self._version_seq[version], self._versions[version]
        gone = self._watch.forget(version)
        closed = [Change(seq, None, incident) for incident in self.incidents.close_unwatched(gone)]
        keys: list[RowKey] = [("shape", self.name, version)]
        return keys + [("series", *key) for key in gone], closed

    def step(self, events: Sequence[Admitted], tally: Tally) -> list[Change]:
        """Lead *events* through the stages; give what became of the model's incidents, in order."""
        outcomes = self._join.match(events, tally)
        watched = self._watch.watch(self._columns(events, outcomes, tally), tally)
        return self.incidents.follow(watched, self._prefix)

    def _columns(
        self, events: Sequence[Admitted], outcomes: Sequence[Outcome], tally: Tally
    ) -> Iterator[Column]:
        predictions: dict[str, list[Admitted]] = {}
        for at in events:
            if isinstance(at.event, Prediction):
                predictions.setdefault(at.event.version or UNVERSIONED, []).append(at)
        for version, of_version in predictions.items():
            yield from self._versions[version].read_predictions(of_version, tally)
        completed: dict[str, list[Outcome]] = {}
        for outcome in outcomes:
            completed.setdefault(outcome.prediction.version, []).append(outcome)
        for version, outcomes_of_version in completed.items():
            if version in self._versions:
                yield from self._versions[version].read_outcomes(outcomes_of_version)

    def gauges(self, tally: Tally) -> None:
        """Tell what stands: the newest event; and every counter of alerts, so that its first rise is seen."""
        if newest := max(self.admission.newest.values()):
            tally.gauge("last_event_timestamp_seconds", self.name, value=newest)
        self._join.gauges(tally)
        for kind in Kind:
            severity = self._policy.alerting.severity.of(kind)
            tally.count("alerts_total", self.name, kind.value, severity.value, by=0.0)
            tally.count("incidents_total", self.name, kind.value, severity.value, by=0.0)

    def rows(self) -> Iterator[tuple[RowKey, bytes | None]]:
        """Give the rows that changed since the last call."""
        yield ("model", self.name), _encode(
            Summary(
                newest={topic.suffix: newest for topic, newest in self.admission.newest.items()},
                clock=self._join.clock,
                labelled=self._join.labelled,
                unlabelled=self._join.unlabelled,
                versions=self._version_seq,
                last_seq=self.last_seq,
            )
        )
        for topic, seen in self.admission.seen.items():
            for number, row in seen.rows().items():
                yield ("seen", self.name, topic.suffix, number), row
        for number, row in self._join.pending.rows().items():
            yield ("pending", self.name, number), row
        for number, row in self._join.orphans.rows().items():
            yield ("orphans", self.name, number), row
        for version, observer in self._versions.items():
            if observer.changed:
                observer.changed = False
                yield ("shape", self.name, version), _encode(observer.shape)
        for key, series in self._watch.rows().items():
            yield ("series", *key), series
        for key, incident in self.incidents.rows().items():
            yield ("incident", *key), incident

    def restore(self, rows: dict[RowKey, bytes]) -> list[RowKey]:
        """Take the rows that :meth:`rows` gave; give the keys of those that could not be read.

        What such a row held has to be learned again.
        """
        unreadable: list[RowKey] = []
        chunks: dict[tuple[str, str], dict[str, bytes]] = {}
        for key in sorted(rows):
            try:
                match key:
                    case ("model", _):
                        self._restore_summary(rows[key])
                    case ("seen", _, topic, number):
                        chunks.setdefault(("seen", topic), {})[number] = rows[key]
                    case ("pending" | "orphans" as store, _, number):
                        chunks.setdefault((store, ""), {})[number] = rows[key]
                    case ("shape", _, version):
                        self._observer(version).shape = _decode_shape(rows[key])
                    case ("series", model, version, segment, signal):
                        self._watch.restore(SeriesKey(model, version, segment, signal), rows[key])
                    case ("incident", model, version, segment, signal):
                        self.incidents.restore(SeriesKey(model, version, segment, signal), rows[key])
                    case _:
                        unreadable.append(key)
            except (UnreadableRowError, msgspec.DecodeError):
                unreadable.append(key)
        for (store, topic), of_store in chunks.items():
            unreadable += self._restore_chunks(store, topic, of_store)
        return unreadable

    def _restore_summary(self, row: bytes) -> None:
        summary = _decode_summary(row)
        self.admission.newest.update(
            {topic: summary.newest[topic.suffix] for topic in Topic if topic.suffix in summary.newest}
        )
        self._join.clock = summary.clock
        self._join.labelled = summary.labelled
        self._join.unlabelled = summary.unlabelled
        self.last_seq = summary.last_seq
        for version, seq in summary.versions.items():
            self._observer(version)
            self._version_seq[version] = seq

    def _observer(self, version: str) -> Observer:
        if version not in self._versions:
            self._versions[version] = Observer(self.name, version, self._policy)
            self._version_seq.setdefault(version, 0)
        return self._versions[version]

    def _restore_chunks(self, store: str, topic: str, rows: dict[str, bytes]) -> list[RowKey]:
        stores = {"pending": self._join.pending, "orphans": self._join.orphans}
        target = (
            next(seen for known, seen in self.admission.seen.items() if known.suffix == topic)
            if store == "seen"
            else stores[store]
        )
        label = (store, self.name, topic) if topic else (store, self.name)
        try:
            target.restore(rows)
        except (msgspec.DecodeError, ValueError):
            return [(*label, number) for number in rows]
        return []
