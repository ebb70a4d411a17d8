"""Formerly: records as earlier versions wrote them, made into those of this one."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream.detectors.quiet import settled
from stream.detectors.quiet.records import WATCHING, Columns

_NEVER: Final = 1 << 62
"""Blocks that no series lives to see."""


def renewed(old: NDArray[Any], kind: np.dtype[Any], *, is_learned: bool) -> NDArray[Any]:
    """Give the one record *old*, of format 1, as one of *kind*, the present format.

    All that had joined its baseline settles, if the series *is_learned*; an incident that is open is not told
    a second time.
    """
    columns = Columns(kind, 1)
    for name in old.dtype.names or ():
        if name != "filler":
            columns.records[name] = old[name]
    if is_learned:
        columns.turn[0] = columns.latest[0]
        settled.all_of(columns, np.array([0]))
    if columns.alarmed[0] != WATCHING or columns.healed[0]:
        columns.told_at[0] = _NEVER
    return columns.records
