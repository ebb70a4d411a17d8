"""Values as events have them to columns: of numbers, of categories, of what is absent."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from stream.core.forms import FeatureValue
from stream.core.texts import all_short, short


def numbers_of(columns: Sequence[Sequence[FeatureValue]], count: int) -> tuple[NDArray[np.float64], bool]:
    """Give *columns* of *count* values each as numbers, and whether all are; what is none is NaN.

    An array of Python's own takes numbers alone, and tells where there is something else.
    """
    numbers = np.empty((len(columns), count))
    is_complete = True
    for row, column in zip(numbers, columns, strict=True):
        try:
            row[:] = array("d", cast("Sequence[float]", column))
        except TypeError:
            is_complete = False
            row[:] = [None if isinstance(value, str) else value for value in column]
    return numbers, is_complete


def categories_of(column: Sequence[FeatureValue]) -> Sequence[str | None]:
    """Give the categories in a *column*, None for what is none."""
    if set(map(type, column)) == {str}:
        return all_short(cast("Sequence[str]", column))
    return [short(value) if isinstance(value, str) else None for value in column]


def absent_of(
    numbers: NDArray[np.float64] | None,
    numeric: int,
    categories: Sequence[Sequence[str | None]],
    count: int,
) -> NDArray[np.float64]:
    """Give 1 for what is absent, a row for each feature: first the *numeric* ones, then the *categories*.

    *numbers* are those of the numeric features, shape (numeric, count); None where none is absent.
    """
    absent = np.zeros((numeric + len(categories), count))
    if numbers is not None:
        absent[:numeric] = np.isnan(numbers)
    for row, column in enumerate(categories, start=numeric):
        if None in column:
            absent[row] = [value is None for value in column]
    return absent
