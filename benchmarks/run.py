"""`python -m benchmarks.run`: every row, in turns, in one table and in RESULTS.md."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from benchmarks import brokers
from benchmarks.context import FULL, QUICK, Context, Figures, Measure
from benchmarks.processes import ROOT, Failed, cores
from benchmarks.specs import SPECS, chosen, rows
from benchmarks.table import Report, markdown, rows_table
from stream import __version__

RESULTS: Final = Path(__file__).parent / "RESULTS.md"
BROKERS: Final = ("embedded", "kafka")
_PACKAGES: Final = (
    "faust-streaming",
    "aiokafka",
    "river",
    "msgspec",
    "numpy",
    "quixstreams",
    "confluent-kafka",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; the exit status says whether they ran, not whether targets hold."""
    options = _options(arguments)
    sizes = QUICK if options.quick else FULL
    rounds = options.rounds or (3 if options.quick else 5)
    specs, measures = chosen(options.only)
    measured, others = cores()
    os.sched_setaffinity(0, others)  # brokers and load are started by this process and inherit it
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="driftline-bench-")))
        found: dict[tuple[str, str], list[Figures]] = {}
        failures: dict[tuple[str, str], str] = {}
        addresses = _start_brokers(stack, directory, options.brokers, measures, failures)
        for number in range(rounds):
            for broker, bootstrap in {"-": "", **addresses}.items():
                context = Context(
                    directory=directory,
                    sizes=sizes,
                    broker=broker,
                    bootstrap=bootstrap,
                    round=number,
                    cores=measured,
                    found=found,
                )
                for measure in measures:
                    if measure.on_broker == (broker != "-") and number < measure.rounds:
                        _run(measure, context, failures)
    made = rows(specs, found, failures, options.brokers, is_full=sizes.is_full)
    figures = [(measure, broker, _columns(of)) for (measure, broker), of in found.items()]
    report = Report(
        date=options.date or datetime.now(UTC).date().isoformat(),
        machine=_machine(),
        versions=_versions(),
        settings=f"{'quick' if options.quick else 'full'}, {rounds} rounds, "
        f"{sizes.worker:,} predictions to the worker",
        rows=made,
        figures=figures,
    )
    print("\n".join(rows_table(made)))
    out = options.out or (None if options.quick or options.only else RESULTS)
    if out is not None:
        out.write_text(markdown(report))
        print(f"written to {out}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: large targets are not judged")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of everything (5; quick: 3)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=sorted({spec.key for spec in SPECS}),
        metavar="ROW",
        help="one row, may be given again: " + ", ".join(sorted({spec.key for spec in SPECS})),
    )
    parser.add_argument("--brokers", type=_brokers, default=list(BROKERS), help="embedded,kafka")
    parser.add_argument("--date", help="date on the page (default: today)")
    parser.add_argument(
        "--out", type=Path, help="the page (default: benchmarks/RESULTS.md after a full run of every row)"
    )
    return parser.parse_args(arguments)


def _brokers(text: str) -> list[str]:
    names = text.split(",")
    if wrong := [name for name in names if name not in BROKERS]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)} is not among {', '.join(BROKERS)}")
    return names


def _start_brokers(
    stack: ExitStack,
    directory: Path,
    names: Sequence[str],
    measures: Sequence[Measure],
    failures: dict[tuple[str, str], str],
) -> dict[str, str]:
    addresses: dict[str, str] = {}
    wanted = [measure.name for measure in measures if measure.on_broker]
    for name in names if wanted else ():
        if why := brokers.missing(name):
            failures.update({(measure, name): why for measure in wanted})
            continue
        broker = brokers.make(name, directory)
        stack.callback(broker.stop)
        broker.start()
        addresses[name] = broker.bootstrap
    return addresses


def _run(measure: Measure, context: Context, failures: dict[tuple[str, str], str]) -> None:
    where = "" if context.broker == "-" else f" on {context.broker}"
    try:
        figures = measure.run(context)
    except Exception as error:  # noqa: BLE001 - one measure that fails must not cost the figures of the others
        said = str(error) if isinstance(error, Failed) else repr(error)
        failures[measure.name, context.broker] = said
        print(f"round {context.round + 1}: {measure.name}{where}: {said}", file=sys.stderr)
        return
    context.found.setdefault((measure.name, context.broker), []).append(figures)
    said = ", ".join(f"{value:,.1f} {name}" for name, value in figures.items())
    print(f"round {context.round + 1}: {measure.name}{where}: {said}", file=sys.stderr)


def _columns(rounds: Sequence[Figures]) -> dict[str, list[float]]:
    return {name: [figures[name] for figures in rounds] for name in rounds[0]}


def _machine() -> Mapping[str, str]:
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    model = next((value.strip() for name, _, value in fields if name.startswith("model name")), "unknown")
    return {"CPU": model, "cores": str(os.cpu_count()), "Python": platform.python_version()}


def _versions() -> Mapping[str, str]:
    found = {"driftline": f"{__version__} ({_commit()})"}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def _commit() -> str:
    """Give the commit that was measured, and whether files differ from it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "commit unknown"
    command = [git, "describe", "--always", "--dirty", "--exclude=*"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return f"commit {said.stdout.strip() or 'unknown'}"


if __name__ == "__main__":
    sys.exit(main())
