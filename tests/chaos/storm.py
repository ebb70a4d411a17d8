"""The storm: producers, workers and Kafka, and one fault after the other."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.shell.broker import LOOPBACK, free_port
from stream.shell.topics import STATE, Topics
from tests.chaos.faults import SECONDS, Fault, Kind, schedule
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load, policy_of, rounds_of
from tests.chaos.producing import Producing, partition_of
from tests.chaos.proxy import Proxy
from tests.integration.apache_kafka import ApacheKafka
from tests.integration.running import settings

PREFIX: Final = "chaos."
LISTENER: Final = "PROXIED"
SESSION_S: Final = 3.0
SETTLE_S: Final = 25.0
"""How long the group may take after a fault to be at work again; the next fault comes anyway."""

CATCH_UP_S: Final = 300.0
SLOWEST: Final = 1_000
"""Events a second that are sent, and processed, even on a crowded machine when the faults are over."""

SPOILED: Final = 6_000
"""Messages that are rejected, each of which is an output, while the broker takes none."""

COMPACTION: Final = {
    "min.compaction.lag.ms": "45000",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.ms": "15000",
    "delete.retention.ms": "60000",
}
"""Of the state topic: a day's compaction in a minute, and still longer than a checkpoint is open."""


@dataclass(frozen=True, kw_only=True)
class Storm:
    """What is to happen: a load, so many faults of each kind, so many workers on so many partitions."""

    events: int
    faults: Mapping[Kind, int]
    seed: int
    workers: int = 3
    partitions: int = 6
    models: int = 12
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def load(self) -> Load:
        """What the producers send."""
        return Load(models=_names(self.models, self.partitions), events=self.events, seed=self.seed)


@dataclass(slots=True)
class Passed:
    """What happened in a storm, for the checker and for the figures."""

    environment: Mapping[str, str]
    acknowledged: Mapping[str, list[str]]
    faults: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    sent_again: int = 0
    unsettled: Counter[str] = field(default_factory=Counter)
    has_caught_up: bool = False
    seconds: float = 0.0


def pass_over(
    storm: Storm, kafka: ApacheKafka, proxy: Proxy, folder: Path, tell: Callable[[str], None]
) -> Passed:
    """Let *storm* pass over Kafka, which runs, with its workers behind *proxy*; logs go to *folder*.

    When this returns the workers have stopped in good order, and Kafka is there to be read.
    """
    policy = folder / "policy.toml"
    policy.write_text(policy_of(storm.load.models))
    environment = settings(
        kafka,
        PREFIX,
        partitions=storm.partitions,
        brokers=proxy.address,
        create_topics=False,
        policy_file=policy,
        session_timeout_seconds=SESSION_S,
        rebalance_timeout_seconds=SESSION_S,
        **storm.settings,
    )
    asyncio.run(_make_topics(kafka, storm.partitions))
    began = time.monotonic()
    with ExitStack() as stack:
        load = storm.load
        producing = stack.enter_context(Producing(kafka.bootstrap, PREFIX, storm.partitions, rounds_of(load)))
        fleet = stack.enter_context(Fleet(environment, folder, storm.workers))
        passed = Passed(environment=environment, acknowledged=producing.acknowledged, ended=fleet.ended)
        weather = Weather(kafka, proxy, fleet, producing)
        faults = schedule(storm.faults, storm.seed)
        all_seconds = sum(SECONDS[fault.kind] for fault in faults)
        for number, fault in enumerate(faults, start=1):
            share = SECONDS[fault.kind] / all_seconds
            producing.allow(int(storm.events * share), within_s=SECONDS[fault.kind])
            weather.do(fault)
            passed.faults[fault.kind] += 1
            if not fleet.until(fleet.is_at_work, SETTLE_S):
                passed.unsettled[fault.kind] += 1
            if number % 10 == 0 or number == len(faults):
                tell(f"{number}/{len(faults)} faults, {producing.events:,} events, {_told(passed)}")
        patience = CATCH_UP_S + storm.events / SLOWEST
        producing.finish(patience)
        passed.has_caught_up = fleet.until(lambda: fleet.has_caught_up(storm.partitions), patience)
        fleet.stop()
        passed.starts, passed.sent_again = fleet.starts, producing.sent_again
    passed.seconds = time.monotonic() - began
    return passed


