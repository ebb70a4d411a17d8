"""Memory that a step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Final

import pytest

from stream.memory import GC_THRESHOLD

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")

STEPS: Final = """
import gc, resource, sys
import numpy as np
from stream.memory import prepare

if sys.argv[1] == "prepared":
    prepare()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [np.ones(100_000) for _ in range(10)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, *gc.get_threshold())
"""


def run(how: str, **environment: str) -> list[int]:
    """Give how often a process that works in steps asks for a page, and its thresholds."""
    command = [sys.executable, "-c", STEPS, how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603 - ours
    return [int(word) for word in done.stdout.split()]


def test_a_process_keeps_the_memory_of_its_steps() -> None:
    faults, *thresholds = run("prepared")
    assert faults * 4 < run("as it is")[0]
    assert tuple(thresholds) == GC_THRESHOLD


def test_what_the_environment_says_of_memory_holds() -> None:
    asked = {"MALLOC_TRIM_THRESHOLD_": "4096"}
    assert run("prepared", **asked)[0] * 2 > run("as it is", **asked)[0]
