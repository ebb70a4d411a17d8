"""The demo: ten months of real flights through an embedded broker and a worker; incidents as they open."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.alerts import Incident
from stream.config import Settings
from stream.demo.flights import FlightsMissingError, events, read_flights
from stream.shell import clock
from stream.shell.broker import LOOPBACK, EmbeddedBroker, free_port
from stream.shell.child import Child
from stream.shell.follow import follow
from stream.shell.publish import publish
from stream.shell.topics import INCIDENTS, create
from stream.wiring import build_connection, build_topics

READY_SECONDS = 60.0
IDLE_SECONDS = 60.0
"""A worker that takes no event for this long, with events left, has failed."""

_decode = msgspec.json.Decoder(Incident).decode


class DemoError(Exception):
    """The demo cannot go on: the text says why and what to do."""


@dataclass(slots=True)
class Seen:
    """The incidents as the topic tells of them."""

    incidents: dict[str, Incident] = field(default_factory=dict)

    def take(self, incident: Incident) -> bool:
        """Take an incident as it now is; tell whether it is a new one."""
        is_new = incident.id not in self.incidents
        self.incidents[incident.id] = incident
        return is_new


def demo(settings: Settings, *, keep: bool) -> int:
    """Run the demo; give the exit status. With *keep* it goes on until it is interrupted."""
    console = Console(highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        binary = Path(settings.broker_binary) if settings.broker_binary else None
        broker = stack.enter_context(EmbeddedBroker(binary))
        console.print(
            f"Broker at {broker.bootstrap}: embedded, in memory, it forgets everything when it stops."
        )
        own = msgspec.structs.replace(
            settings,
            brokers=broker.bootstrap,
            partitions=4,
            replication=1,
            retention_seconds=-1.0,
            security_protocol="PLAINTEXT",
            http_host=LOOPBACK,
            http_port=free_port(),
            session_timeout_seconds=2.0,
            rebalance_timeout_seconds=1.0,
        )
        asyncio.run(create(build_connection(own), build_topics(own)))
        worker = _start_worker(own)
        stack.callback(worker.stop, 10.0)
        seen, total, seconds = asyncio.run(_watch(own, worker, console))
        console.print(_table(seen, total, seconds))
        if keep:
            _keep(own, worker, console)
    return 0


def _start_worker(settings: Settings) -> Child:
    """Start a worker process that ends with this one."""
    wanted = {
        name: value
        for name, value in msgspec.structs.asdict(settings).items()
        if value not in ("", None) and name != "sasl_password"
    }
    variables = [f"DRIFTLINE_{name.upper()}={value}" for name, value in wanted.items()]
    return Child(["/usr/bin/env", *variables, sys.executable, "-m", "stream", "worker"])


async def _watch(settings: Settings, worker: Child, console: Console) -> tuple[Seen, int, float]:
    """Publish the flights and follow the worker until it has taken them all."""
    connection, topics = build_connection(settings), build_topics(settings)
    async with aiohttp.ClientSession(f"http://{LOOPBACK}:{settings.http_port}") as session:
        console.print("Reading the flights of 2013, training a classifier on January and February ...")
        try:
            flights = await asyncio.to_thread(read_flights)
        except FlightsMissingError as error:
            raise DemoError(str(error)) from error
        await _until_ready(session, worker)
        console.print(
            f"Worker ready, metrics at http://{LOOPBACK}:{settings.http_port}/metrics. "
            "Publishing March to December: predictions, and labels as they became known.\n"
        )
        seen, began = Seen(), clock.steady()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            published = progress.add_task("published", total=None)
            processed = progress.add_task("processed", total=None)
            following = asyncio.create_task(_follow(settings, seen, console))
            lines = (orjson.dumps(event) for event in events(flights=flights))
            publishing = asyncio.create_task(
                publish(
                    lines,
                    connection,
                    topics,
                    progress=lambda sent: progress.update(published, completed=sent),
                )
            )
            await _until_processed(session, worker, publishing, progress, processed)
            seconds = clock.steady() - began
            await _until_quiet(seen)
            following.cancel()
        return seen, publishing.result(), seconds


async def _until_ready(session: aiohttp.ClientSession, worker: Child) -> None:
    deadline = clock.steady() + READY_SECONDS
    while clock.steady() < deadline:
        _check_alive(worker)
        try:
            async with session.get("/readyz") as answer:
                if answer.ok:
                    return
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)
    raise DemoError(f"the worker was not ready after {READY_SECONDS:.0f} s; it says:\n{worker.output()}")


async def _until_processed(
    session: aiohttp.ClientSession,
    worker: Child,
    publishing: asyncio.Task[int],
    progress: Progress,
    processed: TaskID,
) -> None:
    taken, last_news = 0, clock.steady()
    while not publishing.done() or taken < publishing.result():
        _check_alive(worker)
        now = await _events_taken(session)
        if now > taken:
            taken, last_news = now, clock.steady()
        elif clock.steady() - last_news > IDLE_SECONDS:
            raise DemoError(f"the worker took nothing for {IDLE_SECONDS:.0f} s; it says:\n{worker.output()}")
        total = publishing.result() if publishing.done() else None
        progress.update(processed, completed=taken, total=total)
        await asyncio.sleep(0.2)


async def _events_taken(session: aiohttp.ClientSession) -> int:
    async with session.get("/metrics") as answer:
        text = await answer.text()
    return sum(
        int(float(line.rsplit(" ", 1)[1]))
        for line in text.splitlines()
        if line.startswith("driftline_events_total{")
    )


async def _follow(settings: Settings, seen: Seen, console: Console) -> None:
    """Print every incident as it opens."""
    topics = build_topics(settings)
    async for value in follow(build_connection(settings), topics.full(INCIDENTS), topics.partitions):
        incident = _decode(value)
        if seen.take(incident):
            console.print(_line(incident))


async def _until_quiet(seen: Seen) -> None:
    """Wait until no incident has changed for a second."""
    before: dict[str, Incident] | None = None
    while before != seen.incidents:
        before = dict(seen.incidents)
        await asyncio.sleep(1.0)


def _line(incident: Incident) -> str:
    evidence = incident.evidence
    return (
        f"{incident.detected_at:%d %b %H:%M}  {incident.severity:<8} {incident.kind:<13} "
        f"{incident.signal:<28} {evidence.expected:>9.3f} -> {evidence.observed:<9.3f} "
        f"{evidence.detector}, {evidence.n} readings  {incident.id}"
    )


def _table(seen: Seen, total: int, seconds: float) -> Table:
    table = Table(
        title=f"{total:,} events in {seconds:.1f} s, {total / seconds:,.0f} per second", title_justify="left"
    )
    for heading in ("kind", "signal"):
        table.add_column(heading, overflow="fold")
    for heading in ("incidents", "alerts", "findings", "still open"):
        table.add_column(heading, justify="right")
    groups: Counter[tuple[str, str]] = Counter((i.kind.value, i.signal) for i in seen.incidents.values())
    for (kind, signal), count in sorted(groups.items()):
        of_group = [i for i in seen.incidents.values() if (i.kind.value, i.signal) == (kind, signal)]
        table.add_row(
            kind,
            signal,
            str(count),
            str(sum(i.alerts for i in of_group)),
            str(sum(i.findings for i in of_group)),
            str(sum(i.resolved_at is None for i in of_group)),
        )
    return table


def _keep(settings: Settings, worker: Child, console: Console) -> None:
    console.print(
        f"\nStill running: broker {settings.brokers}, "
        f"metrics http://{LOOPBACK}:{settings.http_port}/metrics. "
        "Stop with Ctrl-C."
    )
    try:
        while not worker.ends_within(3600.0):
            pass
    except KeyboardInterrupt:
        return
    _check_alive(worker)


def _check_alive(worker: Child) -> None:
    if worker.status is not None:
        raise DemoError(f"the worker ended with status {worker.status}; it says:\n{worker.output()}")
