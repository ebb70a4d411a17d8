"""Units: what quiet says of a series, put into the units in which the series is read."""

from __future__ import annotations

import math

from stream.core.nouns import Smallest
from stream.detectors.forms import Form
from stream.detectors.quiet import Change, Family, Sight


def in_units(form: Form, value: float) -> float:
    """Put what quiet says of a level into the units of a series; of one that was constant it is a rate."""
    if form.differs or form.family is Family.NUMBER:
        return value
    return form.low + form.unit * value


def smallest(days: float, form: Form, stands: Sight, change: Change | None, *, only_rise: bool) -> Smallest:
    """Say what of a series is seen within *days*.

    A normal whose mean moves by d standard deviations has a population stability index of d squared.
    """
    if change is None:
        return Smallest(days=days, rise=None, fall=None)
    away = change.level - stands.normal
    if form.family is Family.NUMBER:
        away = math.sqrt(change.level) * stands.spread
    lower = stands.normal - away
    is_seen = not only_rise and (form.family is Family.NUMBER or lower >= 0.0)
    return Smallest(
        days=days,
        rise=in_units(form, stands.normal + away),
        fall=in_units(form, lower) if is_seen else None,
    )
