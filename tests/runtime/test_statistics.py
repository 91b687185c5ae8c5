"""Facts about the intervals that the chapters report."""

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from dfnas.runtime import statistics, t_distribution


@pytest.mark.parametrize("freedom", [0.7, 1, 2, 2.5, 7, 30, 101.3, 1e4])
def test_our_t_distribution_is_scipys(freedom: float):
    """Far into its tails, too: a p-value may be small."""
    for t in (0.0, 1e-6, 0.5, 1.0, 1.7, 3.0, 12.0, 1e3):
        assert t_distribution.upper_tail(freedom, t) == pytest.approx(special.stdtr(freedom, -t), rel=1e-10)
    for probability in (0.5, 0.6, 0.975, 0.9995, 1 - 1e-6):
        t = special.stdtrit(freedom, probability)
        assert t_distribution.quantile(freedom, probability) == pytest.approx(t, rel=1e-9, abs=1e-12)
    assert math.isnan(t_distribution.upper_tail(freedom, math.nan))
    assert math.isnan(t_distribution.quantile(0, 0.975))


def test_the_difference_of_independent_samples_is_welchs():
    first, second = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0]
    low, high = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert statistics.difference(first, second) == pytest.approx((-1.0, low, high))
    assert statistics.difference(second, first) == pytest.approx((1.0, -high, -low))


def test_the_pooled_deviation_is_that_of_an_analysis_of_variance():
    random = np.random.default_rng(0)
    samples = [(mean + 2.0 * random.standard_normal(size)).tolist() for mean, size in ((0, 400), (50, 600))]
    residuals = [value - np.mean(sample) for sample in samples for value in sample]
    assert statistics.pooled_deviation(samples) == pytest.approx(math.sqrt(np.dot(residuals, residuals) / 998))
    assert statistics.pooled_deviation([[0.3, 0.5], [7.0]]) == statistics.deviation([0.3, 0.5])
    assert statistics.pooled_deviation([[0.3], [0.5]]) == 0.0


