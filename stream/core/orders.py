"""Orders: what belongs together side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def order_of(keys: NDArray[np.integer[Any]], stop: int) -> NDArray[np.intp]:
    """Give the places of *keys*, shape (n,), by key and then by place; keys are from 0 to before *stop*.

    Keys of 16 bits or less numpy counts, where it compares others.
    """
    return np.argsort(keys.astype(np.min_scalar_type(stop)), kind="stable")
