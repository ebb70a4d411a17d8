"""The streams in which nothing changes: every alarm on them is a false one."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from stream.lab.sources import (
    Begin,
    autoregressive,
    bernoulli,
    dependent_errors,
    lognormal,
    normal,
    seasonal,
)


class Sort(StrEnum):
    """What a series is to a detector: an error, a number that is a feature, or a rate of bad input."""

    ERROR = "error"
    NUMBER = "number"
    QUALITY = "quality"


class Series(NamedTuple):
    """One series of a simulated model."""

    name: str
    sort: Sort
    begin: Begin


class Family(NamedTuple):
    """The series of a simulated model; *independent* where no reading knows of another."""

    series: tuple[Series, ...]
    independent: bool


def _alone(sort: Sort, begin: Begin, *, independent: bool = False) -> Family:
    return Family((Series(sort.value, sort, begin),), independent)


_TAIL_OF_A_FIFTH: Final = 0.8416
"""Above it lies a fifth of a standard normal."""

_MODEL: Final = (
    Series("error", Sort.ERROR, bernoulli(0.15)),
    *(Series(f"normal {number}", Sort.NUMBER, normal()) for number in range(4)),
    *(Series(f"lognormal {number}", Sort.NUMBER, lognormal(1.5)) for number in range(2)),
    *(Series(f"AR(1) .5 {number}", Sort.NUMBER, autoregressive(0.5)) for number in range(2)),
    *(Series(f"missing {number}", Sort.QUALITY, bernoulli(0.002)) for number in range(6)),
    *(Series(f"never missing {number}", Sort.QUALITY, bernoulli(0.0)) for number in range(6)),
)

STATIONARY: Final = {
    "error .2": _alone(Sort.ERROR, bernoulli(0.2), independent=True),
    "error .05": _alone(Sort.ERROR, bernoulli(0.05), independent=True),
    "errors of AR(1) .5": _alone(Sort.ERROR, dependent_errors(0.5, _TAIL_OF_A_FIFTH)),
    "errors of AR(1) .9": _alone(Sort.ERROR, dependent_errors(0.9, _TAIL_OF_A_FIFTH)),
    "daily season": _alone(Sort.ERROR, seasonal(0.25, 0.1, 0.0)),
    "daily and weekly season": _alone(Sort.ERROR, seasonal(0.25, 0.1, 0.05)),
    "normal": _alone(Sort.NUMBER, normal(), independent=True),
    "lognormal": _alone(Sort.NUMBER, lognormal(1.5), independent=True),
    "AR(1) .5": _alone(Sort.NUMBER, autoregressive(0.5)),
    "AR(1) .9": _alone(Sort.NUMBER, autoregressive(0.9)),
    "21 series": Family(_MODEL, independent=False),
}
