"""Baseline: the lifecycle events by which somebody says what is normal, sent or written to a file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn
from uuid import uuid4

from schemas.codec import encode
from schemas.events import Lifecycle, LifecycleKind
from stream.config import Settings
from stream.core.nouns import Topic
from stream.shell import clock
from stream.shell.access import admit, of_publisher
from stream.shell.doors import explaining
from stream.shell.publish import publish
from stream.shell.topics import create
from stream.wiring import build_connection, build_topics

ROLE: Final = "data_science_lead"
"""Whose the baselines are."""

STDOUT: Final = "-"

SAYINGS: Final = {
    "accept": (LifecycleKind.BASELINE_ACCEPTED, "take what has changed for the new normal"),
    "reset": (LifecycleKind.BASELINE_RESET, "learn what is normal from here on, changed or not"),
    "freeze": (LifecycleKind.BASELINE_FROZEN, "let baselines grow no more"),
}
"""What can be said, by the name of the command, with the kind of its event and what it does."""


def add_sayings(add: Callable[..., ArgumentParser], moment: Callable[[str], float]) -> None:
    """Add a command for each of the SAYINGS, which *add* makes; *moment* reads a time."""
    for name, (kind, does) in SAYINGS.items():
        say = add(name, help=does)
        say.add_argument("--model", required=True, metavar="M", help="the model")
        say.add_argument("--version", metavar="V", help="of this version (default: of every one)")
        say.add_argument("--segment", metavar="KEY=VALUE", type=_segment, help="of this segment")
        say.add_argument("--signal", metavar="S", help="of this signal, as in error or feature:age")
        add_who(say, moment)
        say.set_defaults(run=_say, kind=kind)


def add_who(command: ArgumentParser, moment: Callable[[str], float]) -> None:
    """Add to *command* who says it, when and where it goes."""
    command.add_argument("--by", required=True, metavar="WHO", help="who says so, for the record")
    command.add_argument("--role", default=ROLE, metavar="ROLE", help=f"as what (default: {ROLE})")
    command.add_argument("--comment", metavar="TEXT", help="why, for the record")
    command.add_argument("--approval", metavar="TICKET", help="what allows it, for the record")
    command.add_argument(
        "--time", type=moment, metavar="TIME", help="when, as in 2026-01-31T12:00Z (default: now)"
    )
    command.add_argument(
        "--out",
        metavar="PATH",
        help="write the event there as a line of JSON, - is standard output; send nothing",
    )


def hand_over(settings: Settings, event: Lifecycle, out: str | None) -> int:
    """Send an event to its topic, or write it to *out* where that is given; say so."""
    line = encode(event) + b"\n"
    if out == STDOUT:
        sys.stdout.buffer.write(line)
    elif out is not None:
        with open(out, "ab") as file:  # noqa: PTH123 - a path as the user typed it
            file.write(line)
        sys.stdout.write(f"{event.kind} of {event.model} written to {out}\n")
    else:
        asyncio.run(_send(settings, line))
        sys.stdout.write(f"{event.kind} of {event.model} published as {event.id}\n")
    return 0


def said_at(time: float | None) -> datetime:
    """Give the time of an event that somebody says: now, unless one is given in seconds since the epoch."""
    return datetime.fromtimestamp(clock.wall() if time is None else time, UTC)


def _say(settings: Settings, options: argparse.Namespace) -> int:
    kind: LifecycleKind = options.kind
    event = Lifecycle(
        id=f"{kind.value}-{uuid4()}",
        model=options.model,
        time=said_at(options.time),
        kind=kind,
        version=options.version,
        segment=options.segment,
        signal=options.signal,
        actor=options.by,
        actor_role=options.role,
        approval=options.approval,
        comment=options.comment,
    )
    try:
        return hand_over(settings, event, options.out)
    except OSError as error:
        sys.stderr.write(f"driftline baseline: {error.filename}: {error.strerror or error}\n")
        return 2


async def _send(settings: Settings, line: bytes) -> None:
    connection, topics = build_connection(settings), build_topics(settings)
    name = topics.full(Topic.LIFECYCLE.suffix)
    needed = [grant for grant in of_publisher(topics) if grant.name == name]
    are_known = await admit(connection, needed)
    if settings.create_topics and not are_known:
        await create(connection, topics)
    with explaining(connection):
        await publish([line], connection, topics, timeout_seconds=settings.publish_timeout_seconds)


def _segment(text: str) -> str:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        _refuse(f"{text!r} is no segment as in region=south")
    return text


def _refuse(why: str) -> NoReturn:
    raise argparse.ArgumentTypeError(why)
