"""What a replay gives of a file, to hold what a worker gives against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.integration.reading import Message, by_id
from tests.integration.running import command


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay gives, as read from its files."""

    incidents: dict[str, Message]
    alerts: list[Message]
    rejected: list[Message]
    summary: Message


def replay(file: Path, environment: Mapping[str, str]) -> Replayed:
    """Replay *file* with the settings of a worker."""
    names = ("incidents", "alerts", "rejected", "summary")
    paths = {name: file.with_suffix(f".{name}") for name in names}
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    done = command("replay", str(file), *options, environment=environment)
    assert done.returncode == 0, done.stderr
    found = {
        name: [json.loads(line) for line in path.read_bytes().splitlines()] for name, path in paths.items()
    }
    return Replayed(
        incidents=by_id(found["incidents"]),
        alerts=found["alerts"],
        rejected=found["rejected"],
        summary=found["summary"][0],
    )


def essence(incident: Message) -> Message:
    """Leave out where in the topics an incident stood: partitions and offsets are not those of a replay."""
    return {name: value for name, value in incident.items() if name != "trigger"}
