"""Orders: what belongs together side by side."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SHORT: Final = 2**16
"""Keys below this have 16 bits: then numpy counts them, where it compares others."""


def order_of(keys: NDArray[np.integer[Any]], stop: int) -> NDArray[np.intp]:
    """Give the places of *keys*, shape (n,), by key and then by place; keys are from 0 to before *stop*."""
    return np.argsort(keys.astype(np.uint16) if stop <= _SHORT else keys, kind="stable")
