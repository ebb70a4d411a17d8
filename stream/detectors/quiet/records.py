"""What is kept of each series: one packed record of numpy, so that a snapshot is its bytes.

A field is an array over all series of an engine; the functions of this package take places in it. Counts
of readings are floats: they are divided and compared with floats all the time, and are exact up to 2**53.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Bools = NDArray[np.bool_]

BLOCK: Final = 32
"""Readings in a block, the unit in which a series is looked at."""

LEVELS: Final = 8
"""Scales of windows, each twice the one before."""

RUNGS: Final = 10
"""Scales at which the noise is known: a window is compared with the noise of runs as long as itself."""

CATCHES_UP: Final = 16
"""Blocks after an alarm that show how far the change went. Choice: 512 readings are more than the smallest
windows of any series, and know a rate of .5 to .02."""

CATCH_UP_SCALE: Final = 2
"""The scale at which the running total is kept as far back as a change is caught up with."""

DAY: Final = 86_400.0

HOURS: Final = 24
WEEKDAYS: Final = 7

AGES: Final = ("settled", "coming")
KEPT_TWICE: Final = ("base_n", "base", "joined", "joined_total", "rung_n", "rung_q", "rung_qq")
"""What is kept of baseline and noise as tests use it, and as they will use it next; see :mod:`.settled`."""

WATCHING: Final = -1
"""The value of `alarmed` while there is no incident."""


FORMAT: Final = 2
"""Of records. Format 1 knew nothing of what is settled, what is frozen and where a change began, and kept a
season's shifts in eight bytes each."""


def layout(*, width: int, kept: int, cells: bool, form: int = FORMAT) -> np.dtype[Any]:
    """Give the record of a series with *width* numbers a block and *kept* boundaries a scale.

    *form* is the format; an older one is read, and no longer written.
    """
    f8, i4, i2 = "<f8", "<i4", "<i2"
    shift = f8 if form == 1 else "<f4"
    fields: list[tuple[Any, ...]] = [
        # what is said of the series when it is added
        ("loss", i2),
        ("few", i2),
        ("both", i2),
        ("seasonal", i2),
        ("psi", f8),
        # the block that is being filled
        ("filled", i4),
        ("waiting", f8, (BLOCK,)),
        ("waiting_times", f8, (BLOCK,)),
        # time and traffic
        ("began", f8),
        ("latest", f8),
        ("seen", f8),
        ("lately", f8),
        ("lately_seconds", f8),
        ("share", f8),
        # windows
        ("blocks", "<i8"),
        ("healed", "<i8"),
        ("total", f8, (width,)),
        ("bounds", f8, (LEVELS, kept, width)),
        ("bound_times", f8, (LEVELS, kept)),
        # baseline
        ("base_n", f8),
        ("base", f8, (width,)),
        ("joined", "<i8"),
        ("joined_total", f8, (width,)),
        # noise
        ("rung_n", f8, (RUNGS,)),
        ("rung_q", f8, (RUNGS,)),
        ("rung_qq", f8, (RUNGS,)),
        ("held_n", f8, (RUNGS,)),
        ("held_q", f8, (RUNGS,)),
        ("held_qq", f8, (RUNGS,)),
        ("inflation", f8, (RUNGS + 1,)),
        ("row_n", i2, (RUNGS,)),
        ("row_sum", f8, (RUNGS, width)),
        ("row_square", f8, (RUNGS, width)),
        # incident
        ("alarmed", i2),
        ("calm", i2),
        # season
        ("hour_n", f8, (HOURS,)),
        ("hour_sum", f8, (HOURS, width)),
        ("hour_visits", i4, (HOURS,)),
        ("hour_day", i4, (HOURS,)),
        ("hour_shift", shift, (HOURS, width)),
        ("weekday_n", f8, (WEEKDAYS,)),
        ("weekday_sum", f8, (WEEKDAYS, width)),
        ("weekday_visits", i4, (WEEKDAYS,)),
        ("weekday_day", i4, (WEEKDAYS,)),
        ("weekday_shift", shift, (WEEKDAYS, width)),
        ("season_day", i4),
        ("season_on", i2, (2,)),
        ("week_known", i2),
    ]
    if cells:
        fields += [
            ("cells", i2),
            ("other", i2),
            ("edges", f8, (width - 1,)),
            ("middles", f8, (width,)),
            ("learned", i2),
        ]
    if form > 1:
        kept_twice = [field for field in fields if field[0] in KEPT_TWICE]
        fields += [(f"{age}_{name}", *rest) for age in AGES for name, *rest in kept_twice]
        fields += [("frozen", i2), ("changed_at", f8)]
        fields += [("turn", f8), ("told", f8), ("told_at", "<i8")]
        fields += [("told_share", "<f4", (width,))] if cells else []
    by_size = sorted(fields, key=lambda field: -np.dtype(field[1]).itemsize)
    # Filled up to whole words by a field and not by numpy, which leaves what lies between fields to chance.
    short = -np.dtype(by_size).itemsize % 8
    return np.dtype([*by_size, ("filler", "i1", (short,))])


def caught_up_at(told_at: Places) -> Places:
    """Give the block after which a change that was told with block *told_at* is caught up with, shape (n,).

    Running totals are kept that far back at every fourth block. What is told again began after it.
    """
    caught_up: Places = (-(-told_at >> CATCH_UP_SCALE) << CATCH_UP_SCALE) + CATCHES_UP
    return caught_up


class Columns:
    """The records of an engine, field by field; the arrays are views of one array of records.

    It holds as many series as were ever watched at a time; the place of one that went is used again.
    """

    def __init__(self, kind: np.dtype[Any], size: int) -> None:
        self.records = np.zeros(size, kind)
        self._name()

    def grow(self) -> None:
        """Make room for twice as many series."""
        self.records = np.concatenate((self.records, np.zeros_like(self.records)))
        self._name()

    def _name(self) -> None:
        names = self.records.dtype.names or ()
        for name in names:
            setattr(self, name, self.records[name])

    def __getattr__(self, name: str) -> NDArray[Any]:
        raise AttributeError(name)

    def clear(self, place: int) -> None:
        """Make the record at *place* that of a series of which nothing is known."""
        self.records[place] = np.zeros((), self.records.dtype)
        self.records["alarmed"][place] = WATCHING
        self.records["inflation"][place] = 1.0
