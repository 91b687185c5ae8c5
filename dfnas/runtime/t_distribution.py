"""Student's t distribution by its own formulas, so that a page can be rendered where scipy is not installed."""

import math
from functools import lru_cache
from statistics import NormalDist

CLOSE = 1e-15  # relative


def upper_tail(freedom: float, t: float) -> float:
    """The probability of more than t, t >= 0: half of an incomplete beta function (DLMF 8.17)."""
    if not (freedom > 0 and t >= 0):
        return math.nan
    below = t * t / (freedom + t * t)
    if below < 1.5 / (freedom / 2 + 2.5):  # where the fraction below converges fast
        return 0.5 - _beta(0.5, freedom / 2, below) / 2
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


@lru_cache(maxsize=4096)
def quantile(freedom: float, probability: float) -> float:
    """The t that lies above a draw with a probability from one half up.

    Newton's steps from the normal quantile, which lies below: from there on the distribution function bends down
    alone, so that no step goes too far.
    """
    if not freedom > 0:
        return math.nan
    t, rest = NormalDist().inv_cdf(probability), 1 - probability
    constant = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    for _ in range(200):
        density = math.exp(constant - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (upper_tail(freedom, t) - rest) / density
        t += step
        if step <= 1e-13 * t:
            break
    return t


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function by its continued fraction (DLMF 8.17.22), in Lentz's way."""
    if x <= 0:
        return 0.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    numerator, denominator, value = 1.0, 1 / (1 - (a + b) * x / (a + 1)), 1 / (1 - (a + b) * x / (a + 1))
    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            denominator, numerator = 1 / (1 + term * denominator), 1 + term / numerator
            value *= denominator * numerator
        if abs(denominator * numerator - 1) < CLOSE:
            break
    return front * value
