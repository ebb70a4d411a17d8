"""Baseline: the lifecycle events by which somebody says what is normal, sent or written to a file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn
from uuid import uuid4

import msgspec

from schemas.baselines import PUBLISHED_MAX, PublishedBaseline, digest_of
from schemas.codec import encode
from schemas.events import Lifecycle, LifecycleKind
from stream.config import Settings
from stream.core.nouns import Topic
from stream.explain import ExplainError, model_now
from stream.shell import clock
from stream.shell.access import admit, of_publisher
from stream.shell.doors import explaining
from stream.shell.publish import publish
from stream.shell.topics import create
from stream.wiring import build_connection, build_topics

ROLE: Final = "data_science_lead"
"""Whose the baselines are."""

STDOUT: Final = "-"

EVENT_BYTES: Final = 512 * 1024
"""Baselines that one event holds; a record is at most 1 MB where nobody raised it."""

encode_baseline = msgspec.json.Encoder().encode

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


def add_export(
    add: Callable[..., ArgumentParser], moment: Callable[[str], float], apply: Callable[..., Settings]
) -> None:
    """Add the command that publishes what there is; *apply* lets a policy file count that it names."""
    export = add("export", help="write the baselines of a version as events that publish them")
    export.add_argument("--model", required=True, metavar="M", help="the model")
    export.add_argument("--version", metavar="V", help="of this version (default: its only one)")
    export.add_argument(
        "--for", required=True, metavar="V", dest="version_for", help="the version that begins with them"
    )
    export.add_argument(
        "--replay",
        nargs="+",
        default=[],
        metavar="FILE",
        help="take what is now from these files of events; without, from the workers' last checkpoint",
    )
    export.add_argument("--policy", help="policy file (TOML)")
    add_who(export, moment)
    export.set_defaults(run=_export, apply=apply)


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


def _export(settings: Settings, options: argparse.Namespace) -> int:
    """Hand over the baselines of a version, in as many events as keep records small."""
    settings = options.apply(settings, options)
    try:
        model = model_now(settings, options.model, options.replay)
        version = options.version or _only(model.versions(), options.model)
        baselines = model.baselines(version)
        if not baselines:
            raise ExplainError(
                f"version {version!r} of {options.model} has no baseline that is large enough yet"
            )
        for part in _parts(baselines):
            event = Lifecycle(
                id=f"{LifecycleKind.BASELINE_SET.value}-{uuid4()}",
                model=options.model,
                time=said_at(options.time),
                kind=LifecycleKind.BASELINE_SET,
                version=options.version_for,
                actor=options.by,
                actor_role=options.role,
                approval=options.approval,
                comment=options.comment,
                baselines=part,
                digest_after=digest_of(part),
            )
            hand_over(settings, event, options.out)
    except OSError as error:
        sys.stderr.write(f"driftline baseline export: {error.filename}: {error.strerror or error}\n")
        return 2
    return 0


def _only(versions: Sequence[str], model: str) -> str:
    if len(versions) != 1:
        raise ExplainError(f"{model} has the versions {', '.join(versions)}: --version says which is meant")
    return versions[0]


def _parts(baselines: Sequence[PublishedBaseline]) -> Iterator[list[PublishedBaseline]]:
    """Cut *baselines* such that an event of each part is no larger than a record may be by default."""
    part: list[PublishedBaseline] = []
    size = 0
    for one in baselines:
        own = len(encode_baseline(one)) + 1
        if part and (size + own > EVENT_BYTES or len(part) == PUBLISHED_MAX):
            yield part
            part, size = [], 0
        part.append(one)
        size += own
    yield part


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
