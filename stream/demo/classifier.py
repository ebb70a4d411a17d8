"""A small static classifier: logistic regression over cells, trained once, explainable by adding up.

It stands for the model a team has deployed and forgotten, so it is deliberately plain: every feature is cut
into cells, every cell has one weight, and an answer is the sum of the weights. Scoring needs no numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Features = Mapping[str, str | int | None]
Cell = tuple[str, str | int | None]

_NEWTON_STEPS = 8  # fixed, so that training is a function of the data; the weights settle by the sixth
_RIDGE = 5.0  # one weight per cell of every feature is collinear without it, and rare cells overfit
_DIGITS = 6  # rounding hides what another BLAS does to the last bits


@dataclass(frozen=True, kw_only=True)
class CellClassifier:
    """Answers 1 where the score reaches the threshold; a cell it never saw in training weighs nothing."""

    widths: Mapping[str, int]
    intercept: float
    weights: Mapping[Cell, float]
    threshold: float

    def score(self, features: Features) -> float:
        """Return the probability of class 1, in (0, 1), rounded to six digits."""
        weights = self.weights
        logit = self.intercept
        for cell in cells_of(features, self.widths):
            logit += weights.get(cell, 0.0)
        return round(1.0 / (1.0 + math.exp(-logit)), _DIGITS)

    def answer(self, score: float) -> int:
        """Return the class, 0 or 1, that *score* stands for."""
        return int(score >= self.threshold)


def cells_of(features: Features, widths: Mapping[str, int]) -> list[Cell]:
    """Cut each feature into its cell: numbers by their width, text and null as they are."""
    return [
        (name, value // widths.get(name, 1) if isinstance(value, int) else value)
        for name, value in features.items()
    ]


def train(rows: Sequence[Features], labels: Sequence[bool], *, widths: Mapping[str, int]) -> CellClassifier:
    """Fit by a fixed number of Newton steps with a ridge penalty: the same rows give the same classifier.

    *rows* all name the same features in the same order. *widths* says how wide the cells of a number are
    (1 if it is not named). The threshold makes the share of answers 1 on *rows* that of the labels, so that
    both kinds of error occur and the error rate moves when the world does.
    """
    numbers: dict[Cell, int] = {}
    columns = np.array(
        [[numbers.setdefault(cell, len(numbers)) for cell in cells_of(row, widths)] for row in rows],
        dtype=np.intp,
    ).T
    solution = _newton(columns, np.array(labels, dtype=np.float64), n_cells=len(numbers))
    rounded = [round(float(weight), _DIGITS) for weight in solution]
    untuned = CellClassifier(
        widths=widths,
        intercept=rounded[-1],
        weights={cell: rounded[number] for cell, number in numbers.items()},
        threshold=0.5,
    )
    ranked = sorted((untuned.score(row) for row in rows), reverse=True)
    return CellClassifier(
        widths=widths,
        intercept=untuned.intercept,
        weights=untuned.weights,
        threshold=ranked[max(sum(labels) - 1, 0)],
    )


def _newton(
    columns: npt.NDArray[np.intp], labels: npt.NDArray[np.float64], *, n_cells: int
) -> npt.NDArray[np.float64]:
    """Solve for the weights of the cells, shape (n_cells + 1,), the last of them the intercept.

    *columns* holds the number of each row's cell, shape (features, rows). Rows are only ever counted into
    cells, in their order, so the sums do not depend on how many threads there are.
    """
    intercept = np.full((1, columns.shape[1]), n_cells, dtype=np.intp)
    columns = np.concatenate([columns, intercept])
    n = n_cells + 1
    ridge = np.full(n, _RIDGE)
    ridge[-1] = 0.0
    weights = np.zeros(n)
    for _ in range(_NEWTON_STEPS):
        p = 1.0 / (1.0 + np.exp(-weights[columns].sum(axis=0)))
        gradient = -ridge * weights
        hessian = np.diag(ridge)
        for column in columns:
            gradient += np.bincount(column, labels - p, n)
            for other in columns:
                hessian += np.bincount(column * n + other, p * (1.0 - p), n * n).reshape(n, n)
        weights = weights + np.linalg.solve(hessian, gradient)
    return weights
