"""Facts about the intervals that the chapters report."""

import math

import pytest
from scipy import stats

from dfnas import statistics


def test_the_difference_of_independent_samples_is_welchs():
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0]
    shares = 2.5 / 5, 4.0 / 3  # variance over size
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 4 + shares[1] ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(sum(shares))
    assert statistics.difference(first, second) == pytest.approx((-1.0, -1.0 - half, -1.0 + half))
    assert statistics.difference(second, first) == pytest.approx((1.0, 1.0 - half, 1.0 + half))


def test_a_difference_to_one_value_has_no_interval_and_of_constants_has_no_width():
    alone = statistics.difference([0.5], [0.1, 0.2, 0.3])
    assert alone.value == pytest.approx(0.3)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    assert statistics.difference([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_one_constant_sample_leaves_the_interval_of_the_other():
    varying = [0.1, 0.2, 0.4]
    assert statistics.difference(varying, [0.0, 0.0]) == pytest.approx(statistics.interval(varying))
