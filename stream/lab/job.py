"""A job: the smallest piece of a run that is kept, and the key under which it is.

The key is made of all that the result follows from: the experiment, the detector, the stream, the seed, the
size, and the code that takes part. A result whose code has changed since is never taken for a new one.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

Result = Mapping[str, Any]
"""What a job gives: JSON."""

_STREAM: Final = Path(__file__).resolve().parents[1]
_LAB: Final = "lab"
_CODE_OF_ALL: Final = (
    f"{_LAB}/sources.py",
    f"{_LAB}/families.py",
    f"{_LAB}/watchers.py",
    f"{_LAB}/measures.py",
    f"{_LAB}/job.py",
)
_LATE: Final = (f"{_LAB}/changes.py", f"{_LAB}/lateness.py", f"{_LAB}/river_raw.py")
_PIPELINE: Final = ("detectors", "core", "wiring.py", "replay.py", "../schemas/policy.py")
_CODE: Final[Mapping[str, tuple[str, ...]]] = {
    "false alarms": ("detectors", f"{_LAB}/stationary.py", f"{_LAB}/river_raw.py"),
    "delays": ("detectors", *_LATE, f"{_LAB}/oracle.py"),
    "shapes": ("detectors", *_LATE),
    "flights": ("detectors", "demo", f"{_LAB}/real.py", f"{_LAB}/river_raw.py"),
    "annotated": ("detectors", f"{_LAB}/annotated.py", f"{_LAB}/river_raw.py"),
    "faults": (*_PIPELINE, f"{_LAB}/faults.py", f"{_LAB}/injected.py"),
    "flights through the pipeline": (*_PIPELINE, "demo", f"{_LAB}/faults.py", f"{_LAB}/real.py"),
}
EXPERIMENTS: Final = tuple(_CODE)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: *copies* of *stream* for *days*, shown to *detector*; *seed* makes it another draw."""

    experiment: str
    detector: str
    stream: str
    seed: int = 0
    copies: int = 1
    days: float = 0.0

    def key(self) -> str:
        """Give the name of the result: it changes with all that the result follows from."""
        parts = [str(value) for value in msgspec.structs.astuple(self)]
        parts += [code_digest(self.experiment), version("river"), version("numpy")]
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]

    def rng(self) -> np.random.Generator:
        """Give the generator of the stream: that of every detector, so that all see the same readings."""
        return np.random.default_rng([self.seed, zlib.crc32(self.stream.encode())])

    def label(self) -> str:
        """Give the job in words."""
        return f"{self.experiment}: {self.detector} on {self.stream}, seed {self.seed}"


@cache
def code_digest(experiment: str) -> str:
    """Give the digest of the code that takes part in *experiment*."""
    digest = hashlib.sha256()
    for name in (*_CODE_OF_ALL, *_CODE[experiment]):
        path = (_STREAM / name).resolve()
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\x00" + file.read_bytes() + b"\x00")
    return digest.hexdigest()
