"""``python -m tests.chaos``: a storm of any size over Apache Kafka, and the verdict."""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.checker import Verdict, check
from tests.chaos.faults import Kind
from tests.chaos.storm import Passed, Storm, make_kafka, pass_over

CACHE: Final = Path(tempfile.gettempdir()) / "driftline-apache-kafka"


def main() -> int:
    """Let the storm pass, print the figures; status 0 where all is as promised."""
    arguments = _parser().parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1_000_000)
    counts = {kind: int(getattr(arguments, kind.name.lower())) for kind in Kind}
    storm = Storm(
        events=arguments.events,
        faults=counts,
        seed=seed,
        workers=arguments.workers,
        partitions=arguments.partitions,
        models=arguments.models,
        settings=dict(setting.split("=", 1) for setting in arguments.set),
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that is gone is the point
    print(f"seed {seed}: {storm}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="driftline-chaos-"))
    kafka, proxy = make_kafka(folder, CACHE)
    with proxy, kafka:
        passed = pass_over(storm, kafka, proxy, folder, lambda text: print(text, flush=True))
        began = time.monotonic()
        verdict = check(kafka.bootstrap, passed, folder)
        checked = time.monotonic() - began
        kafka.kill()
    print(figures(passed, verdict, seed=seed, checked_s=checked))
    if verdict.problems:
        print(f"seed {seed}: not as promised; the logs are in {folder}")
        print("\n".join(verdict.problems))
        return 1
    shutil.rmtree(folder)
    taken_back = verdict.counts["incidents that a late write took back"]
    known = f", but late writes took back {taken_back} incidents" if taken_back else ""
    print(f"seed {seed}: nothing lost, nothing twice{known}")
    return 0


def figures(passed: Passed, verdict: Verdict, *, seed: int, checked_s: float) -> str:
    """Give what happened and what was compared, as JSON."""
    told = {
        "seed": seed,
        "faults": dict(sorted(passed.faults.items())),
        "worker starts": passed.starts,
        "workers that ended by themselves": dict(passed.ended),
        "bursts sent again": passed.sent_again,
        "faults after which nothing was processed in time": dict(passed.unsettled),
        "compared": dict(verdict.counts),
        "wrong": dict(verdict.wrong),
        "storm seconds": round(passed.seconds),
        "check seconds": round(checked_s),
    }
    return json.dumps(told, indent=2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events to send")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--seed", type=int, help="of the load and the faults; none: a random one")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a worker's setting")
    for kind, count in DEFAULTS.items():
        parser.add_argument(
            f"--{kind.value.replace(' ', '-')}", dest=kind.name.lower(), type=int, default=count
        )
    return parser


DEFAULTS: Final = {
    Kind.KILL: 100,
    Kind.STOP: 20,
    Kind.LATE_WRITE: 5,
    Kind.BROKER_RESTART: 10,
    Kind.OUTAGE: 5,
    Kind.SLOW: 5,
    Kind.BLOCKED: 5,
    Kind.REBALANCE: 5,
}

if __name__ == "__main__":
    sys.exit(main())
