"""Spread and intervals over seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """An estimate with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return float(np.mean(values))


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation (n - 1); 0 for one value, which has none."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean with Student's t interval; one value has no interval, and gets nan for its ends."""
    if len(values) < 2:
        return Interval(mean(values), float("nan"), float("nan"))
    return _around(mean(values), deviation(values) / math.sqrt(len(values)), len(values) - 1, level)


def paired_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of first - second over paired seeds, with Student's t interval.

    A bootstrap over five seeds is too narrow by a third; the t interval is exact where differences are normal.

    Raises
    ------
    ValueError
        The two have different lengths.
    """
    differences = np.subtract(np.asarray(first), np.asarray(second))
    return interval(differences.tolist(), level)


def difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Interval:
    """The difference of the means of two independent samples, first - second, with Welch's t interval.

    The samples need not be of one size nor of one variance. A sample of one value has no variance, and gives nan for
    the ends.
    """
    value = mean(first) - mean(second)
    if min(len(first), len(second)) < 2:
        return Interval(value, float("nan"), float("nan"))
    errors = [deviation(values) ** 2 / len(values) for values in (first, second)]  # squared, of each mean
    if not any(errors):  # the degrees of freedom would be 0 / 0
        return Interval(value, value, value)
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (first, second), strict=True))
    return _around(value, math.sqrt(sum(errors)), freedom, level)


def _around(value: float, error: float, freedom: float, level: float) -> Interval:
    """Student's t interval from a standard error; scipy's tests do the same, but warn of samples without spread."""
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Interval(value, value - reach, value + reach)
