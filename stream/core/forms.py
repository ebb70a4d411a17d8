"""Forms: which series versions have whose predictions look the same, so that they can be read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from schemas.alerts import Kind

OTHER: Final = "other"

FeatureValue = bool | int | float | str | None
Features = dict[str, FeatureValue]

USAGE: Final = ("latency_ms", "input_tokens", "output_tokens", "cost")
FIXED: Final = ("score", "output", *USAGE, "error", "thumbs_down", "rating")
"""The signals that every version may have: the first columns of every form."""

COLUMN: Final = {signal: column for column, signal in enumerate(FIXED)}

_KINDS: Final[Mapping[str, tuple[Kind, bool]]] = {
    "score": (Kind.DRIFT, False),
    "output": (Kind.DRIFT, False),
    **dict.fromkeys(USAGE, (Kind.USAGE, False)),
    "error": (Kind.PERFORMANCE, True),
    "thumbs_down": (Kind.FEEDBACK, True),
    "rating": (Kind.FEEDBACK, False),
    "feature": (Kind.DRIFT, False),
    "missing": (Kind.DATA_QUALITY, True),
    "new_category": (Kind.DATA_QUALITY, True),
}


def kind_of(signal: str) -> tuple[Kind, bool]:
    """Give what a signal is about, and whether only a rise of it is bad."""
    return _KINDS[signal.partition(":")[0]]


SEGMENTED: Final = "error"
"""The signal that is read in segments."""


def column_of(signal: str, segment: str) -> str:
    """Name the column of a signal, or of what it is in a *segment* where that is not empty."""
    return f"{signal}[{segment}]" if segment else signal


def series_of(column: str) -> tuple[str, str]:
    """Give the segment and the signal of a column. No other signal's name begins as segments' columns do."""
    if column.startswith(f"{SEGMENTED}[") and column.endswith("]"):
        return column[len(SEGMENTED) + 1 : -1], SEGMENTED
    return "", column


class Feature(msgspec.Struct, kw_only=True):
    """What is known of one feature: a number or a category, and the categories seen while learning.

    ``seen`` counts readings while the categories are learned; an empty set that is closed watches none.
    """

    numeric: bool
    seen: int = 0
    categories: set[str] = msgspec.field(default_factory=set)
    too_many: bool = False


class Shape(msgspec.Struct, kw_only=True):
    """What is known of one version's predictions: its features, the classes of its output, its segments."""

    features: dict[str, Feature] = msgspec.field(default_factory=dict)
    classes: list[str] = msgspec.field(default_factory=list)
    segments: list[str] = msgspec.field(default_factory=list)


class Form:
    """The columns of versions that have the same features and classes: a signal each, *signals* in all.

    Behind those that every version has there are, from ``feature_at`` on, the values of *numeric* features,
    from ``missing_at`` on whether a feature is missing, numeric ones first, from ``new_at`` on whether the
    category of *categorical* ones is new, from ``class_at`` on the rates of *classes*. The last of these of
    one that is full is that of all further classes, unless there is a class ``other``: then they are its.
    From ``segment_at`` on there is the error in each of *segments*.
    """

    def __init__(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        classes: Sequence[str],
        segments: Sequence[str] = (),
        *,
        is_full: bool,
    ) -> None:
        self.numeric = numeric
        self.categorical = categorical
        self.names = (*numeric, *categorical)
        self.rows = {name: row for row, name in enumerate(self.names)}
        self.codes = {name: code for code, name in enumerate(classes)}
        self.segments = segments
        self.segment_codes = {name: code for code, name in enumerate(segments)}
        self.is_full = is_full
        self.feature_at = len(FIXED)
        self.missing_at = self.feature_at + len(numeric)
        self.new_at = self.missing_at + len(self.names)
        self.class_at = self.new_at + len(categorical)
        self.signals = (
            *FIXED,
            *(f"feature:{name}" for name in numeric),
            *(f"missing:{name}" for name in self.names),
            *(f"new_category:{name}" for name in categorical),
            *(f"output:{name}" for name in classes),
            *([f"output:{OTHER}"] if self.is_full and OTHER not in self.codes else []),
            *(column_of(SEGMENTED, name) for name in segments),
        )
        self.segment_at = len(self.signals) - len(segments)
        self._get = [itemgetter(name) for name in self.names]

    def columns_of(self, described: Sequence[Features]) -> list[list[FeatureValue]] | None:
        """Give a column for each of the names where *described* have all of them and no others, else None."""
        if set(map(len, described)) != {len(self.names)}:
            return None
        try:
            return [list(map(get, described)) for get in self._get]
        except KeyError:
            return None


class Forms:
    """The forms that some version has: one object for each, for as long as there is such a version."""

    def __init__(self) -> None:
        self._of: WeakValueDictionary[tuple[tuple[Sequence[str], ...], bool], Form] = WeakValueDictionary()

    def of(self, shape: Shape, classes_max: int) -> Form:
        """Give the form of the versions of that *shape*; the order in which names were met is no matter.

        *classes_max* is how many classes of an output find room; what comes later shares one rate.
        """
        numeric = tuple(sorted(name for name, known in shape.features.items() if known.numeric))
        categorical = tuple(sorted(name for name, known in shape.features.items() if not known.numeric))
        names = numeric, categorical, tuple(sorted(shape.classes)), tuple(sorted(shape.segments))
        is_full = len(shape.classes) >= classes_max
        form = self._of.get((names, is_full))
        if form is None:
            form = self._of[names, is_full] = Form(*names, is_full=is_full)
        return form
