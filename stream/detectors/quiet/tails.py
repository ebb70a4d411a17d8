"""Upper tails of Student's t and of Fisher's F, by the regularised incomplete beta function.

Source: Press et al., Numerical Recipes, section 6.4 (the continued fraction by Lentz's method), DLMF 8.17.
"""

from __future__ import annotations

import math

_SMALLEST = 1e-300
_CLOSE = 1e-12
_STEPS = 500


def student_tail(t: float, df: float) -> float:
    """Give P(T > *t*) of Student's t with *df* degrees of freedom, for t >= 0."""
    return 0.5 * _incomplete_beta(0.5 * df, 0.5, df / (df + t * t))


def fisher_tail(f: float, df_above: float, df_below: float) -> float:
    """Give P(F > *f*) of Fisher's F; the degrees of freedom need not be whole."""
    if f <= 0.0:
        return 1.0
    return _incomplete_beta(0.5 * df_below, 0.5 * df_above, df_below / (df_below + df_above * f))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return math.exp(log_front) * _fraction(a, b, x) / a
    return 1.0 - math.exp(log_front) * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _off_zero(1.0 + even * d)
        c = _off_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _off_zero(1.0 + odd * d)
        c = _off_zero(1.0 + odd / c)
        value *= d * c
        if abs(d * c - 1.0) < _CLOSE:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST
