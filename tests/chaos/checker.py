"""The checker: reads the topics from the start when the storm has passed, and says what is not as promised.

Two ways lead to what should be there. `oracle.py` works out from the input topics, with code of its own,
what every model has to have accepted, in which order, and which outcomes that makes; the ids in the committed
state are held against it, so that an event that is lost, or counted twice, has a name. The readings of a
series leave no ids behind: for them the committed rows are compared, value for value, with those of the same
core over the same log without a fault. A row of a series holds its clock, its warm-up, its last readings, and
the sums of its detectors, floats that depend on every reading and on their order: it is the order-dependent
hash, and one that needs nothing in the state that users do not need. Incidents and alerts are compared with
the same run, and with ``driftline replay`` of the log written to a file.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos import core, standing
from tests.chaos.faults import Kind
from tests.chaos.oracle import TOPICS, Implied, Turn, implied, is_bad, merged
from tests.chaos.standing import RowKey, Stood
from tests.chaos.storm import PREFIX, Passed
from tests.integration.reading import Message, by_id
from tests.integration.replaying import essence, replay

SHOWN: Final = 5
"""How many examples a problem gives."""


@dataclass(slots=True)
class Verdict:
    """What was counted, how often what is promised does not hold, and the same in words with examples."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def want(self, what: str, wrong: Iterable[object]) -> None:
        """Count the *wrong* under the name *what*, which is a problem where there are any."""
        found = list(wrong)
        self.wrong[what] += len(found)
        if found:
            shown = ", ".join(map(str, found[:SHOWN]))
            self.problems.append(f"{len(found)} {what}: {shown}{', ...' if len(found) > SHOWN else ''}")


def check(broker: str, passed: Passed, folder: Path) -> Verdict:
    """Read everything from *broker* and judge it; *folder* takes the log as a file."""
    verdict, partitions = Verdict(), int(passed.environment["DRIFTLINE_PARTITIONS"])
    if not passed.has_caught_up:
        verdict.problems.append("the workers did not catch up with the log in time")
    inputs = {topic: standing.read(broker, PREFIX + topic, partitions) for topic in TOPICS}
    state = standing.read(broker, PREFIX + "state", partitions)
    logs = [merged({topic: inputs[topic][number] for topic in TOPICS}) for number in range(partitions)]
    _check_delivery(verdict, passed.acknowledged, inputs)
    incidents: list[Message] = []
    alerts: list[str] = []
    for pipeline, turns in zip(core.pipelines(passed.environment), logs, strict=True):
        rows = standing.committed(state[pipeline.partition])
        check_models(verdict, implied(turns), standing.joined(rows))
        expected, of_partition, told = core.led_past(pipeline, turns)
        check_rows(verdict, standing.joined(expected), standing.joined(rows))
        incidents += of_partition
        alerts += told
    published = standing.messages(standing.read(broker, PREFIX + "incidents", partitions))
    is_unfenced = passed.environment.get("DRIFTLINE_TRANSACTIONS") == "off"
    taken_back = check_incidents(
        verdict,
        by_id(incidents),
        published,
        late_writes=is_unfenced and passed.faults[Kind.LATE_WRITE] > 0,
    )
    check_alerts(verdict, alerts, standing.messages(standing.read(broker, PREFIX + "alerts", partitions)))
    check_rejected(verdict, logs, standing.messages(standing.read(broker, PREFIX + "rejected", partitions)))
    _check_replay(verdict, passed, logs, by_id(published), taken_back, folder)
    return verdict


def _check_delivery(
    verdict: Verdict,
    acknowledged: Mapping[str, Sequence[str]],
    inputs: Mapping[str, Mapping[int, Sequence[Stood]]],
) -> None:
    """See that the broker has kept what it acknowledged: what it has not no worker can count."""
    for topic, ids in acknowledged.items():
        events = {number: (one for one in log if not is_bad(one)) for number, log in inputs[topic].items()}
        stands = {message["id"] for message in standing.messages(events)}
        verdict.want("acknowledged events that are not in the log", set(ids) - stands)
        verdict.counts["records"] += sum(map(len, inputs[topic].values()))


