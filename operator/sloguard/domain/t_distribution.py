"""Student's t distribution for any positive degrees of freedom, whole or not. Pure Python.

Our own sixty lines instead of scipy.special, whose import takes longer than many a start of the operator. The
incomplete beta function is the continued fraction of DLMF 8.17.22, evaluated by Lentz's method.
"""

import math
from functools import lru_cache

LARGE_DF = 1e6
"""From here on the normal distribution is the same to six digits."""

_TINY = 1e-300
_STEPS = 300


def upper_tail(t: float, df: float) -> float:
    """The chance that a variate with `df` degrees of freedom exceeds `t`; 0 and 1 at the infinities.

    Raises:
        ValueError: df is not positive, or t is no number.

    """
    if math.isnan(t) or not df > 0:
        raise ValueError(f"no t distribution has a tail at {t} with {df} degrees of freedom")
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    if df >= LARGE_DF:
        return math.erfc(t / math.sqrt(2)) / 2
    half = _incomplete_beta(df / (df + t * t), t * t / (df + t * t), df / 2, 0.5) / 2
    return half if t >= 0 else 1 - half


@lru_cache(maxsize=4096)
def quantile(tail: float, df: float) -> float:
    """The t that is exceeded with the chance `tail`, by bisection.

    Raises:
        ValueError: tail is not between 0 and 1, or df is not positive.

    """
    if not 0 < tail < 1:
        raise ValueError(f"a tail lies between 0 and 1, not at {tail}")
    if tail > 0.5:
        return -quantile(1 - tail, df)
    low, high = 0.0, 1.0
    while upper_tail(high, df) > tail:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(middle, df) > tail else (low, middle)
    return high


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised I_x(a, b); `rest` is 1 - x, which is not left to subtraction."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(a * math.log(x) + b * math.log(rest) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(rest, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / _away_from_zero(1 + even * d), _away_from_zero(1 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / _away_from_zero(1 + odd * d), _away_from_zero(1 + odd / c)
        value *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
