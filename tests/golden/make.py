"""Write the golden state of this version: ``python -m tests.golden.make``, once for each format."""

from __future__ import annotations

import gzip
import tempfile
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from stream.config import load_settings
from stream.core.pipeline import Pipeline
from stream.shell.state import FORMAT
from stream.wiring import build_replay_pipeline
from tests.golden.log import HALF, POLICY, records

DIRECTORY: Final = Path(__file__).parent
BATCH: Final = 250


def pipeline() -> Pipeline:
    """Make the pipeline that the golden states were taken from."""
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "policy.toml"
        policy.write_text(POLICY)
        return build_replay_pipeline(load_settings({"DRIFTLINE_POLICY_FILE": str(policy)}))


def main() -> None:
    """Take half of the log in batches with a checkpoint after each; write what a state topic would hold."""
    own, log = pipeline(), records()
    rows: dict[bytes, bytes] = {}
    taken = 0
    while taken < HALF:
        batch = list(islice(log, BATCH))
        own.step(batch, float("inf"))
        taken += len(batch)
        for key, row in own.rows().items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
    path = DIRECTORY / f"state-format-{FORMAT}.msgpack.gz"
    path.write_bytes(gzip.compress(msgspec.msgpack.encode(rows), mtime=0))


if __name__ == "__main__":
    main()
