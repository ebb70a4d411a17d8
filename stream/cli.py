"""The command line: a contract. Exit status 0 when it ran, 2 for wrong usage, 1 when it failed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import NoReturn

import msgspec
import orjson
from rich.console import Console

from stream import __version__
from stream.baseline import add_export, add_sayings
from stream.config import MAX_PROCESSES, ConfigError, Settings, load_settings, refuse_known_hashes
from stream.core.lines import parts
from stream.demo.run import DemoError, demo
from stream.explain import ExplainError, baselines, explain
from stream.lab import options as lab_options
from stream.lab.errors import LabError
from stream.memory import prepare
from stream.replay import Outputs, lines, replay
from stream.serve import supervise, work, work_under_supervision
from stream.shell import clock
from stream.shell.access import admit, of_publisher
from stream.shell.broker import BrokerError
from stream.shell.connection import ConnectionSettingsError
from stream.shell.doors import RefusedError, explaining, is_news
from stream.shell.http import EndpointError
from stream.shell.masking import Masking
from stream.shell.outputs import PublishError
from stream.shell.publish import publish
from stream.shell.state import StateError
from stream.shell.topics import TopicsError, check, create
from stream.wiring import build_connection, build_replay_pipeline, build_topics

_MISUSE = (ConfigError, ConnectionSettingsError)
_ERRORS = (
    BrokerError,
    DemoError,
    EndpointError,
    ExplainError,
    LabError,
    PublishError,
    RefusedError,
    StateError,
    TopicsError,
)
"""Errors for people: their text says what is wrong, where, and what to do."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    prepare()
    try:
        settings = load_settings(os.environ, options.config)
        status: int = options.run(settings, options)
    except _MISUSE as error:
        sys.stderr.write(f"driftline: {_mark(options)}{error}\n")
        return 2
    except _ERRORS as error:
        sys.stderr.write(f"driftline: {_mark(options)}{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="driftline", description="Watches AI models in production, over Kafka.")
    parser.add_argument("--version", action="version", version=f"driftline {__version__}")
    parser.add_argument("--config", type=Path, help="settings file (default: driftline.toml where it exists)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    show = commands.add_parser("demo", help="embedded broker, worker and ten months of real flights")
    show.add_argument("--keep", action="store_true", help="keep broker and worker running afterwards")
    show.set_defaults(run=_demo)

    worker = commands.add_parser("worker", help="watch the topics until stopped")
    worker.add_argument(
        "--processes",
        type=_processes,
        metavar="N",
        help="worker processes under one supervisor (default: the setting processes, 1: no supervisor)",
    )
    # How a supervisor starts a process: its number, and the descriptor of its end of the line.
    worker.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    worker.set_defaults(run=_worker)

    again = commands.add_parser("replay", help="the same watch over files of events, without Kafka")
    again.add_argument("files", nargs="+", metavar="FILE", help="JSON Lines, .gz too; - is standard input")
    again.add_argument("--policy", help="policy file (TOML)")
    for name in ("alerts", "incidents", "rejected", "summary"):
        again.add_argument(f"--{name}", type=Path, metavar="PATH", help=f"where the {name} go")
    again.add_argument(
        "--now",
        type=_moment,
        metavar="TIME",
        help="clock that tells events from the future, as in 2026-01-31T12:00Z (default: the log tells)",
    )
    again.set_defaults(run=_replay)

    send = commands.add_parser("publish", help="send files of events to the topics")
    send.add_argument("files", nargs="+", metavar="FILE", help="JSON Lines, .gz too; - is standard input")
    send.add_argument("--rate", type=_positive, metavar="N", help="records per second at most")
    send.set_defaults(run=_publish)

    topics = commands.add_parser("topics", help="make or check the topics")
    topics.add_argument("action", choices=("create", "check"))
    topics.set_defaults(run=_topics)

    lab = commands.add_parser("lab", help="measure what alarms are worth, and write a report")
    lab_options.of_lab(lab)
    lab.set_defaults(run=_lab)

    tune = commands.add_parser("tune", help="what a budget of false alarms buys on a log of your own")
    lab_options.of_tune(tune)
    tune.set_defaults(run=_tune)

    config = commands.add_parser("config", help="the settings in force, and how a model is watched")
    actions = config.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    actions.add_parser("show", help="the settings in force").set_defaults(run=_config)
    why = actions.add_parser("explain", help="each series of a model: its budget, threshold, smallest change")
    why.set_defaults(run=_explain, page=explain, named="driftline config explain")

    baseline = commands.add_parser("baseline", help="what is normal: what series are compared with")
    actions = baseline.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    digests = actions.add_parser("show", help="each series of a model: its baseline's state, size and digest")
    digests.set_defaults(run=_explain, page=baselines, named="driftline baseline show")
    add_sayings(actions.add_parser, _moment)
    add_export(actions.add_parser, _moment, _with_policy)
    for asked in (why, digests):
        asked.add_argument("--model", required=True, metavar="M", help="the model")
        asked.add_argument(
            "--replay",
            nargs="+",
            default=[],
            metavar="FILE",
            help="take what is now from these files of events; without, from the workers' last checkpoint",
        )
        asked.add_argument("--policy", help="policy file (TOML)")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _moment(text: str) -> float:
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no time as in 2026-01-31T12:00Z") from error
    return given.replace(tzinfo=given.tzinfo or UTC).timestamp()


def _mark(options: argparse.Namespace) -> str:
    """Say which process of several speaks."""
    child = getattr(options, "child", None)
    return f"process {child[0]}: " if child else ""


def _processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PROCESSES:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to {MAX_PROCESSES}")
    return int(text)


def _demo(settings: Settings, options: argparse.Namespace) -> int:
    return demo(settings, keep=options.keep)


def _worker(settings: Settings, options: argparse.Namespace) -> int:
    refuse_known_hashes(os.environ)
    if options.processes is not None:
        settings = msgspec.structs.replace(settings, processes=options.processes)
    handler = logging.StreamHandler(sys.stderr)
    layout = f"%(asctime)s %(levelname)s {_mark(options)}%(name)s: %(message)s"
    handler.setFormatter(Masking(layout, settings.secrets()))
    handler.addFilter(is_news)
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for noisy in ("faust", "mode", "aiokafka", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    if options.child:
        return asyncio.run(work_under_supervision(settings, options.child[1]))
    if settings.processes > 1:
        return asyncio.run(supervise(settings, options.config))
    return asyncio.run(work(settings))


def _replay(settings: Settings, options: argparse.Namespace) -> int:
    settings = _with_policy(settings, options)
    pipeline = build_replay_pipeline(settings)
    outputs = Outputs(alerts=options.alerts, incidents=options.incidents, rejected=options.rejected)
    began = clock.steady()
    try:
        with _progress("replayed") as report:
            totals = replay(options.files, pipeline, outputs, report, options.now)
        summary = orjson.dumps(totals.summary(clock.steady() - began), option=orjson.OPT_APPEND_NEWLINE)
        if options.summary is None:
            sys.stdout.write(summary.decode())
        else:
            options.summary.write_bytes(summary)
    except OSError as error:
        sys.stderr.write(f"driftline replay: {error.filename}: {error.strerror or error}\n")
        return 2
    return 0


def _publish(settings: Settings, options: argparse.Namespace) -> int:
    async def run() -> int:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what ends it is said once, in our words
        connection, topics = build_connection(settings), build_topics(settings)
        are_known = await admit(connection, of_publisher(topics))
        if settings.create_topics and not are_known:
            await create(connection, topics)
        events = _warning_of_retention(lines(options.files), settings)
        with _progress("published") as report, explaining(connection):
            return await publish(
                events,
                connection,
                topics,
                rate=options.rate,
                timeout_seconds=settings.publish_timeout_seconds,
                progress=report,
            )

    try:
        sent = asyncio.run(run())
    except OSError as error:
        sys.stderr.write(f"driftline publish: {error.filename}: {error.strerror or error}\n")
        return 2
    sys.stdout.write(f"{sent} records published\n")
    return 0


def _warning_of_retention(events: Iterator[bytes], settings: Settings) -> Iterator[bytes]:
    """Give *events*; warn when the first one is older than Kafka is told to keep records."""
    first = next(events, b"")
    time = next((part.time for part in parts(first)), None)
    if time is not None and 0 <= settings.retention_seconds < clock.wall() - time:
        sys.stderr.write(
            f"driftline publish: topics keep records for {settings.retention_seconds:.0f} s, counted from "
            "their timestamps, and the first event is older: Kafka deletes it soon. Make the topics with "
            "DRIFTLINE_RETENTION_SECONDS=-1 to keep it.\n"
        )
    return chain([first] if first else [], events)


def _topics(settings: Settings, options: argparse.Namespace) -> int:
    connection, topics = build_connection(settings), build_topics(settings)
    asyncio.run(admit(connection))
    if options.action == "create":
        made = asyncio.run(create(connection, topics))
        sys.stdout.write("".join(f"created {name}\n" for name in made) or "all topics exist\n")
    wrong = asyncio.run(check(connection, topics))
    sys.stdout.write("".join(f"{line}\n" for line in wrong) or "all topics are as they should be\n")
    return 1 if wrong else 0


def _lab(_settings: Settings, options: argparse.Namespace) -> int:
    from stream.lab.command import lab

    return lab(options)


def _tune(settings: Settings, options: argparse.Namespace) -> int:
    from stream.lab.advice import command

    try:
        return command(settings, options)
    except OSError as error:
        sys.stderr.write(f"driftline tune: {error.filename}: {error.strerror or error}\n")
        return 2


def _config(settings: Settings, _options: argparse.Namespace) -> int:
    for name, value in settings.shown().items():
        shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
        sys.stdout.write(f"{name} = {shown}\n")
    return 0


def _explain(settings: Settings, options: argparse.Namespace) -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what ends it is said once, in our words
    try:
        sys.stdout.write(options.page(_with_policy(settings, options), options.model, options.replay))
    except OSError as error:
        sys.stderr.write(f"{options.named}: {error.filename}: {error.strerror or error}\n")
        return 2
    return 0


def _with_policy(settings: Settings, options: argparse.Namespace) -> Settings:
    """Let the policy file that a command names go before that of the settings."""
    if not options.policy:
        return settings
    return load_settings({**os.environ, "DRIFTLINE_POLICY_FILE": options.policy}, options.config)


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int], None]]:
    """Show a running count on stderr where that is a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    with Console(file=sys.stderr).status(f"{verb} 0 records") as status:
        yield lambda count: status.update(f"{verb} {count:,} records")
