"""`driftline baseline accept` and a running worker: what it resolves, a replay of the same log resolves."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from tests.integration import logs, reading
from tests.integration.conftest import Broker
from tests.integration.replaying import replay
from tests.integration.running import RunningWorker, driftline, publish, settings

PREDICTIONS = 4_000


def test_what_is_accepted_resolves_the_incidents_of_a_running_worker(
    broker: Broker, prefix: str, tmp_path: Path
) -> None:
    environment = settings(broker, prefix)
    file = logs.write(tmp_path / "events.jsonl", logs.shifted(["credit", "fraud"], PREDICTIONS))
    when = (logs.START + logs.STEP * (PREDICTIONS + logs.LABEL_LAG) + timedelta(seconds=10)).isoformat()
    accept = ("baseline", "accept", "--model", "credit", "--by", "dana", "--time", when)
    with RunningWorker(environment, tmp_path / "log").ready() as worker:
        publish(file, environment)
        reading.wait_until_committed(broker, environment, file)
        said = driftline(*accept, environment=environment)
        assert (said.returncode, said.stderr) == (0, "")
        assert said.stdout.startswith("baseline_accepted of credit published as baseline_accepted-")
        worker.wait_for(lambda own: own.metric("baselines_total", model="credit") > 0)
        worker.wait_for(lambda own: own.has_caught_up)
        assert worker.terminate() == 0, worker.log
    after = reading.incidents(broker, prefix)
    resolved = [one for one in after.values() if one["state"] == "resolved"]
    assert {one["model"] for one in resolved} == {"credit"}
    assert {one["history"][-1]["actor"] for one in resolved} == {"dana"}
    assert not [one for one in after.values() if one["model"] == "credit" and one["state"] == "detected"]
    published = reading.records(broker, prefix + "lifecycle")
    with file.open("a") as log:
        log.writelines(json.dumps(json.loads(record.value)) + "\n" for record in published)
    assert replay(file, environment).incidents == after
