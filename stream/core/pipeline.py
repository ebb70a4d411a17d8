"""The table of contents: records in; alerts, incidents, rejected and forwarded messages out.

    intake -> join -> observe -> detect -> alert -> incident

A pipeline owns all state of the models on one input partition. What comes out depends on the order of the
records alone, never on how they were cut into batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from schemas.alerts import AlertReason
from schemas.events import Prediction
from stream.core.detect import Banks
from stream.core.intake import Intake, PartitionOf, rejected_event
from stream.core.model import Model, RowKey
from stream.core.nouns import TYPE_NAMES, UNVERSIONED, Admitted, Change, Record, Result, Tally, Topic
from stream.core.ports import DetectorFactory, Policies


class Position(msgspec.Struct, array_like=True):
    """How far a pipeline has come: events taken, and the next offset of each input topic."""

    seq: int
    offsets: dict[str, int]


_encode = msgspec.msgpack.Encoder().encode
_decode_position = msgspec.msgpack.Decoder(Position).decode
_encode_key = msgspec.json.Encoder().encode
_decode_key = msgspec.json.Decoder(tuple[str, ...]).decode
_PIPELINE: RowKey = ("pipeline",)


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
        self._prefix = prefix
        self._policies = policies
        self._banks = Banks(factory)
        self._max_models = max_models
        self._intake = Intake(partition, prefix, partition_of)
        self._models: dict[str, Model] = {}
        self._seq = 0
        self._touched: set[str] = set()
        self._row_keys: dict[str, set[RowKey]] = {}
        self._deleted: set[RowKey] = set()

    def models(self) -> list[str]:
        """Give the names of the models that are watched."""
        return list(self._models)

    def step(self, records: Sequence[Record], now: float) -> Result:
        """Take *records*, which stand in the order in which they count; give all that follows from them.

        *now*, in seconds since the epoch, does no more than tell an event from the future.
        """
        result = Result()
        gathered: dict[str, list[Admitted]] = {}
        read, models, positions = self._intake.read, self._models, self.positions
        for record in records:
            for event, source in read(record, result):
                name = event.model
                known = models.get(name)
                model = self._new_model(name) if known is None else known
                time = event.time.timestamp()
                if model.admission.knows(event, record):
                    result.tally.count("duplicates_total", name, TYPE_NAMES[type(event)])
                    continue
                if refused := model.admission.refuse(event, time, record, now):
                    result.rejected.append(rejected_event(event, refused, record, source, self._prefix))
                    continue
                if known is None:
                    self._make_room(gathered, result)
                    models[name] = model
                model.admission.take(event, time, record)
                self._seq += 1
                model.last_seq = self._seq
                if type(event) is Prediction:
                    version = event.version or UNVERSIONED
                    if not model.saw(version, self._seq):
                        self._meet_version(model, version, gathered, result)
                admitted = Admitted(self._seq, time, event, record)
                if name in gathered:
                    gathered[name].append(admitted)
                else:
                    gathered[name] = [admitted]
            positions[record.topic] = record.offset + 1
        self._flush(gathered, result)
        _count(result)
        return result

    def gauges(self) -> Tally:
        """Give what stands rather than happens: the newest event and the incidents that are open."""
        tally = Tally()
        for model in self._models.values():
            model.gauges(tally)
        return tally

    def rows(self) -> dict[bytes, bytes | None]:
        """Give the rows that changed since the last call, the position among them; None deletes a row."""
        changed: dict[bytes, bytes | None] = {_encode_key(key): None for key in sorted(self._deleted)}
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
        offsets = {topic.suffix: offset for topic, offset in self.positions.items()}
        changed[_encode_key(_PIPELINE)] = _encode(Position(self._seq, offsets))
        return changed

    def restore(self, rows: dict[bytes, bytes]) -> list[str]:
        """Take the rows of a checkpoint; give the keys of those that could not be read.

        What cannot be read is deleted with the next checkpoint. Rows without the position that they reflect
        are of no use: the pipeline then begins anew, at the start of the log.
        """
        unreadable: list[str] = []
        by_model: dict[str, dict[RowKey, bytes]] = {}
        is_placed = False
        for raw_key, row in rows.items():
            try:
                key = _decode_key(raw_key)
                if key == _PIPELINE:
                    self._restore_position(_decode_position(row))
                    is_placed = True
                else:
                    by_model.setdefault(key[1], {})[key] = row
            except (msgspec.DecodeError, IndexError):
                unreadable.append(repr(raw_key))
        for name, of_model in sorted(by_model.items()):
            lost = list(of_model)
            if is_placed:
                model = self._models[name] = self._new_model(name)
                lost = model.restore(of_model)
                self._row_keys[name] = set(of_model)
            self._deleted.update(lost)
            unreadable += [str(key) for key in lost]
        return unreadable

    def _restore_position(self, position: Position) -> None:
        self._seq = position.seq
        for topic in Topic:
            self.positions[topic] = position.offsets.get(topic.suffix, 0)

    def _make_room(self, gathered: dict[str, list[Admitted]], result: Result) -> None:
        """Evict models until one more may be watched, first those that were unseen for longest."""
        while len(self._models) >= self._max_models:
            self._flush(gathered, result)
            oldest = min(self._models.values(), key=lambda known: known.last_seq)
            del self._models[oldest.name]
            self._deleted |= self._row_keys.pop(oldest.name, set())
            result.tally.count("evicted_total", "models")
            _publish(oldest.close(self._seq), result)

    def _new_model(self, name: str) -> Model:
        return Model(name, self._policies.of(name), self._banks, self._prefix)

    def _meet_version(
        self, model: Model, version: str, gathered: dict[str, list[Admitted]], result: Result
    ) -> None:
        self._flush(gathered, result)  # what came before is none of the new version's business
        while model.is_full():
            gone, closed = model.evict_version(self._seq)
            self._deleted.update(gone)
            self._row_keys.get(model.name, set()).difference_update(gone)
            result.tally.count("evicted_total", "versions")
            _publish(closed, result)
        self._touched.add(model.name)
        model.meet(version, self._seq)

    def _flush(self, gathered: dict[str, list[Admitted]], result: Result) -> None:
        """Lead what was gathered through the stages, model by model, and publish in the log's order."""
        changes: list[Change] = []
        for name, events in gathered.items():
            for kind, number in Counter(type(at.event) for at in events).items():
                result.tally.count("events_total", name, TYPE_NAMES[kind], by=number)
            changes += self._models[name].step(events, result.tally)
        self._touched.update(gathered)
        gathered.clear()
        changes.sort(key=lambda change: change.seq)
        _publish(changes, result)


def _publish(changes: Sequence[Change], result: Result) -> None:
    for change in changes:
        if change.alert is not None:
            result.alerts.append(change.alert)
        result.incidents.append(change.incident)


def _count(result: Result) -> None:
    tally = result.tally
    for alert in result.alerts:
        labels = (alert.model, alert.kind.value, alert.severity.value)
        tally.count("alerts_total", *labels)
        if alert.reason is AlertReason.FIRST:
            tally.count("incidents_total", *labels)
            delay = (alert.detected_at - alert.evidence.window_start).total_seconds()
            tally.observe("detection_delay_seconds", alert.model, value=delay)
    for rejected in result.rejected:
        tally.count("rejected_total", rejected.reason.value)
    for forward in result.forwards:
        tally.count("forwarded_total", forward.topic.suffix)