def test_a_difference_to_one_value_has_no_interval_and_of_constants_has_no_width():
    alone = statistics.difference([0.5], [0.1, 0.2, 0.3])
    assert alone.value == pytest.approx(0.3)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    assert statistics.difference([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_few_values_beside_many_do_not_decide_more_often_than_they_say():
    """Welch's alone would: in 9 and 6 of 100 draws of two and three values beside eight of the same distribution."""
    random = np.random.default_rng(0)
    for count in (2, 3):
        sides = [(random.normal(size=count).tolist(), random.normal(size=8).tolist()) for _ in range(4000)]
        found = [statistics.difference(*pair) for pair in sides]
        assert np.mean([each.low > 0 or each.high < 0 for each in found]) <= 0.05
        least = [min(stats.ttest_ind(*pair, equal_var=False).confidence_interval().low for pair in sides[:40])]
        assert min(each.low for each in found[:40]) <= least[0] + 1e-12


def test_the_degrees_of_freedom_are_welchs_and_the_level_is_the_callers():
    # worked by hand: errors 0.5 and 4/3, so 3.5328 degrees of freedom and a standard error of 1.35401
    interval = statistics.difference([1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0], level=0.5)
    assert interval.high - interval.low == pytest.approx(2 * 1.35401 * stats.t.ppf(0.75, 3.5328), abs=1e-4)


def test_an_interval_is_scaled_and_shifted_as_a_whole():
    estimate = statistics.Interval(0.5, -0.25, 1.0)
    assert estimate.scaled(100) == (50.0, -25.0, 100.0)
    assert estimate.scaled(-2) == (-1.0, -2.0, 0.5)  # the ends change places
    assert estimate.shifted(0.25) == (0.75, 0.0, 1.25)
    assert estimate.known
    assert not statistics.interval([0.5]).scaled(-1).known


def test_p_values_of_intervals_are_those_of_the_tests_of_scipy():
    values, eight = [0.1, 0.4, 0.25, 0.3], [0.15, 0.2, 0.05, 0.1, 0.3, 0.22, 0.18, 0.02]
    for limit in (0.0, 0.2, 0.5):
        tested = stats.ttest_1samp(values, limit).pvalue
        assert statistics.interval(values).shifted(-limit).p_value() == pytest.approx(tested)
        assert statistics.interval(values).scaled(-100).shifted(100 * limit).p_value() == pytest.approx(tested)
    assert statistics.difference(values, eight).p_value() == pytest.approx(
        max(stats.ttest_ind(values, eight, equal_var=each).pvalue for each in (False, True))
    )
    x = np.random.default_rng(0).normal(size=(2, 40))
    found = statistics.correlation_interval(*x)
    assert found.freedom == 39
    assert statistics.correlation_difference(x[0], x[1], x[0]).freedom == 39
    assert found.shifted(-found.low).p_value() == pytest.approx(0.05)
    assert found.shifted(-found.high).p_value() == pytest.approx(0.05)


def test_how_many_times_as_many_repeats_would_tell_a_value_from_0():
    values = [0.4, -0.1, 0.7, 0.1]
    found = statistics.interval(values)
    times = found.repeats()
    for count in (times - 1, times):  # by Student's distribution, with the spread of the four
        error = statistics.deviation(values) / math.sqrt(4 * count)
        tested = 2 * stats.t.sf(found.value / error, 4 * count - 1)
        assert (tested < 0.05) == (count == times)
    assert found.repeats(0.001) > times
    assert statistics.interval([1.0, 1.1]).repeats() == 1
    assert statistics.Interval(0.0, -1.0, 1.0, 3).repeats() == math.inf
    assert math.isnan(statistics.interval([0.5]).repeats())


def test_p_values_without_spread_or_without_ends():
    assert statistics.Interval(1.0, 1.0, 1.0).p_value() == 0
    assert statistics.Interval(0.0, 0.0, 0.0).p_value() == 1
    assert math.isnan(statistics.interval([0.5]).p_value())


def test_holms_p_values():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.01]) == pytest.approx([0.5, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_one_constant_sample_leaves_the_interval_of_the_other():
    varying = [0.1, 0.2, 0.4]
    assert statistics.difference(varying, [0.0, 0.0]) == pytest.approx(statistics.interval(varying))


@pytest.mark.filterwarnings("error")
def test_equal_values_give_an_interval_without_width_and_without_a_warning():
    low, high = statistics.interval([0.1, 0.1, 0.1])[1:]
    assert (low, high) == pytest.approx((0.1, 0.1))
    assert statistics.difference([0.3, 0.3], [0.1, 0.2, 0.3]).value == pytest.approx(0.1)


def of_images(right, trainings):
    """Accuracies of some trainings on the same test images, of which each is right with a probability of its own."""
    return (np.random.default_rng(int(1e6 * right[0])).random((trainings, len(right))) < right).mean(1).tolist()


def test_the_sampling_of_test_images_is_in_the_interval_of_an_accuracy_that_stands_alone():
    random, missed, without = np.random.default_rng(1), 0, 0
    for _ in range(600):
        kept = statistics.summary(of_images(random.beta(0.6, 0.6, size=360), 3))  # of mean 1/2
        for images in (0, 360):
            found = statistics.interval_of(kept, images=images)
            out = not found.low <= 0.5 <= found.high
            missed, without = missed + (out and images > 0), without + (out and images == 0)
    assert missed / 600 <= 0.06 < 0.1 < without / 600
    # worked by hand: no spread, and sqrt(0.2 * 0.8 / 400) = 0.02
    alone = statistics.interval_of(statistics.Summary(0.2, 0.0, 3), images=400)
    assert alone == pytest.approx((0.2, 0.2 - 1.96 * 0.02, 0.2 + 1.96 * 0.02), abs=1e-5)
    kept = statistics.Summary(0.2, 0.01, 3)
    assert statistics.interval_of(kept, images=10**6).high > statistics.interval_of(kept).high  # never narrower


def test_what_two_arms_have_in_common_on_the_same_test_images_cancels_in_their_difference():
    """Searches of two sources, each find with images of its own that it finds easier; no source is the better one."""
    random, missed = np.random.default_rng(2), 0
    for _ in range(600):
        common = random.normal(size=360)
        finds = [
            [statistics.mean(of_images(right, 3)) for right in 1 / (1 + np.exp(-common - random.normal(size=(3, 360))))]
            for _ in range(2)
        ]
        found = statistics.difference(*finds)
        missed += not found.low <= 0 <= found.high
    assert missed / 600 <= 0.06


def test_coefficients_of_five_and_of_ties():
    x, y = [1, 2, 3, 4, 5], [3, 1, 2, 5, 4]
    assert statistics.correlation(x, y, "tau") == pytest.approx(0.4)
    assert statistics.correlation(x, y, "spearman") == pytest.approx(0.6)
    assert statistics.correlation([1, 1, 2, 3], [1, 2, 2, 3], "tau") == pytest.approx(0.8)
    assert statistics.correlation([1, 2, 3], [10, 20, 30], "pearson") == pytest.approx(1.0)
    with pytest.raises(ValueError, match="tau, spearman, pearson"):
        statistics.correlation(x, y, "gamma")


@pytest.mark.parametrize("coefficient", statistics.COEFFICIENTS)
def test_an_interval_is_that_of_scipy_s_coefficients_of_resamples(coefficient):
    generator = np.random.default_rng(5)
    x = generator.integers(6, size=15).astype(float)  # with ties
    y = x + generator.normal(size=15)
    drawn = np.random.default_rng(3).integers(15, size=(300, 15))
    each = [statistics.correlation(x[row], y[row], coefficient) for row in drawn]
    interval = statistics.correlation_interval(x, y, coefficient, resamples=300, seed=3)
    assert interval == pytest.approx((statistics.correlation(x, y, coefficient), *np.quantile(each, [0.025, 0.975])))
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize("coefficient", statistics.COEFFICIENTS)
@pytest.mark.filterwarnings("error")
def test_what_orders_nothing_has_coefficient_0(coefficient):
    assert statistics.correlation_interval([0.796] * 5, [1, 2, 3, 4, 5], coefficient) == (0.0, 0.0, 0.0)
    # of two things, half of the resamples are the same thing twice
    assert statistics.correlation_interval([0.1, 0.2], [0.3, 0.7], coefficient) == pytest.approx((1.0, 0.0, 1.0))


@pytest.mark.parametrize("coefficient", ["tau", "spearman"])
@pytest.mark.filterwarnings("error")
def test_scores_of_minus_infinity_are_the_lowest_and_tied(coefficient):
    """SynFlow of networks that let nothing through."""
    truth, scores = [1.0, 3.0, 2.0, 5.0, 4.0, 6.0], np.array([-math.inf, -math.inf, 2.0, 3.0, 4.0, 5.0])
    low = np.where(np.isinf(scores), -100.0, scores)
    found = statistics.correlation_interval(scores, truth, coefficient, resamples=300)
    assert found == statistics.correlation_interval(low, truth, coefficient, resamples=300)
    assert found.low < found.value < found.high
    apart = statistics.correlation_difference(scores, truth[::-1], truth, coefficient, resamples=300)
    assert apart == statistics.correlation_difference(low, truth[::-1], truth, coefficient, resamples=300)


def test_what_has_no_coefficient_is_refused():
    for coefficient in statistics.COEFFICIENTS:
        with pytest.raises(ValueError, match="no numbers"):
            statistics.correlation([1.0, math.nan, 2.0], [1.0, 2.0, 3.0], coefficient)
    with pytest.raises(ValueError, match="finite"):
        statistics.correlation([1.0, -math.inf, 2.0], [1.0, 2.0, 3.0], "pearson")


def test_a_difference_of_coefficients_is_paired():
    generator = np.random.default_rng(1)
    truth = generator.normal(size=30)
    good, bad = truth + 0.3 * generator.normal(size=30), generator.normal(size=30)
    difference = statistics.correlation_difference(good, bad, truth)
    value = statistics.correlation(good, truth) - statistics.correlation(bad, truth)
    assert difference.value == pytest.approx(value)
    assert 0 < difference.low < value < difference.high
    assert statistics.correlation_difference(good, good, truth) == (0.0, 0.0, 0.0)
    # rankings that differ in one pair alone: the interval is far narrower than that of either
    close = good.copy()
    close[[0, 1]] = close[[1, 0]]
    narrow, own = statistics.correlation_difference(good, close, truth), statistics.correlation_interval(good, truth)
    assert narrow.high - narrow.low < 0.5 * (own.high - own.low)


def test_bootstrap_intervals_cover_what_they_are_said_to():
    """Of normal pairs with correlation 1/2, tau is 1/3 in the population; a 95 % interval of 40 seldom misses it."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(200):
        x, noise = generator.normal(size=(2, 40))
        interval = statistics.correlation_interval(x, 0.5 * x + math.sqrt(0.75) * noise, resamples=400)
        hits += interval.low <= 1 / 3 <= interval.high
    assert 175 <= hits <= 199


def supernets(generator, count, features):
    """Scores of paths by supernets that have a taste of their own beside the one they share, [count, paths]."""
    tastes = 0.4 + 0.6 * generator.normal(size=(count, features.shape[1]))
    return tastes @ features.T + generator.normal(size=(count, len(features)))


def test_intervals_over_several_supernets_cover_what_those_over_paths_of_one_do_not():
    generator, both, of_one, values = np.random.default_rng(0), [], [], []
    for _ in range(120):
        features = generator.normal(size=(40, 6))
        first, second = (supernets(generator, 3, features) for _ in range(2))
        both.append(statistics.correlation_interval(first, second, resamples=300))
        of_one.append(statistics.correlation_interval(first[0], second[0], resamples=300))
        values.append(both[-1].value)
    truth = np.mean(values)
    covers = [np.mean([each.low <= truth <= each.high for each in found]) for found in (both, of_one)]
    assert covers[0] >= 0.94
    assert covers[1] <= 0.75


def test_an_interval_over_few_supernets_adds_the_squared_reach_of_students_of_each_side():
    """Of so many paths that they add nothing, the interval is over supernets, with their degrees of freedom."""
    generator = np.random.default_rng(7)
    truth = generator.normal(size=1500)
    one, other = (
        [share * truth + generator.normal(size=1500) for share in shares]
        for shares in ((0.4, 1.2, 2.0, 0.7), (0.1, 0.5, 0.9))
    )
    found = statistics.correlation_difference(one, other, truth, resamples=100)
    taus = [[statistics.correlation(each, truth) for each in several] for several in (one, other)]
    sides = [statistics.interval(several) for several in taus]
    reach = math.hypot(*(side.high - side.value for side in sides))
    value = sides[0].value - sides[1].value
    assert found == pytest.approx((value, value - reach, value + reach), abs=0.01)
    welch = stats.ttest_ind(*taus, equal_var=False)
    assert found.freedom == pytest.approx(welch.df, rel=0.05)
    assert found.low < welch.confidence_interval().low
    assert welch.pvalue < found.p_value() < 2 * welch.pvalue
    several = statistics.correlation_interval(truth, one, resamples=100)
    assert several == pytest.approx(sides[0], abs=0.01)
    assert several.freedom == pytest.approx(3, rel=0.05)
    # several rankings of the truth count, in a difference, by what each says of it
    x, y = generator.normal(size=(2, 1500))
    truths = [a * x + b * y for a, b in ((1, 0.2), (0.3, 1), (1, 1), (0.5, 0.9))]
    apart = statistics.correlation_difference(x, y, truths, resamples=100)
    ahead = [statistics.correlation(x, each) - statistics.correlation(y, each) for each in truths]
    assert apart == pytest.approx(statistics.interval(ahead), abs=0.02)
    assert apart.freedom == pytest.approx(3, rel=0.05)


def test_an_interval_over_two_supernets_against_a_fixed_ranking_covers_what_another_two_would_say():
    generator, found = np.random.default_rng(0), []
    for _ in range(150):
        features = generator.normal(size=(100, 6))
        truth = features.sum(1) + generator.normal(size=100)
        found.append(statistics.correlation_interval(supernets(generator, 2, features), truth, resamples=100))
    middle = np.mean([each.value for each in found])
    least = 0.95 - 2 * math.sqrt(0.95 * 0.05 / len(found))  # two standard errors of a share of so many
    assert np.mean([each.low <= middle <= each.high for each in found]) >= least


def test_a_difference_of_a_few_supernets_of_one_kind_is_seldom_told_from_zero():
    generator, values = np.random.default_rng(0), []
    for _ in range(120):
        features = generator.normal(size=(40, 6))
        truth = features.sum(1) + generator.normal(size=40)
        pair = (supernets(generator, 3, features) for _ in range(2))
        values.append(statistics.correlation_difference(*pair, truth, resamples=100).p_value())
    assert np.mean(np.less(values, 0.05)) <= 0.06


def test_a_coefficient_over_rankings_is_the_mean_over_pairs_and_a_difference_shares_those_of_the_truth():
    generator = np.random.default_rng(3)
    one, truth, other = (generator.normal(size=(count, 20)) for count in (2, 3, 1))
    found = statistics.correlation_interval(one, truth, resamples=200)
    assert found.value == pytest.approx(np.mean([statistics.correlation(x, y) for x in one for y in truth]))
    assert statistics.correlation_interval(other, truth[0]) == statistics.correlation_interval(other[0], truth[0])
    apart = statistics.correlation_difference(one, other, truth, resamples=200)
    alone = statistics.correlation_interval(other, truth, resamples=200)
    assert apart.value == pytest.approx(found.value - alone.value)
    assert statistics.correlation_difference(other, other, truth) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="one length"):
        statistics.correlation_interval(one, truth[:, :19])


def test_the_deviation_of_tau_is_kendalls():
    assert statistics.tau_deviation(100) == pytest.approx(0.0678, abs=5e-5)
    assert statistics.tau_deviation(1000) == pytest.approx(0.0211, abs=5e-5)
    assert statistics.tau_deviation(2) == pytest.approx(1.0)  # tau is -1 or 1


def test_regret_is_what_the_best_of_the_top_lacks():
    truth, scores = [0.5, 0.9, 0.7, 0.8], [4, 1, 3, 2]
    assert [statistics.regret(scores, truth, k) for k in (1, 2, 3, 4)] == pytest.approx([0.4, 0.2, 0.1, 0.0])
    assert statistics.regret([1, 1, 1, 1], truth, 1) == pytest.approx(0.4)  # of equals, the first
    with pytest.raises(ValueError, match="k is 5"):
        statistics.regret(scores, truth, 5)


def test_chance_regret_is_the_mean_over_all_subsets():
    truth = [0.5, 0.9, 0.7, 0.8, 0.8]
    for k in range(1, 6):
        losses = [0.9 - max(subset) for subset in itertools.combinations(truth, k)]
        assert statistics.chance_regret(truth, k) == pytest.approx(np.mean(losses))


def test_what_random_search_loses_is_the_mean_over_all_draws_of_what_a_judge_keeps():
    truth, scores = [0.5, 0.9, 0.7, 0.8, 0.6], [3, 1, 5, 2, 5]  # of equal scores the first is kept
    for k in range(1, 6):
        kept = [truth[max(some, key=lambda i: (scores[i], -i))] for some in itertools.combinations(range(5), k)]
        assert statistics.chance_regret(truth, k, scores) == pytest.approx(0.9 - np.mean(kept))
    assert statistics.chance_regret(truth, 5, scores) == pytest.approx(statistics.regret(scores, truth, 1))
