"""A worker among ten thousand bad messages: it stays up, and every one is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson

from schemas.codec import Headers
from tests.fuzz.holding import FATES, elements_of
from tests.fuzz.mutations import mutated_records
from tests.integration import reading
from tests.integration.conftest import Broker
from tests.integration.running import RunningWorker, make_topics, settings
from tests.integration.test_bad_messages import send

MESSAGES: Final = 10_000
PROOF: Final = {"type": "prediction", "id": "proof", "model": "steady", "time": "2026-01-01T03:00:00Z"}


def test_a_worker_takes_ten_thousand_mutated_messages_and_goes_on(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix)
    make_topics(environment)
    log = mutated_records(20, MESSAGES)
    sent = [
        {
            "topic": prefix + record.topic.suffix,
            "key": b"hostile",
            "value": record.value,
            "partition": 0,
            "timestamp_ms": int(record.timestamp * 1000),
            "headers": list(_as_sent(record.headers)),
        }
        for record in log
    ]
    proof = {"topic": prefix + "predictions", "value": orjson.dumps(PROOF), "partition": 0}
    send(broker, [*sent, proof])
    elements = elements_of([record._replace(headers=_as_sent(record.headers)) for record in log]) + 1
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.has_caught_up)
        fates = {name: int(worker.metric(name)) for name in FATES}
        assert worker.terminate() == 0
    assert sum(fates.values()) == elements
    assert fates["forwarded_total"] == 0  # one partition has every model
    assert fates["rejected_total"] == len(reading.messages(broker, prefix + "rejected"))
    assert min(fates["events_total"], fates["rejected_total"], fates["duplicates_total"]) > 100


def _as_sent(headers: Headers) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value or b"") for name, value in headers)
