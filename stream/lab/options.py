"""What `driftline lab` and `driftline tune` take on the command line; says so without loading either."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Final

from stream.lab.job import EXPERIMENTS

CACHE: Final = Path(".lab/results.jsonl")
OUT: Final = Path("alarm-quality.md")


def of_lab(parser: argparse.ArgumentParser) -> None:
    """Say what `driftline lab` takes."""
    parser.add_argument(
        "--quick", action="store_true", help="a small run, in a minute or two: nothing is judged"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=EXPERIMENTS,
        metavar="EXPERIMENT",
        help="one experiment, may be given again: " + ", ".join(EXPERIMENTS),
    )
    parser.add_argument("--runs", type=_count, metavar="N", help="copies of each simulated stream (200)")
    parser.add_argument("--days", type=_days, metavar="D", help="days of each in which nothing changes (30)")
    parser.add_argument("--seeds", type=_count, metavar="N", help="seeds of each injected fault (10)")
    parser.add_argument("--processes", type=_count, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, metavar="PATH", help=f"where results are kept ({CACHE})"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="PATH", help=f"the report ({OUT})")
    parser.add_argument(
        "--kept", action="store_true", help="run nothing: write the report from the results that are kept"
    )
    parser.add_argument("--no-charts", action="store_true", help="write no charts: matplotlib is not needed")


def of_tune(parser: argparse.ArgumentParser) -> None:
    """Say what `driftline tune` takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON Lines, .gz too; - is standard input")
    parser.add_argument(
        "--false-alarms",
        type=_alarms,
        metavar="F",
        help="what a model may raise in 30 days (default: the policy's)",
    )
    parser.add_argument("--policy", help="policy file (TOML)")
    parser.add_argument(
        "--period",
        nargs=2,
        type=_day,
        metavar=("FROM", "TO"),
        help="first and last day in which all was well, as 2026-03-01, in UTC (default: the whole log)",
    )
    parser.add_argument("--copies", type=_count, default=20, metavar="N", help="copies that are drawn (20)")
    parser.add_argument("--days", type=_days, default=30.0, metavar="D", help="days of each copy (30)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other copies (0)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


def _days(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= 3_650.0:
        raise argparse.ArgumentTypeError(f"{text} is no number of days from 1 to 3650")
    return value


def _alarms(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 1_000.0:
        raise argparse.ArgumentTypeError(f"{text} is no number of false alarms: above 0, at most 1000")
    return value


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no day: write it as 2026-03-01") from None