class Weather:
    """Does the faults."""

    def __init__(self, kafka: ApacheKafka, proxy: Proxy, fleet: Fleet, producing: Producing) -> None:
        self._kafka = kafka
        self._proxy = proxy
        self._fleet = fleet
        self._producing = producing

    def do(self, fault: Fault) -> None:
        """Do one fault from its beginning to its end."""
        self._fleet.until(lambda: bool(self._fleet.running()), SETTLE_S)
        victims = self._fleet.running() or [0]
        victim = victims[int(fault.chances[0] * len(victims))]
        {
            Kind.KILL: self._kill,
            Kind.STOP: self._stop,
            Kind.LATE_WRITE: self._late_write,
            Kind.BROKER_RESTART: self._restart_broker,
            Kind.OUTAGE: self._outage,
            Kind.SLOW: self._slow,
            Kind.BLOCKED: self._blocked,
            Kind.REBALANCE: self._rebalance,
        }[fault.kind](victim, fault.chances[1], fault.chances[2])

    def _kill(self, victim: int, when: float, down: float) -> None:
        self._fleet.wait(2 * when)
        self._fleet.kill(victim, 1.5 * down)

    def _stop(self, victim: int, when: float, longer: float) -> None:
        self._fleet.wait(when)
        self._fleet.freeze(victim)
        self._fleet.wait(SESSION_S + 0.5 + 3 * longer)
        self._fleet.thaw(victim)
        self._fleet.wait(1)

    def _late_write(self, victim: int, when: float, longer: float) -> None:
        worker = self._fleet.worker(victim)
        if worker is None:
            return
        self._proxy.hold_writes(worker.pid)
        self._fleet.wait(0.2 + 1.5 * when)
        self._fleet.freeze(victim)
        self._fleet.wait(SESSION_S + 1.5 + 3 * longer)
        self._proxy.pass_all()
        self._fleet.wait(longer)
        self._fleet.thaw(victim)
        self._fleet.wait(1)

    def _restart_broker(self, _victim: int, how: float, down: float) -> None:
        if how < 0.5:
            self._kafka.kill()
        else:
            self._kafka.stop()
        self._fleet.wait(2 * down)
        self._kafka.start()

    def _outage(self, _victim: int, how: float, length: float) -> None:
        if how < 0.5:
            self._proxy.fall_silent()
        else:
            self._proxy.refuse()
        self._fleet.wait(2 + 58 * length**3)  # mostly short, now and then longer than a worker waits
        self._proxy.pass_all()

    def _slow(self, _victim: int, how: float, length: float) -> None:
        self._proxy.dawdle(0.02 + 0.1 * how)
        self._fleet.wait(2 + 6 * length)
        self._proxy.pass_all()

    def _blocked(self, _victim: int, _how: float, length: float) -> None:
        self._producing.spoil(SPOILED)
        self._proxy.hold_writes()
        self._fleet.wait(1 + 11 * length)
        self._proxy.pass_all()

    def _rebalance(self, _victim: int, when: float, down: float) -> None:
        self._fleet.wait(when)
        for number in self._fleet.running()[1:]:
            self._fleet.rest(number)
        self._fleet.wait(1 + 3 * down)
        self._fleet.resume()
        self._fleet.wait(2)


def make_kafka(folder: Path, cache: Path) -> tuple[ApacheKafka, Proxy]:
    """Make a Kafka whose clients come through a proxy, and the proxy; neither is started."""
    port = free_port()
    kafka = ApacheKafka(
        directory=folder / "kafka",
        cache=cache,
        properties={"log.cleaner.backoff.ms": "3000"},
        listeners={LISTENER: "PLAINTEXT"},
        advertised={LISTENER: f"{LOOPBACK}:{port}"},
    )
    return kafka, Proxy(port, kafka.address(LISTENER))


def _names(count: int, partitions: int) -> tuple[str, ...]:
    """Give names of models that are spread evenly over the partitions."""
    wanted = [place % partitions for place in range(count)]
    names: list[str] = []
    number = 0
    while wanted:
        if partition_of(f"m{number}", partitions) == wanted[0]:
            names.append(f"m{number}")
            wanted.pop(0)
        number += 1
    return tuple(names)


async def _make_topics(kafka: ApacheKafka, partitions: int) -> None:
    topics = Topics(prefix=PREFIX, partitions=partitions, retention_seconds=-1)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        for spec in topics.specs():
            config = {**spec.config, **(COMPACTION if spec.name == STATE else {})}
            await admin.create_topics(
                [NewTopic(topics.full(spec.name), spec.partitions, 1, topic_configs=config)]
            )
    finally:
        await admin.close()


def _told(passed: Passed) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(passed.faults.items()))
