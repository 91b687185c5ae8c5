"""Facts about the intervals that the chapters report."""

import math

import pytest
from scipy import stats

from dfnas import statistics


def test_the_difference_of_independent_samples_is_welchs():
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0]
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert statistics.difference(first, second) == pytest.approx((-1.0, low, high))
    assert statistics.difference(second, first) == pytest.approx((1.0, -high, -low))


def test_a_difference_to_one_value_has_no_interval_and_of_constants_has_no_width():
    alone = statistics.difference([0.5], [0.1, 0.2, 0.3])
    assert alone.value == pytest.approx(0.3)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    assert statistics.difference([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_the_degrees_of_freedom_are_welchs_and_the_level_is_the_callers():
    # worked by hand: errors 0.5 and 4/3, so 3.5328 degrees of freedom and a standard error of 1.35401
    interval = statistics.difference([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0], level=0.5)
    assert interval.high - interval.low == pytest.approx(2 * 1.35401 * stats.t.ppf(0.75, 3.5328), abs=1e-4)


def test_one_constant_sample_leaves_the_interval_of_the_other():
    varying = [0.1, 0.2, 0.4]
    assert statistics.difference(varying, [0.0, 0.0]) == pytest.approx(statistics.interval(varying))


@pytest.mark.filterwarnings("error")
def test_equal_values_give_an_interval_without_width_and_without_a_warning():
    low, high = statistics.interval([0.1, 0.1, 0.1])[1:]
    assert (low, high) == pytest.approx((0.1, 0.1))
    assert statistics.difference([0.3, 0.3], [0.1, 0.2, 0.3]).value == pytest.approx(0.1)
