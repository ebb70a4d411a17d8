"""What comes out depends on the log alone: not on its cut, not on restarts, not on the process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from stream.core.nouns import Forward
from stream.core.pending import Pending
from stream.replay import Outputs, replay
from tests.flow.timeline import Output
from tests.properties.logs import NOW, Making, a_log, cut, kept, makings, new_pipeline, run

LONG = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
"""A log takes a while: every run has the same examples, and none is shrunk for minutes.

What fails is printed as a Making: a smaller number of its events may fail too.
"""

REPOSITORY = Path(__file__).parents[2]

sizes = st.lists(st.sampled_from((1, 2, 3, 7, 20, 97, 400)), min_size=1, max_size=4)


def everything(output: Output) -> tuple[tuple[bytes, bytes, bytes], list[Forward], dict[str, int]]:
    """Give all that the outside sees, and the counts of what happened to events."""
    counted = ("events_total", "duplicates_total", "outcomes_total", "findings_total", "alerts_total")
    return output.published(), output.forwards, {name: output.count(name) for name in counted}


def content(rows: dict[bytes, bytes]) -> dict[object, object]:
    """Give what *rows* say: predictions that wait are cut into rows by when these were written."""
    said: dict[object, object] = {}
    waiting: dict[str, dict[str, bytes]] = {}
    for raw_key, row in rows.items():
        key = msgspec.json.decode(raw_key)
        if key[0] == "pending":
            waiting.setdefault(key[1], {})[key[2]] = row
        else:
            said[raw_key] = row
    for model, of_model in waiting.items():
        pending = Pending(bound=10**9)
        assert pending.restore(of_model) == []
        said[model] = [
            (chunk.ids()[offset], chunk.kept_at(offset))
            for chunk in pending._chunks.in_order()  # noqa: SLF001 - what waits is listed for nobody else
            for offset in chunk.live_offsets().tolist()
        ]
    return said


@settings(LONG, max_examples=40)
@given(making=makings, sizes=sizes)
def test_the_cut_into_batches_is_invisible(making: Making, sizes: list[int]) -> None:
    records = a_log(making)
    whole = run(new_pipeline(making), iter([records]))
    pieces = run(new_pipeline(making), cut(records, sizes))
    event(f"incidents: {min(len(whole.last()), 3)} or more")
    assert everything(pieces) == everything(whole)


@settings(LONG, max_examples=30)
@given(making=makings, sizes=sizes, restarts=st.integers(1, 5))
def test_a_restart_is_invisible(making: Making, sizes: list[int], restarts: int) -> None:
    """Rows are written after every other batch; every so often a new pipeline goes on from them."""
    records = a_log(making)
    steady = run(new_pipeline(making), cut(records, sizes))
    pipeline, rows, output = new_pipeline(making), dict[bytes, bytes](), Output()
    batches = list(cut(records, sizes))
    every = max(1, len(batches) // (restarts + 1))
    for number, batch in enumerate(batches):
        output.take(pipeline.step(batch, NOW))
        if number % 2:
            rows = kept(pipeline, rows)
        if number % every == every - 1:
            rows = kept(pipeline, rows)
            pipeline = new_pipeline(making)
            assert pipeline.restore(rows) == []
    assert everything(output) == everything(steady)


@settings(LONG, max_examples=20)
@given(making=makings, sizes=sizes, stride=st.integers(1, 5))
def test_rows_written_bit_by_bit_add_up_to_rows_written_at_once(
    making: Making, sizes: list[int], stride: int
) -> None:
    records = a_log(making)
    at_once, bit_by_bit, rows = new_pipeline(making), new_pipeline(making), dict[bytes, bytes]()
    for number, batch in enumerate(cut(records, sizes)):
        at_once.step(batch, NOW)
        bit_by_bit.step(batch, NOW)
        if number % stride == 0:
            rows = kept(bit_by_bit, rows)
    assert content(kept(bit_by_bit, rows)) == content(kept(at_once, {}))


@settings(LONG, max_examples=10)
@given(making=makings)
def test_two_replays_of_a_log_give_the_same_bytes(
    making: Making, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    log = folder / "log.jsonl"
    log.write_bytes(b"\n".join(record.value or b"" for record in a_log(making)))
    written = []
    for _ in range(2):
        outputs = Outputs(alerts=folder / "a", incidents=folder / "i", rejected=folder / "r")
        replay([str(log)], new_pipeline(making), outputs, lambda _count: None)
        written.append([(folder / name).read_bytes() for name in "air"])
    assert written[0] == written[1]


A_FULL_LOG = Making(seed=4, events=1_500, trouble=0.3, versions=1, alarms=False)


@pytest.mark.parametrize("alarms", [True, False])
def test_such_logs_meet_everything_that_can_happen(alarms: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    """Without this the properties could hold for want of anything to happen."""
    seen: Counter[str] = Counter()
    for seed in range(6):
        making = Making(seed=seed, events=1_500, trouble=0.3, versions=1 + seed % 4, alarms=alarms)
        output = run(new_pipeline(making), iter([a_log(making)]))
        seen.update(name for (name, _), times in output.counts.items() if times)
        evicted = [labels for name, labels in output.counts if name == "evicted_total"]
        seen.update(f"evicted {store}" for (store,) in evicted)
        seen.update(f"rejected: {rejected.reason}" for rejected in output.rejected)
        seen.update(f"{alert.kind}: {alert.reason}" for alert in output.alerts)
        seen.update(entry.reason for incident in output.incidents for entry in incident.history)
        seen.update(f"state: {incident.state}" for incident in output.incidents)
        seen.update(f"part: {part.kind}" for one in output.incidents for part in one.parts[1:])
    wanted = {
        "duplicates_total", "forwarded_total", "orphans_total", "unlabelled_total",
        "evicted features", "evicted segments", "evicted models", "evicted orphans", "evicted pending",
        "evicted versions", "state: resolved",
        "rejected: empty", "rejected: future", "rejected: late", "rejected: malformed",
        "rejected: unknown_type", "rejected: wrong_topic",
        "performance: first", "drift: first", "drift: repeat_due", "data_quality: first",
        "performance: escalated", "part: performance", "part: drift", "part: data_quality",
        "a detector found a change", "no detector found a change for the recovery time",
        "the series is no longer watched: newer versions or models took its place",
    }  # fmt: skip
    assert wanted - seen.keys() == set()


def test_a_restart_in_another_process_is_invisible(tmp_path: Path) -> None:
    """Python salts the hashes of text anew in every process: nothing may rest on them."""
    records = a_log(A_FULL_LOG)
    steady = new_pipeline(A_FULL_LOG)
    half = len(records) // 2
    steady.step(records[:half], NOW)
    wanted = run(steady, iter([records[half:]]))
    assert wanted.alerts
    for step, salt in enumerate("12"):
        command = [sys.executable, "-c", _GO_ON, str(tmp_path), str(step)]
        environment = {**os.environ, "PYTHONHASHSEED": salt}
        subprocess.run(command, check=True, cwd=REPOSITORY, env=environment, timeout=60)  # noqa: S603 - our own interpreter
    assert pickle.loads((tmp_path / "published").read_bytes()) == wanted.published()  # noqa: S301 - written above


_GO_ON = """
import pickle, sys
from pathlib import Path
from tests.properties.logs import NOW, a_log, kept, new_pipeline, run
from tests.properties.test_pipeline import A_FULL_LOG

folder, step = Path(sys.argv[1]), int(sys.argv[2])
records, pipeline = a_log(A_FULL_LOG), new_pipeline(A_FULL_LOG)
half = len(records) // 2
if step == 0:
    pipeline.step(records[:half], NOW)
    (folder / "rows").write_bytes(pickle.dumps(kept(pipeline, {})))
else:
    assert pipeline.restore(pickle.loads((folder / "rows").read_bytes())) == []
    published = run(pipeline, iter([records[half:]])).published()
    (folder / "published").write_bytes(pickle.dumps(published))
"""
"""The first process watches half of the log and writes its rows, the second goes on from them."""
