"""One model's part of a pipeline: its stages with their state, and the rows that state is kept in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Kind
from schemas.events import Prediction
from schemas.policy import Policy
from stream.core.admission import Admission
from stream.core.alert import decide
from stream.core.bounds import bound_key, watch_bound
from stream.core.columns import Arrivals, Outcomes
from stream.core.detect import Banks, Watch
from stream.core.incident import Incidents
from stream.core.join import Join, Orphans
from stream.core.nouns import UNVERSIONED, Change, Column, Explanation, SeriesKey, Tally, Topic, Watched
from stream.core.observe import Observer, Shape
from stream.core.pending import Pending, Waiting
from stream.core.rows import UNREADABLE, Moment, Number
from stream.core.seen import SeenIds

RowKey = tuple[str, ...]
"""What a row holds, the model, and what of the model: ``("series", model, version, segment, signal)``."""


class Summary(msgspec.Struct, array_like=True):
    """The small state of a model: its clocks, its counts, and when each version was last seen."""

    newest: dict[str, Moment]
    clock: Moment
    labelled: Number
    unlabelled: Number
    versions: dict[str, Number]
    last_seq: Number


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_summary = msgspec.msgpack.Decoder(Summary).decode
_decode_shape = msgspec.msgpack.Decoder(Shape).decode


class Model:
    """All that a pipeline knows of one model, and the way of its events through the stages."""

    def __init__(self, name: str, policy: Policy, banks: Banks, prefix: str) -> None:
        self.name = name
        self.last_seq = 0
        self._policy = policy
        self._prefix = prefix
        self._versions: dict[str, Observer] = {}
        self._version_seq: dict[str, int] = {}
        self.admission = Admission(name, policy)
        self._join = Join(name, policy)
        self._watch = Watch(policy, banks)
        self.incidents = Incidents(policy, decide)
        self._dropping: list[int] = []

    def saw(self, versions: Sequence[str], seqs: NDArray[np.int64]) -> bool:
        """Take note of predictions of *versions* by the events numbered *seqs*; False where one is new."""
        newest = dict.fromkeys(versions)
        if not newest.keys() <= self._version_seq.keys():
            return False
        if len(newest) == 1:
            self._version_seq[versions[0]] = int(seqs[-1])
        else:
            self._version_seq.update(zip(versions, seqs.tolist(), strict=True))
        return True

    def is_full(self) -> bool:
        """Tell whether a further version makes another one go."""
        return len(self._versions) >= self._policy.bounds.versions

    def meet(self, version: str, seq: int) -> None:
        """Get to know *version*, by the event with number *seq*."""
        self._versions[version] = Observer(self.name, version, self._policy)
        self._versions[version].changed = True
        self._version_seq[version] = seq

    def evict_version(self, seq: int) -> tuple[list[RowKey], list[Change]]:
        """Forget the version that was seen least lately; give its rows and its incidents, now closed."""
        version = min(self._version_seq, key=self._version_seq.__getitem__)
        self._dropping.append(seq)
        del self._version_seq[version], self._versions[version]
        gone = self._watch.forget(version)
        closed = [Change(seq, None, incident) for incident in self.incidents.close_unwatched(version)]
        keys: list[RowKey] = [("shape", self.name, version)]
        return keys + [("series", *key) for key in gone], closed

    def close(self, seq: int) -> list[Change]:
        """Let go of every series and close what is open: the model is watched no longer."""
        self._watch.forget()
        return [Change(seq, None, incident) for incident in self.incidents.close_unwatched()]

    def step(self, events: Arrivals, tally: Tally) -> list[Change]:
        """Lead *events* through the stages; give what became of the model's incidents, in order."""
        clock = self._join.clock
        outcomes = self._join.match(events, tally)
        watched = self._watch.watch(self._columns(events, outcomes, tally), tally)
        watched += self._watch_bounds(events, clock, tally)
        return self.incidents.follow(watched, self._prefix)

    def _watch_bounds(self, events: Arrivals, clock: float, tally: Tally) -> Iterator[Watched]:
        """Give what the stores of names dropped, where they did or an incident of theirs is open."""
        bounds = self._policy.bounds
        stores = {"versions": (self._dropping, bounds.versions)}
        features: list[int] = []
        for observer in self._versions.values():
            if observer.dropping:
                features += observer.dropping
                observer.dropping = []
        stores["features"] = features, bounds.features
        self._dropping = []
        if not self._policy.signals.bounds:
            return
        for store, (dropping, bound) in stores.items():
            key = bound_key(store, self.name)
            if dropping or self.incidents.is_open(key):
                yield watch_bound(key, bound, events, dropping, clock, tally)

    def _columns(self, events: Arrivals, outcomes: Sequence[Outcomes], tally: Tally) -> Iterator[Column]:
        predictions = events.of(Topic.PREDICTIONS)
        given = cast("list[Prediction]", predictions.events())
        versions = [event.version or UNVERSIONED for event in given]
        for version, places in _by_version(versions).items():
            of_version = predictions if places is None else predictions.only(np.array(places))
            yield from self._versions[version].read_predictions(of_version, tally)
        completed: dict[str, list[Outcomes]] = {}
        for part in outcomes:
            for version, places in _by_version(part.versions).items():
                completed.setdefault(version, []).append(part if places is None else part.only(places))
        for version, parts in completed.items():
            if version in self._versions:
                for part in parts:
                    yield from self._versions[version].read_outcomes(part)

    def explain(self) -> list[tuple[SeriesKey, Explanation]]:
        """Say how every series is watched now, in the order of their keys."""
        return self._watch.explain()

    def gauges(self, tally: Tally) -> None:
        """Tell what stands: the newest event, the open incidents, the labels that came.

        Every counter of alerts is shown from the start, so that its first rise is seen.
        """
        if newest := max(self.admission.newest.values()):
            tally.gauge("last_event_timestamp_seconds", self.name, value=newest)
        self._join.gauges(tally)
        for kind in Kind:
            severity = self._policy.alerting.severity.of(kind)
            tally.count("alerts_total", self.name, kind.value, severity.value, by=0.0)
            tally.count("incidents_total", self.name, kind.value, severity.value, by=0.0)
            tally.gauge("incidents_open", self.name, kind.value, severity.value, value=0.0)
        for incident in self.incidents.open_incidents():
            key = ("incidents_open", (self.name, incident.kind.value, incident.severity.value))
            tally.gauges[key] = tally.gauges.get(key, 0.0) + 1.0

    def rows(self) -> Iterator[tuple[RowKey, bytes | None]]:
        """Give the rows that changed since the last call."""
        yield (
            ("model", self.name),
            _encode(
                Summary(
                    newest={topic.suffix: newest for topic, newest in self.admission.newest.items()},
                    clock=self._join.clock,
                    labelled=self._join.labelled,
                    unlabelled=self._join.unlabelled,
                    versions=self._version_seq,
                    last_seq=self.last_seq,
                )
            ),
        )
        for key, store in self._stores().items():
            for number, row in store.rows().items():
                yield (*key, number), row
        for version, observer in self._versions.items():
            if observer.changed:
                observer.changed = False
                yield ("shape", self.name, version), _encode(observer.shape)
        for series, row in self._watch.rows().items():
            yield ("series", *series), row
        for series, held in self.incidents.rows().items():
            yield ("incident", *series), held

    def restore(self, rows: dict[RowKey, bytes]) -> list[RowKey]:
        """Take the rows that :meth:`rows` gave; give the keys of those that could not be read.

        What such a row held has to be learned again.
        """
        unreadable: list[RowKey] = []
        chunks: dict[RowKey, dict[str, bytes]] = {}
        for key in sorted(rows):
            try:
                match key:
                    case ("model", _):
                        self._restore_summary(rows[key])
                    case ("seen", _, _, number) | ("pending" | "orphans", _, number):
                        chunks.setdefault(key[:-1], {})[number] = rows[key]
                    case ("shape", _, version):
                        self._observer(version).shape = _decode_shape(rows[key])
                    case ("series", model, version, segment, signal):
                        self._observer(version)
                        self._watch.restore(SeriesKey(model, version, segment, signal), rows[key])
                    case ("incident", model, version, segment, signal):
                        if version:  # a bound's incident is of none
                            self._observer(version)
                        self.incidents.restore(SeriesKey(model, version, segment, signal), rows[key])
                    case _:
                        unreadable.append(key)
            except UNREADABLE:
                unreadable.append(key)
        self.incidents.let_go(self._watch)
        stores = self._stores()
        for key, of_store in chunks.items():
            store = stores.get(key)
            numbers = list(of_store) if store is None else store.restore(of_store)
            unreadable += [(*key, number) for number in numbers]
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

    def _stores(self) -> dict[RowKey, SeenIds | Pending | Waiting[Orphans]]:
        """Give the stores that are kept in chunks, by what their rows' keys begin with."""
        return {
            **{("seen", self.name, topic.suffix): seen for topic, seen in self.admission.seen.items()},
            ("pending", self.name): self._join.pending,
            ("orphans", self.name): self._join.orphans,
        }


def _by_version(versions: Sequence[str]) -> dict[str, list[int] | None]:
    """Give the places of each version, in order; None for the only one."""
    different = dict.fromkeys(versions)
    if len(different) <= 1:
        return dict(different)
    places: dict[str, list[int]] = {version: [] for version in different}
    for place, version in enumerate(versions):
        places[version].append(place)
    return dict(places)
