"""One model's part of a pipeline: its stages with their state, and the rows that state is kept in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from schemas.alerts import Incident, Kind
from schemas.baselines import PublishedBaseline
from schemas.events import LifecycleKind
from schemas.policy import Policy
from stream.core.admission import Admission
from stream.core.alert import decide
from stream.core.baselines import Act, Published, acts_in
from stream.core.bounds import STORES, bound_key, watch_bound
from stream.core.columns import Arrivals
from stream.core.detect import Banks
from stream.core.forms import Shape, column_of, series_of
from stream.core.incident import Incidents
from stream.core.join import Join, Orphans
from stream.core.nouns import Change, Explanation, SeriesKey, Tally, Topic, Watched
from stream.core.observe import Observer
from stream.core.outcomes import Outcomes, Share
from stream.core.pending import Pending
from stream.core.portions import Portion, behind_acts, portions
from stream.core.reading import Source
from stream.core.rows import UNREADABLE, Moment, Number
from stream.core.seen import SeenIds
from stream.core.shared import Shared
from stream.core.waiting import Waiting

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

    def __init__(self, name: str, policy: Policy, banks: Banks, shared: Shared, prefix: str) -> None:
        self.name = name
        self.last_seq = 0
        self._policy = policy
        self._prefix = prefix
        self._versions: dict[str, Observer] = {}
        self._version_seq: dict[str, int] = {}
        self._droppers: set[str] = set()
        self.admission = Admission(name, policy, shared.seen)
        self.join = Join(name, policy, shared.standing)
        self.sight = banks.of(policy)
        self.incidents = Incidents(policy, decide)
        self._published = Published(policy.bounds.baselines)

    def enter(self, events: Arrivals, outcomes: Sequence[Outcomes | Share], clock: float) -> list[Portion]:
        """Take note of *events*, all of them taken, and of the *outcomes* that they complete.

        *clock*, in seconds since the epoch, is where the join's stood before them. Gives the portions that go
        through the stages behind the join.
        """
        self.last_seq = int(events.batch.seqs[events.places[-1]])
        bound, whole = self._policy.bounds.versions, Portion(events, outcomes, clock)
        if acts := acts_in(events):
            return behind_acts(whole, acts, self._version_seq, bound)
        return portions(whole, self._version_seq, bound)

    def source(self, portion: Portion) -> Source:
        """Give what is to be read of *portion*; versions that come in it are watched from now on."""
        for version in portion.coming:
            self._versions[version] = self._new_observer(version)
            self._versions[version].changed = True
        return Source(self._versions, portion.events, portion.outcomes)

    def follow(
        self, portion: Portion, watched: Sequence[Watched], tally: Tally
    ) -> tuple[list[Change], list[RowKey]]:
        """Take what was read and found in *portion*; versions that have to go are watched no longer.

        Gives what became of the model's incidents, those closed by an event before those it opened, and the
        keys of rows that are void.
        """
        parts = [*watched, *self._watch_bounds(portion, tally)] if self._is_dropping(portion) else watched
        changes: list[Change] = []
        if parts or portion.going:
            changes = self.incidents.follow(parts, self._prefix, going=portion.going)
        for part in watched:
            key = part.spec.key
            alarming = self._versions[key.version].alarming
            column = column_of(key.signal, key.segment)
            (alarming.add if self.incidents.is_open(key) else alarming.discard)(column)
        void: list[RowKey] = []
        for version in portion.going:
            void.append(("shape", self.name, version))
            void += [("series", *key) for key in self.sight.watch.forget(self._versions.pop(version))]
            tally.count("evicted_total", "versions")
        if portion.act is not None:
            changes += self._do(portion.act, tally)
        return changes, void

    def _do(self, act: Act, tally: Tally) -> list[Change]:
        """Do to the baselines of series what a lifecycle event says; give the incidents that this changed.

        What is accepted is what changed: series without an open incident have nothing to accept.
        """
        kind, is_accepted = act.event.kind, act.event.kind is LifecycleKind.BASELINE_ACCEPTED
        self._published.add(act, tally)
        given = {(one.segment, one.signal): one for one in act.event.baselines or ()}
        said: dict[SeriesKey, str] = {}
        for _, observer in sorted(self._versions.items()):
            for signal, slot in sorted(observer.series.items()):
                key = observer.key(signal)
                is_meant = act.concerns(key) and (not given or key[2:] in given)
                if is_meant and (not is_accepted or self.incidents.is_moving(key)):
                    done = self.sight.watch.exchange(slot, kind, given.get(key[2:]))
                    if done.is_new or not given:
                        said[key] = done.said(key)
        tally.count("baselines_total", self.name, kind.value, by=len(said))
        if kind is LifecycleKind.BASELINE_FROZEN:
            return []
        changes = self.incidents.accept(said, act.time, act.by, act.seq)
        for observer in self._versions.values():
            observer.alarming = {
                one for one in observer.alarming if self.incidents.is_open(observer.key(one))
            }
        return changes

    def close(self) -> list[Incident]:
        """Let go of every series and close what is open: the model is watched no longer."""
        for observer in self._versions.values():
            self.sight.watch.forget(observer)
        self.admission.release()
        self.join.release()
        return self.incidents.close_unwatched()

    def _is_dropping(self, portion: Portion) -> bool:
        """Tell whether full stores drop something, or did and have an open incident."""
        return bool(portion.going or self._droppers or self.join.dropping or len(self.incidents))

    def _watch_bounds(self, portion: Portion, tally: Tally) -> Iterator[Watched]:
        """Give what full stores dropped, where they did or an incident of theirs is open."""
        dropping = self._dropping(portion)
        if not self._policy.signals.bounds:
            return
        for store in STORES:
            key = bound_key(store, self.name)
            if store in dropping or self.incidents.is_open(key):
                bound = getattr(self._policy.bounds, store)
                yield watch_bound(key, bound, portion.events, dropping.get(store, ()), portion.clock, tally)

    def _dropping(self, portion: Portion) -> dict[str, list[int]]:
        """Give the numbers of the events of *portion* for which full stores dropped something, by store."""
        dropping = {"versions": list(portion.going.values())} if portion.going else {}
        if self._droppers:
            for observer in self._versions.values():
                for store, seqs in observer.dropping.items():
                    dropping.setdefault(store, []).extend(seqs)
                observer.dropping = {}
            self._droppers.clear()
        for store, seqs in list(self.join.dropping.items()):
            seqs.sort()
            own = bisect_right(seqs, portion.last_seq)
            if own:
                dropping[store] = seqs[:own]
            if own == len(seqs):
                del self.join.dropping[store]
            else:
                self.join.dropping[store] = seqs[own:]
        return dropping

    def explain(self) -> list[tuple[SeriesKey, Explanation]]:
        """Say how every series is watched now, in the order of their keys."""
        versions = [observer for _, observer in sorted(self._versions.items())]
        return [one for observer in versions for one in self.sight.watch.explain(observer)]

    def baselines(self, version: str) -> list[PublishedBaseline]:
        """Give the baselines of a version as they can be published; none where it is not watched."""
        observer = self._versions.get(version)
        return [] if observer is None else list(self.sight.watch.published(observer))

    def versions(self) -> list[str]:
        """Give the versions that are watched, in order."""
        return sorted(self._versions)

    def gauges(self, tally: Tally) -> None:
        """Tell what stands: the newest event, the open incidents, the labels that came.

        Every counter of alerts is shown from the start, so that its first rise is seen.
        """
        if newest := max(self.admission.newest.values()):
            tally.gauge("last_event_timestamp_seconds", self.name, value=newest)
        self.join.gauges(tally)
        for version, observer in self._versions.items():
            for signal, mean in self.sight.watch.means(observer).items():
                tally.gauge("signal_value", self.name, version, signal, value=mean)
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
                    clock=self.join.clock,
                    labelled=self.join.labelled,
                    unlabelled=self.join.unlabelled,
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
        for _, observer in sorted(self._versions.items()):
            for series, row in self.sight.watch.rows(observer).items():
                yield ("series", *series), row
        for series, held in self.incidents.rows().items():
            yield ("incident", *series), held
        for place, kept in self._published.rows().items():
            yield ("baseline", self.name, *place), kept

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
                        self._observer(version).take_shape(_decode_shape(rows[key]))
                    case ("series", _, version, segment, signal) if _is_column(signal, segment):
                        slot = self.sight.watch.restore(rows[key])
                        self._observer(version).give(column_of(signal, segment), slot)
                    case ("baseline", _, version, segment, signal):
                        self._published.restore((version, segment, signal), rows[key])
                    case ("incident", model, version, segment, signal):
                        series = SeriesKey(model, version, segment, signal)
                        self._watch(self.incidents.restore(series, rows[key]))
                    case _:
                        unreadable.append(key)
            except UNREADABLE:
                unreadable.append(key)
        self._restore_watching()
        stores = self._stores()
        for key, of_store in chunks.items():
            store = stores.get(key)
            numbers = list(of_store) if store is None else store.restore(of_store)
            unreadable += [(*key, number) for number in numbers]
        self.join.restored()
        return unreadable

    def _watch(self, versions: Iterable[str]) -> None:
        for version in sorted(versions):
            self._observer(version)

    def _restore_watching(self) -> None:
        """Let versions know which of their series open incidents are about."""
        self._published.restored()
        for key_of in self.incidents.about():
            if key_of.version in self._versions:
                column = column_of(key_of.signal, key_of.segment)
                self._versions[key_of.version].alarming.add(column)
        versions = self._versions.values()
        self.incidents.let_go({observer.key(signal) for observer in versions for signal in observer.series})

    def _restore_summary(self, row: bytes) -> None:
        summary = _decode_summary(row)
        self.admission.newest.update(
            {topic: summary.newest[topic.suffix] for topic in Topic if topic.suffix in summary.newest}
        )
        self.join.clock = summary.clock
        self.join.labelled = summary.labelled
        self.join.unlabelled = summary.unlabelled
        self.last_seq = summary.last_seq
        for version, seq in summary.versions.items():
            self._observer(version)
            self._version_seq[version] = seq

    def _observer(self, version: str) -> Observer:
        if version not in self._versions:
            self._versions[version] = self._new_observer(version)
            self._version_seq.setdefault(version, 0)
        return self._versions[version]

    def _new_observer(self, version: str) -> Observer:
        observer = Observer(self.name, version, self._policy)
        observer.begins_with = self._published.of
        observer.droppers = self._droppers
        return observer

    def _stores(self) -> dict[RowKey, SeenIds | Pending | Waiting[Orphans]]:
        """Give the stores that are kept in chunks, by what their rows' keys begin with."""
        return {
            **{("seen", self.name, topic.suffix): seen for topic, seen in self.admission.seen.items()},
            ("pending", self.name): self.join.pending,
            ("orphans", self.name): self.join.orphans,
        }


def _is_column(signal: str, segment: str) -> bool:
    """Tell whether there is such a series."""
    return series_of(column_of(signal, segment)) == (segment, signal)


def lead(
    entered: Sequence[tuple[Model, Portion]], tally: Tally
) -> Iterator[tuple[Model, list[Change], list[RowKey]]]:
    """Lead portions of different models, all of one batch, through the stages behind the join, side by side.

    Gives for each model what became of its incidents, in order, and the keys of rows that are void.
    """
    by_sight: dict[int, list[tuple[Model, Portion]]] = {}
    for pair in entered:
        by_sight.setdefault(id(pair[0].sight), []).append(pair)
    watched: dict[str, list[Watched]] = {}
    for together in by_sight.values():
        sources = [model.source(portion) for model, portion in together]
        watched |= together[0][0].sight.see(sources, tally)
    for model, portion in entered:
        yield model, *model.follow(portion, watched.get(model.name, ()), tally)
