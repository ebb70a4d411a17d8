"""The same core over the same log without a fault: what rows, incidents and alerts it comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.alerts import Incident
from schemas.codec import encode
from stream.config import load_settings
from stream.core.nouns import Record, Topic
from stream.core.pipeline import Pipeline
from stream.detectors.registry import Registry
from stream.wiring import build_policies
from tests.chaos.oracle import Turn
from tests.chaos.producing import partition_of
from tests.chaos.standing import RowKey, decoded
from tests.integration.reading import Message

BATCH: Final = 1_777
NEVER: Final = float("inf")


def pipelines(environment: Mapping[str, str]) -> list[Pipeline]:
    """Make a pipeline for each partition, with the settings of the workers."""
    settings = load_settings(environment)
    return [
        Pipeline(
            number,
            prefix=settings.prefix,
            policies=build_policies(settings),
            factory=Registry(),
            partition_of=lambda model: partition_of(model, settings.partitions),
            max_models=settings.max_models,
        )
        for number in range(settings.partitions)
    ]


def led_past(pipeline: Pipeline, turns: Sequence[Turn]) -> tuple[dict[RowKey, Any], list[Message], list[str]]:
    """Lead records past a fresh pipeline; give its rows, the incidents as they end, and the alerts' ids."""
    incidents: dict[str, Incident] = {}
    alerts: list[str] = []
    for start in range(0, len(turns), BATCH):
        result = pipeline.step([_record(pipeline, turn) for turn in turns[start : start + BATCH]], NEVER)
        incidents.update((incident.id, incident) for incident in result.incidents)
        alerts += [alert.id for alert in result.alerts]
    rows = decoded({key: row for key, row in pipeline.rows().items() if row is not None})
    return rows, [msgspec.json.decode(encode(incident)) for incident in incidents.values()], alerts


def write_log(path: Path, turns: Sequence[Turn]) -> Path:
    """Write the log as a file that ``driftline replay`` reads."""
    with path.open("wb") as file:
        file.writelines((turn.stood.value or b"") + b"\n" for turn in turns)
    return path


def _record(pipeline: Pipeline, turn: Turn) -> Record:
    stood = turn.stood
    topic, seconds = Topic[turn.topic.upper()], stood.timestamp_ms / 1000.0
    return Record(topic, pipeline.partition, stood.offset, seconds, stood.value, stood.key)
