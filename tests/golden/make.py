"""Write a golden state of this version: ``python -m tests.golden.make NAME``, once a format and log."""

from __future__ import annotations

import gzip
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from stream.config import load_settings
from stream.core.pipeline import Pipeline
from stream.shell.state import FORMAT
from stream.wiring import build_replay_pipeline
from tests.golden.log import LOGS, Golden

DIRECTORY: Final = Path(__file__).parent
BATCH: Final = 250


def pipeline(golden: Golden) -> Pipeline:
    """Make the pipeline that the golden states of a log were taken from."""
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.toml"
        policy.write_text(golden.policy)
        return build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": str(policy)}))


def main() -> None:
    """Take half of a log in batches with a checkpoint after each; write what a state topic would hold."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    golden = LOGS[name]
    own, log = pipeline(golden), golden.records()
    rows: dict[bytes, bytes] = {}
    taken = 0
    while taken < golden.half:
        batch = list(islice(log, BATCH))
        own.step(batch, float("inf"))
        taken += len(batch)
        for key, row in own.rows().items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
    path = DIRECTORY / f"state-format-{FORMAT}{name}.msgpack.gz"
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(rows), mtime=0))


if __name__ == "__main__":
    main()