def check_models(verdict: Verdict, models: Mapping[str, Implied], rows: Mapping[RowKey, Any]) -> None:
    """Hold the ids in the committed state of one partition against what its log implies."""
    for name, model in models.items():
        for topic, ids in model.accepted.items():
            taken = rows.get(("seen", name, topic), [])
            verdict.counts["events"] += len(taken)
            verdict.want("events lost", set(ids) - set(taken))
            verdict.want("events twice", (one for one, times in Counter(taken).items() if times > 1))
            verdict.want("models whose events are in another order", [name] if taken != ids else [])
        accepted = set(model.accepted["predictions"])
        waiting = set(rows.get(("pending", name), {}))
        counted = rows[("model", name)][2] if ("model", name) in rows else 0
        verdict.counts["duplicates dropped"] += model.duplicates
        verdict.counts["outcomes"] += counted
        verdict.want("outcomes lost", waiting - set(model.waiting))
        verdict.want("outcomes that the log does not imply", accepted - waiting - set(model.outcomes))
        surplus = counted - len(accepted - waiting)
        verdict.want("outcomes twice", [f"{surplus} of {name}"] * abs(surplus))
        orphans = set(rows.get(("orphans", name), {}))
        verdict.want("labels that wait and should not, or should and do not", orphans ^ set(model.orphans))


def check_rows(verdict: Verdict, expected: Mapping[RowKey, Any], found: Mapping[RowKey, Any]) -> None:
    """Compare the committed rows of one partition with those of a run without a fault."""
    for key in expected.keys() | found.keys():
        verdict.counts["rows compared"] += 1
        verdict.counts["series"] += key[0] == "series"
        verdict.want("rows that differ", [key] if expected.get(key) != found.get(key) else [])


def check_incidents(
    verdict: Verdict, expected: Mapping[str, Message], published: Sequence[Message], *, late_writes: bool
) -> set[str]:
    """Compare the last message of every incident with what the log implies.

    Where there were *late_writes* without transactions, a message that was on its way when its writer lost
    the partition may stand behind the one that says how the incident ends: that is known
    (docs/guarantees.md), counted, and no problem as long as the right one stands before it. Gives the ids of
    such incidents.
    """
    last = by_id(list(published))
    verdict.counts["incidents compared"] += len(expected)
    verdict.counts["incident messages published again"] += len(published) - len(
        {_whole(one) for one in published}
    )
    verdict.want("incidents not published", expected.keys() - last.keys())
    verdict.want("incidents that the log does not imply", last.keys() - expected.keys())
    differ = {name for name in expected.keys() & last.keys() if expected[name] != last[name]}
    told = {_whole(one) for one in published if one["id"] in differ}
    taken_back = {name for name in differ if late_writes and _whole(expected[name]) in told}
    verdict.counts["incidents that a late write took back"] += len(taken_back)
    verdict.want("incidents whose last message is not how they end", differ - taken_back)
    return taken_back


def _whole(message: Message) -> str:
    return json.dumps(message, sort_keys=True)


def check_alerts(verdict: Verdict, expected: Sequence[str], published: Sequence[Message]) -> None:
    """Compare the alerts' ids: each at least once, and no other."""
    found = Counter(alert["id"] for alert in published)
    verdict.counts["alerts compared"] += len(expected)
    verdict.counts["alerts published again"] += found.total() - len(found)
    verdict.want("alerts not published", set(expected) - found.keys())
    verdict.want("alerts that the log does not imply", found.keys() - set(expected))


def check_rejected(verdict: Verdict, logs: Sequence[Sequence[Turn]], published: Sequence[Message]) -> None:
    """See that every record that is no event was rejected, and no other."""
    bad = {
        (PREFIX + turn.topic, number, turn.stood.offset)
        for number, turns in enumerate(logs)
        for turn in turns
        if is_bad(turn.stood)
    }
    sources = [message["source"] for message in published]
    found = Counter((source["topic"], source["partition"], source["offset"]) for source in sources)
    verdict.counts["rejected messages compared"] += len(bad)
    verdict.counts["rejected messages published again"] += found.total() - len(found)
    verdict.want("rejected messages not published", bad - found.keys())
    verdict.want("rejected messages that were events", found.keys() - bad)


def _check_replay(
    verdict: Verdict,
    passed: Passed,
    logs: Sequence[Sequence[Turn]],
    published: Mapping[str, Message],
    taken_back: AbstractSet[str],
    folder: Path,
) -> None:
    """Compare with ``driftline replay`` of the whole log, which knows no partitions."""
    whole = list(heapq.merge(*logs, key=lambda turn: turn[:2]))
    replayed = replay(core.write_log(folder / "log.jsonl", whole), passed.environment)
    wanted = {name: essence(one) for name, one in replayed.incidents.items()}
    found = {name: essence(one) for name, one in published.items()}
    verdict.want(
        "incidents that differ from those of a replay",
        (name for name in (wanted.keys() | found.keys()) - taken_back if wanted.get(name) != found.get(name)),
    )
    outcomes = int(replayed.summary["outcomes"])
    verdict.want("outcomes more or fewer than a replay's", range(abs(outcomes - verdict.counts["outcomes"])))
