"""What a series is, as far as its alarms depend on it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Family(StrEnum):
    """How the readings of a series are compared with its past.

    ``rate`` takes 0 and 1, ``loss`` anything between them, ``number`` anything finite (cut into deciles),
    ``category`` numbers that stand for names.
    """

    RATE = "rate"
    LOSS = "loss"
    NUMBER = "number"
    CATEGORY = "category"


class Pool(StrEnum):
    """Which part of a model's budget of false alarms a series draws on; see :mod:`.budget`."""

    PERFORMANCE = "performance"
    SEGMENT = "segment"
    OUTPUT = "output"
    DRIFT = "drift"
    QUALITY = "quality"
    USAGE = "usage"
    FEEDBACK = "feedback"


class Spec(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a series is.

    *account* names whose budget it draws on, as a rule the model. *season* takes the hour of the day and the
    day of the week out of a series first. *psi* is the least population stability index that counts
    as a change of a number or a category.
    """

    family: Family = Family.RATE
    pool: Pool = Pool.PERFORMANCE
    account: str = ""
    season: bool = False
    psi: float = 0.10

    @property
    def has_cells(self) -> bool:
        """Tell whether the readings are counted into cells."""
        return self.family in {Family.NUMBER, Family.CATEGORY}
