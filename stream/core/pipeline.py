"""The table of contents: records in; alerts, incidents, rejected and forwarded messages out.

    intake -> join -> observe -> detect -> alert -> incident

A pipeline owns all state of the models on one input partition. What comes out depends on the order of the
records alone, never on how they were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.alerts import Incident
from stream.core.admission import Group, Refusal, admit_together, takes_first
from stream.core.alert import decide
from stream.core.bounds import bound_key, watch_bound
from stream.core.columns import Arrivals, Batch, by_model
from stream.core.decoded import Decoded
from stream.core.detect import Banks
from stream.core.incident import Incidents
from stream.core.intake import Intake, PartitionOf, topics_of
from stream.core.lost import Gap, follow_reading, lost_input, lost_key
from stream.core.model import Model, RowKey, lead
from stream.core.nouns import TOPIC_OF, TYPE_NAMES, Change, Record, Result, Tally, Topic
from stream.core.portions import Portion
from stream.core.ports import DetectorFactory, Policies
from stream.core.results import count, put_in_order
from stream.core.roster import Part, Roster
from stream.core.rows import UNREADABLE, Moment, Number
from stream.core.shared import Shared
from stream.core.together import Joined, match_together


class Position(msgspec.Struct, array_like=True):
    """How far a pipeline has come: events taken, the next offset of each input topic, the newest time."""

    seq: Number
    offsets: dict[str, Number]
    clock: Moment = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode_position = msgspec.msgpack.Decoder(Position).decode
_encode_key = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder(tuple[str, ...]).decode
_PIPELINE: RowKey = ("pipeline",)
_TOPICS = tuple(Topic)
_KIND_OF = {topic: kind for kind, topic in TOPIC_OF.items()}
_NAME_OF = [TYPE_NAMES[_KIND_OF[topic]] for topic in _TOPICS]


class _Step(NamedTuple):
    """A batch at hand: *elements* as intake gives it, and what of it was judged and taken so far."""

    batch: Batch
    elements: Mapping[int, int]
    now: float
    result: Result
    is_judged: NDArray[np.bool_]
    is_taken: NDArray[np.bool_]


class Pipeline:
    """The core of one input partition: its models, its position, its rows."""

    def __init__(
        self,
        partition: int,
        *,
        prefix: str,
        policies: Policies,
        factory: DetectorFactory,
        partition_of: PartitionOf,
        max_models: int,
    ) -> None:
        self.partition = partition
        self.positions = dict.fromkeys(Topic, 0)
        self.is_new = True
        self._prefix = prefix
        self._policies = policies
        self._banks = Banks(factory)
        self._shared = Shared()
        self._max_models = max_models
        self._intake = Intake(partition, prefix, partition_of)
        self._models = Roster(max_models)
        self._seq = 0
        self._clock = 0.0
        self._bound_key = bound_key("models", segment=f"partition:{partition}")
        self._policy = policies.of("")
        self._incidents = Incidents(self._policy, decide)
        self._touched: set[str] = set()
        self._row_keys: dict[str, set[RowKey]] = {}
        self._deleted: set[RowKey] = set()
        self._foreign: list[bytes] = []

    def models(self) -> list[str]:
        """Give the names of the models that are watched."""
        return self._models.names()

    def model(self, name: str) -> Model:
        """Give what there is to know of a model that is watched."""
        model = self._models.get(name)
        if model is None:
            raise KeyError(name)
        return model

    def step(self, records: Sequence[Record], now: float, decoded: Decoded | None = None) -> Result:
        """Take *records*, which stand in the order in which they count; give all that follows from them.

        *now*, in seconds since the epoch, does no more than tell an event from the future. *decoded* are the
        events of the records, one each, where they are known.
        """
        result = Result()
        incoming = self._intake.read(records, result, decoded)
        names, topics = incoming.decoded.models, incoming.topics
        batch = Batch(incoming.decoded, incoming.records, np.zeros(len(topics), dtype=np.int64))
        is_judged, is_taken = np.zeros((2, len(names)), dtype=np.bool_)
        step = _Step(batch, incoming.elements, now, result, is_judged, is_taken)

        def made(place: int) -> Model | None:
            return self._made(step, names[place], place)

        def took(model: Model, places: Sequence[int]) -> bool:
            return self._took(step, model, places)

        for part in self._models.parts(names, made, took):
            self._take(step, part)
        came_by = topics if incoming.records is records else topics_of(records)
        for topic in Topic:
            if len(where := np.flatnonzero(came_by == topic)):
                self.positions[topic] = records[int(where[-1])].offset + 1
        put_in_order(result.rejected, records, self._prefix)
        count(result)
        return result

    def lateness_of(self, model: str) -> float:
        """Give how many seconds an event of *model* may be behind the newest."""
        return self._policies.of(model).horizons.lateness_seconds

    def begin_at(self, starts: Mapping[Topic, int]) -> None:
        """Begin where the log does, a topic at each of *starts*: what was deleted before is not missed.

        Only for a pipeline that *is_new*: that has no position of its own yet.
        """
        self.positions |= starts

    def skip(self, topic: Topic, gap: Gap, at: float) -> Result:
        """Go on behind *gap*, before which all was taken; give the incident where input was lost in it.

        *at*, in seconds since the epoch, is when that was seen.
        """
        result = Result()
        self.positions[topic] = gap.stop
        if gap.is_lost:
            mine, alerting = self._incidents, self._policy.alerting
            told = lost_input(mine, topic, self.partition, gap, prefix=self._prefix, alerting=alerting, at=at)
            _publish([told], result)
            result.tally.count("lost_offsets_total", topic.suffix, by=gap.stop - gap.start)
        count(result)
        return result

    def gauges(self) -> Tally:
        """Give what stands rather than happens: the newest event and the incidents that are open."""
        tally = Tally()
        for model in self._models.models():
            model.gauges(tally)
        return tally

    def rows(self) -> dict[bytes, bytes | None]:
        """Give the rows that changed since the last call, the position among them; None deletes a row."""
        self._shared.standing.fresh.file()
        changed: dict[bytes, bytes | None] = dict.fromkeys(self._foreign)
        changed |= {_encode_key(key): None for key in sorted(self._deleted)}
        self._foreign.clear()
        self._deleted.clear()
        for name in sorted(self._touched):
            model = self._models.get(name)
            if model is None:
                continue
            known = self._row_keys.setdefault(name, set())
            for key, row in model.rows():
                changed[_encode_key(key)] = row
                if row is None:
                    known.discard(key)
                else:
                    known.add(key)
        self._touched.clear()
        for series, row in self._incidents.rows().items():
            changed[_encode_key(("incident", *series))] = row
        offsets = {topic.suffix: offset for topic, offset in self.positions.items()}
        changed[_encode_key(_PIPELINE)] = _encode(Position(self._seq, offsets, self._clock))
        return changed

    def restore(self, rows: dict[bytes, bytes]) -> list[str]:
        """Take the rows of a checkpoint; give the keys of those that could not be read.

        What cannot be read is deleted with the next checkpoint. Rows without the position that they reflect
        are of no use: the pipeline then begins anew, at the start of the log.
        """
        unreadable: list[str] = []
        models: list[Model] = []
        by_model: dict[str, dict[RowKey, bytes]] = {}
        is_placed = False
        for raw_key, row in rows.items():
            try:
                key = _decode_key(raw_key)
                if key == _PIPELINE:
                    self._restore_position(_decode_position(row))
                    is_placed = True
                elif _encode_key(key) != raw_key:
                    raise ValueError("no key is written so")
                else:
                    by_model.setdefault(key[1], {})[key] = row
            except (*UNREADABLE, IndexError):
                unreadable.append(repr(raw_key))
                self._foreign.append(raw_key)
        self._shared.expect((key[0], row) for of_model in by_model.values() for key, row in of_model.items())
        for name, of_model in sorted(by_model.items()):
            lost = list(of_model)
            if is_placed and not name:
                lost = self._restore_own(of_model)
            elif is_placed:
                model = self._new_model(name)
                lost = model.restore(of_model)
                if len(lost) < len(of_model):
                    models.append(model)
                    self._row_keys[name] = set(of_model)
            self._deleted.update(lost)
            unreadable += [str(key) for key in lost]
        self._models.restore(models)
        return unreadable

    def _restore_own(self, rows: dict[RowKey, bytes]) -> list[RowKey]:
        """Take the partition's own incidents, which are of no model; give the keys of all else."""
        unread = dict(rows)
        for series in (self._bound_key, *(lost_key(topic, self.partition) for topic in Topic)):
            own: RowKey = ("incident", *series)
            if own in rows:
                with suppress(*UNREADABLE):
                    self._incidents.restore(series, rows[own])
                    del unread[own]
        return list(unread)

    def _restore_position(self, position: Position) -> None:
        self._seq, self._clock = position.seq, position.clock
        self.is_new = False
        for topic in Topic:
            self.positions[topic] = position.offsets.get(topic.suffix, 0)

    def _made(self, step: _Step, name: str, place: int) -> Model | None:
        """Make the model that the event at *place* is the first of, where that is taken."""
        is_taken = takes_first(self._policies.of(name), float(step.batch.times[place]), step.now)
        return self._new_model(name) if is_taken else None

    def _took(self, step: _Step, model: Model, places: Sequence[int]) -> bool:
        arrivals = Arrivals(step.batch, np.array(places, dtype=np.intp))
        self._admit(
            step, [Group(model.admission, Topic(topic), of) for topic, of in arrivals.by_topic().items()]
        )
        return bool(step.is_taken[places].any())

    def _take(self, step: _Step, part: Part) -> None:
        """Take a part of a batch: what is admitted is numbered, led through the stages and published."""
        batch, result = step.batch, step.result
        closed = [(place, self._evict(model, result)) for place, model in part.evicted]
        came = self._admit_all(step, range(part.start, part.stop))
        numbers = np.cumsum(step.is_taken[part.start : part.stop])
        batch.seqs[part.start : part.stop] = self._seq + numbers
        self._seq += int(numbers[-1])
        changes = [
            Change(int(batch.seqs[place]), None, incident)
            for place, incidents in closed
            for incident in incidents
        ]
        for turn in zip_longest(*self._enter_all(came, result)):
            pairs = zip((model for model, _ in came), turn, strict=True)
            entered = [(model, portion) for model, portion in pairs if portion is not None]
            for model, own, void in lead(entered, result.tally):
                changes += own
                if void:
                    self._void(model, void)
        changes += self._watch_own(step, part)
        changes.sort(key=lambda change: change.seq)
        _publish(changes, result)

    def _admit_all(self, step: _Step, part: range) -> list[tuple[Model, Arrivals]]:
        """Admit what is not judged yet of a part; give the models of which something is taken, with it."""
        came = by_model(step.batch, part)
        models = {name: self._models.get(name) or self._new_model(name) for name in came}
        is_judged = step.is_judged[part.start : part.stop].any()
        groups: list[Group] = []
        for name, arrivals in came.items():
            own = arrivals.only(~step.is_judged[arrivals.places]) if is_judged else arrivals
            admission = models[name].admission
            groups += [Group(admission, _TOPICS[topic], of) for topic, of in own.by_topic().items()]
        self._admit(step, groups)
        is_whole = step.is_taken[part.start : part.stop].all()
        taken: list[tuple[Model, Arrivals]] = []
        for name, arrivals in came.items():
            own = arrivals
            if not is_whole and not (is_taken := step.is_taken[arrivals.places]).all():
                own = arrivals.only(is_taken)
            if len(own):
                self._models.add(models[name])
                taken.append((models[name], own))
        self._models.saw(model.name for model, _ in sorted(taken, key=lambda one: int(one[1].places[-1])))
        return taken

    def _watch_own(self, step: _Step, part: Part) -> list[Change]:
        """Follow what concerns no model alone: whether models had to go, whether losses of input are over."""
        taken = Arrivals(step.batch, part.start + np.flatnonzero(step.is_taken[part.start : part.stop]))
        if not len(taken):
            return []
        clock, self._clock = self._clock, max(self._clock, float(taken.times().max()))
        changes = follow_reading(self._incidents, self.partition, taken, clock, self._prefix)
        if self._policy.signals.bounds and (part.evicted or self._incidents.is_open(self._bound_key)):
            dropping = step.batch.seqs[[place for place, _ in part.evicted]].tolist()
            tally = step.result.tally
            watched = watch_bound(self._bound_key, self._max_models, taken, dropping, clock, tally)
            changes += self._incidents.follow([watched], self._prefix)
        return changes

    def _admit(self, step: _Step, groups: Sequence[Group]) -> None:
        """Mark which events of *groups* are taken; say why the others are not."""
        seen = [group.admission.seen[group.topic] for group in groups]
        known = list(map(len, seen))
        refused = admit_together(groups, self._shared.seen, step.now)
        if groups:
            places = np.concatenate([group.events.places for group in groups])
            step.is_judged[places] = step.is_taken[places] = True
        for group, refusals, store, before in zip(groups, refused, seen, known, strict=True):
            number = len(group.events)
            if refusals is not None:
                self._refuse(step, group, refusals)
                number = refusals.count(None)
            if gone := before + number - len(store):
                step.result.tally.count("evicted_total", "seen_ids", by=gone)

    def _refuse(self, step: _Step, group: Group, refusals: Sequence[Refusal | None]) -> None:
        """Mark which of *group* are not taken; say why."""
        model, tally = group.admission.model, step.result.tally
        for place, refusal in enumerate(refusals):
            if refusal is None:
                continue
            own = int(group.events.places[place])
            step.is_taken[own] = False
            if refusal.reason is None:
                tally.count("duplicates_total", model, _NAME_OF[group.topic])
            else:
                record, index = step.batch.records[own], step.elements.get(own)
                event = group.events.event(place)
                step.result.rejected.append(self._intake.refuse(event, refusal, record, index))

    def _enter_all(self, came: Sequence[tuple[Model, Arrivals]], result: Result) -> list[list[Portion]]:
        """Join the events of all models; give for each the portions that go through the other stages."""
        for model, own in came:
            self._touched.add(model.name)
            for topic, of_topic in own.by_topic().items():
                result.tally.count("events_total", model.name, _NAME_OF[topic], by=len(of_topic))
        clocks = [model.join.clock for model, _ in came]
        joined = [Joined(model.join, own) for model, own in came]
        outcomes = match_together(joined, self._shared.standing, result.tally)
        return [
            model.enter(own, completed, clock)
            for (model, own), completed, clock in zip(came, outcomes, clocks, strict=True)
        ]

    def _void(self, model: Model, keys: Sequence[RowKey]) -> None:
        """Have the rows with these *keys* deleted, those that were written."""
        known = self._row_keys.get(model.name)
        if known:
            stored = known.intersection(keys)
            known -= stored
            self._deleted |= stored

    def _evict(self, model: Model, result: Result) -> list[Incident]:
        """Watch a model no longer; give its incidents, now closed."""
        self._touched.discard(model.name)
        self._deleted |= self._row_keys.pop(model.name, set())
        result.tally.count("evicted_total", "models")
        result.evicted.append(model.name)
        return model.close()

    def _new_model(self, name: str) -> Model:
        return Model(name, self._policies.of(name), self._banks, self._shared, self._prefix)


def _publish(changes: Sequence[Change], result: Result) -> None:
    for change in changes:
        if change.alert is not None:
            result.alerts.append(change.alert)
        result.incidents.append(change.incident)
