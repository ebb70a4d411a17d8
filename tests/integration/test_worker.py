"""A worker on a broker: what it publishes is what a replay of the same events gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from stream.shell.broker import free_port
from stream.shell.metrics import NAMES
from tests.integration import logs, reading
from tests.integration.conftest import Broker
from tests.integration.replaying import Replayed, essence, replay
from tests.integration.running import RunningWorker, publish, settings

MODELS = ("credit", "churn", "fraud")
PREDICTIONS = 3_000


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A worker that has seen a whole log and still runs."""

    worker: RunningWorker
    prefix: str
    expected: Replayed


@pytest.fixture(scope="module")
def finished(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Lead a log past one worker while it is published; the tests that share it only look."""
    folder, prefix = tmp_path_factory.mktemp("worker"), f"finished-{uuid4().hex[:8]}."
    environment = settings(broker, prefix)
    file = logs.write(folder / "events.jsonl", logs.shifted(MODELS, PREDICTIONS))
    with RunningWorker(environment, folder / "log").ready() as worker:
        publish(file, environment)
        reading.wait_until_committed(broker, environment, file)
        yield Finished(worker=worker, prefix=prefix, expected=replay(file, environment))


def test_the_log_of_these_tests_opens_incidents_of_every_model(finished: Finished) -> None:
    opened = {
        (incident["model"], part["kind"])
        for incident in finished.expected.incidents.values()
        for part in incident["parts"]
    }
    assert opened >= {(model, kind) for model in MODELS for kind in ("performance", "drift")}


def test_a_worker_comes_to_the_incidents_of_a_replay(broker: Broker, finished: Finished) -> None:
    assert reading.incidents(broker, finished.prefix) == finished.expected.incidents


def test_a_worker_publishes_the_alerts_of_a_replay(broker: Broker, finished: Finished) -> None:
    published = reading.messages(broker, finished.prefix + "alerts")
    assert sorted(alert["id"] for alert in published) == sorted(
        alert["id"] for alert in finished.expected.alerts
    )


def test_a_worker_counts_what_a_replay_counts(finished: Finished) -> None:
    names = {"events": "events_total", "outcomes": "outcomes_total", "findings": "findings_total"}
    counted = {name: finished.worker.metric(metric) for name, metric in names.items()}
    assert counted == {name: finished.expected.summary[name] for name in names}


def test_every_metric_of_a_worker_is_documented(finished: Finished) -> None:
    own = {name for name in finished.worker.metrics() if name.startswith("driftline_")}
    assert own - {sample for metric in NAMES.values() for sample in metric.samples} == set()


def test_a_worker_that_has_seen_all_has_no_lag(finished: Finished) -> None:
    finished.worker.wait_for(lambda worker: worker.has_caught_up)


def test_a_worker_shows_the_incidents_that_are_open(finished: Finished) -> None:
    open_ones = [one for one in finished.expected.incidents.values() if one["resolved_at"] is None]
    assert finished.worker.metric("incidents_open") == len(open_ones)


def test_a_running_worker_is_healthy_and_ready(finished: Finished) -> None:
    assert [finished.worker.answer(path)[0] for path in ("/healthz", "/readyz")] == [200, 200]


def test_arrays_of_events_are_watched_like_single_events(broker: Broker, prefix: str, tmp_path: Path) -> None:
    events = list(logs.shifted(["credit"], PREDICTIONS))
    singles = logs.write(tmp_path / "singles.jsonl", events)
    arrays = logs.write(tmp_path / "arrays.jsonl", [events[at : at + 50] for at in range(0, len(events), 50)])
    environment = settings(broker, prefix)
    publish(arrays, environment)
    with RunningWorker(environment, tmp_path / "log") as worker:
        worker.wait_for(lambda it: it.metric("events_total") == len(events))
        assert worker.terminate() == 0
    found = reading.incidents(broker, prefix).values()
    expected = replay(singles, environment).incidents.values()
    assert [essence(incident) for incident in found] == [essence(incident) for incident in expected]


def test_unusual_logs_are_watched_as_in_a_replay(broker: Broker, prefix: str, tmp_path: Path) -> None:
    usual = list(logs.shifted(["usual"], 1_000))
    events: list[logs.Event] = [
        *usual,
        *(of_model(one, "only-predictions") for one in usual if one["type"] == "prediction"),
        *(of_model(one, "only-feedback") for one in usual if one["type"] == "feedback"),
        *(of_model(one, "labels-first") for one in with_labels_first(usual)),
        *(of_model(one, "twice") for one in usual for _ in range(2)),
    ]
    file = logs.write(tmp_path / "events.jsonl", logs.in_order(events))
    environment = settings(broker, prefix)
    expected = replay(file, environment)
    publish(file, environment)  # before the worker starts: it then sees all in the order of the times
    with RunningWorker(environment, tmp_path / "log") as worker:
        reading.wait_until_committed(broker, environment, file)
        names = {"events": "events_total", "outcomes": "outcomes_total", "duplicates": "duplicates_total"}
        counted = {name: worker.metric(metric) for name, metric in names.items()}
        assert worker.terminate() == 0
    assert counted == {name: expected.summary[name] for name in names}
    assert reading.incidents(broker, prefix) == expected.incidents


def of_model(event: logs.Event, model: str) -> logs.Event:
    """Give the event as another model's."""
    return {**event, "model": model}


def with_labels_first(events: list[logs.Event]) -> list[logs.Event]:
    """Let every prediction come 500 s late, which is after its label."""
    return [
        {**event, "time": (logs.time_of(event) + 50 * logs.STEP).isoformat()}
        if event["type"] == "prediction"
        else event
        for event in events
    ]


def test_a_worker_that_is_asked_to_stop_leaves_nothing_to_do_twice(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix, max_poll_records=100, checkpoint_seconds=3600)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(MODELS, 2 * PREDICTIONS))
    half, rest = logs.split(file, 2)
    statuses = []
    publish(half, environment)
    with RunningWorker(environment, tmp_path / "log") as first:
        first.wait_for(lambda worker: worker.metric("events_total") > 1_000)
        statuses.append(first.terminate())
    publish(rest, environment)
    with RunningWorker(environment, tmp_path / "log") as second:
        second.wait_for(lambda worker: worker.has_caught_up)
        taken = second.metric("events_total")
        statuses.append(second.terminate())
    reading.wait_until_committed(broker, environment, file, deadline_s=0)
    alerts = Counter(alert["id"] for alert in reading.messages(broker, prefix + "alerts"))
    assert statuses == [0, 0]
    assert taken < 12 * PREDICTIONS - 1_000
    assert set(alerts.values()) == {1}
    assert reading.incidents(broker, prefix) == replay(file, environment).incidents


def test_a_worker_without_a_broker_says_where_it_looked(tmp_path: Path, broker: Broker) -> None:
    address = f"127.0.0.1:{free_port()}"
    environment = settings(broker, "nowhere.") | {"DRIFTLINE_BROKERS": address}
    with RunningWorker(environment, tmp_path / "log") as worker:
        status, log = worker.ended(), worker.log
    said = [line for line in log.splitlines() if line.startswith("driftline: ")]
    assert status == 1
    assert "Traceback" not in log
    assert [address in line for line in said] == [True], log


def test_a_worker_whose_port_is_taken_says_so(finished: Finished, tmp_path: Path, broker: Broker) -> None:
    port = finished.worker.address.rpartition(":")[2]
    environment = settings(broker, finished.prefix, http_port=port)
    with RunningWorker(environment, tmp_path / "log") as worker:
        status, log = worker.ended(), worker.log
    assert status == 1
    assert log.splitlines()[-1].startswith(f"driftline: cannot listen on 127.0.0.1:{port}: "), log
