"""`driftline lab`: does the jobs of a run, as far as they are not done yet, and writes the report."""

from __future__ import annotations

import argparse
import os
import sys

from stream.lab import charts, plan, report, targets
from stream.lab.job import EXPERIMENTS
from stream.lab.kept import Kept, run


def lab(options: argparse.Namespace) -> int:
    """Run the laboratory; the exit status says whether it ran, not whether targets hold."""
    base = plan.QUICK if options.quick else plan.FULL
    size = plan.Size(
        runs=options.runs or base.runs,
        days=options.days or base.days,
        seeds=options.seeds or base.seeds,
    )
    only = [name for name in EXPERIMENTS if options.only is None or name in options.only]
    jobs = plan.jobs(size, only)
    kept = Kept(options.cache)
    todo = [job for job in jobs if kept.get(job) is not None] if options.kept else jobs
    results = run(todo, kept, processes=options.processes or os.cpu_count() or 1, say=_say)
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    folder = options.out.with_suffix("")
    drawn = [] if options.no_charts else charts.draw(results, folder)
    text = report.page(results, len(jobs), size, _command(size, options), drawn, folder.name)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    for one in targets.judge(results, size):
        sys.stdout.write(f"{one.verdict().strip('*'):10}  {one.what}: {one.measured} (target {one.target})\n")
    sys.stdout.write(f"written to {options.out}\n")
    return 0


def _say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
    else:
        sys.stderr.write(f"{text}\n")


def _command(size: plan.Size, options: argparse.Namespace) -> str:
    """Give the command that makes the same report."""
    words = [
        "driftline",
        "lab",
        "--runs",
        f"{size.runs}",
        "--days",
        f"{size.days:g}",
        "--seeds",
        f"{size.seeds}",
    ]
    for name in options.only or ():
        words += ["--only", f"'{name}'"]
    if options.no_charts:
        words.append("--no-charts")
    return " ".join([*words, "--out", str(options.out)])
