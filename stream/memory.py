"""What a process of Driftline asks of Python's and the C library's memory before it begins."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from typing import Final

GC_THRESHOLD: Final = (250_000, 50, 100)
"""Python's own (700, 10, 10) looks through the events of a batch again and again: a quarter of the time."""

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Memory that was given back by the process and that glibc keeps for it: what a step works with and frees.

As it is set up, glibc gives most of it to the kernel after each step and asks for it again, page by page, in
the next: 4 % of a step.
"""

LARGE_BYTES: Final = 1024 * 1024
"""Blocks from this size on have pages of their own, which go back at once: growing tables leave no holes."""

_ASKED_FOR: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h; see mallopt(3)."""


def prepare() -> None:
    """Set up the process; where the environment says how malloc is to be, that holds.

    Other C libraries than glibc have no such settings, and stay as they are.
    """
    gc.set_threshold(*GC_THRESHOLD)
    if any(name in os.environ for name in _ASKED_FOR):
        return
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
