"""Spread and intervals over repeats; agreement of rankings, with intervals over what is ranked and who ranked it.

An interval is over what its values repeat: trainings of one find are one value for the search that found it.
scipy.stats is imported where it is called: it takes a second, and most who import this module want its types alone.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from dfnas.runtime.t_distribution import quantile, upper_tail

Values = Sequence[float] | np.ndarray
Rankings = Values | Sequence[Sequence[float]]  # a value a thing, or several such lists
COEFFICIENTS = ("tau", "spearman", "pearson")  # Kendall's tau-b, and the two others


class Interval(NamedTuple("Ends", [("value", float), ("low", float), ("high", float)])):
    """An estimate with the ends of its interval, of 95 % where nothing else is said.

    `freedom`: the degrees of freedom behind the ends, which are no part of the tuple; 1, the fewest, if nobody says.
    """

    freedom: float

    def __new__(cls, value: float, low: float, high: float, freedom: float = 1.0) -> "Interval":
        """The three ends, which the tuple is of, and the degrees of freedom beside them."""
        ends = super().__new__(cls, value, low, high)
        ends.freedom = freedom
        return ends

    @property
    def known(self) -> bool:
        """Whether it has ends; the estimate of one value has nan for them."""
        return not math.isnan(self.low)

    def scaled(self, factor: float) -> "Interval":
        """`factor` times the estimate; a negative factor turns the ends round."""
        value, *ends = (factor * end for end in self)
        return Interval(value, min(ends), max(ends), self.freedom)

    def shifted(self, by: float) -> "Interval":
        """The estimate plus a number that is known exactly."""
        value, low, high = (end + by for end in self)
        return Interval(value, low, high, self.freedom)

    def p_value(self) -> float:
        """Of the true value being 0, two-sided: below 0.05 where the 95 % interval leaves 0 out; nan without ends.

        The end that faces 0 gives the standard error, and Student's distribution with `freedom` the rest. A bootstrap's
        end is read in the same way; its freedom is that of the things drawn, or of these and the rankings together.
        """
        return self._p_value(1)

    def repeats(self, level: float = 0.05, most: int = 100) -> float:
        """The least number of times as many repeats that bring the p-value below `level`, if value and spread stay.

        inf where `most` times as many do not: the value lies at 0, or hardly beside it. nan without ends.
        """
        if not self.known:
            return math.nan
        return next((times for times in range(1, most + 1) if self._p_value(times) < level), math.inf)

    def _p_value(self, times: int) -> float:
        reach = self.value - self.low if self.value > 0 else self.high - self.value
        if reach <= 0:  # no spread at all
            return float(self.value == 0)
        errors = math.sqrt(times) * abs(self.value) / reach * quantile(self.freedom, 0.975)
        return 2 * upper_tail(times * (self.freedom + 1) - 1, errors)


class Summary(NamedTuple):
    """What a record keeps of several values: their mean, sample standard deviation and number."""

    mean: float
    deviation: float
    number: int


def summary(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of some values."""
    return Summary(mean(values), deviation(values), len(values))


def mean(values: Sequence[float]) -> float:
    """The mean."""
    return float(np.mean(values))


def deviation(values: Values) -> float:
    """The sample standard deviation (n - 1); 0 for one value, which has none."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def pooled_deviation(samples: Sequence[Sequence[float]]) -> float:
    """The standard deviation within samples that may differ in their means; 0 where none has two values."""
    freedom = sum(len(values) - 1 for values in samples)
    within = sum(deviation(values) ** 2 * (len(values) - 1) for values in samples)
    return math.sqrt(within / freedom) if freedom else 0.0


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

    The samples need not be of one size nor of one variance. Two or three values beside eight of the same spread miss
    the truth in 9 or 6 of 100 cases, so Student's for a common variance is taken where it is wider. A sample of one
    value has no variance, and gives nan for the ends.
    """
    return difference_of(summary(first), summary(second), level)


def interval_of(kept: Summary, level: float = 0.95, images: int = 0) -> Interval:
    """`interval`, of values that only their summary is left of.

    `images`: the values are accuracies, from 0 to 1, on one draw of so many test images, whose sampling variance, at
    most p (1 - p) / images, their spread does not hold. Where arms are compared on the same images, it cancels.
    """
    if kept.number < 2:
        return Interval(kept.mean, float("nan"), float("nan"))
    found = _around(kept.mean, kept.deviation / math.sqrt(kept.number), kept.number - 1, level)
    sampling = math.sqrt(kept.mean * (1 - kept.mean) / images) if images else 0.0
    reach = math.hypot(found.high - found.value, NormalDist().inv_cdf((1 + level) / 2) * sampling)
    return Interval(kept.mean, kept.mean - reach, kept.mean + reach, found.freedom)


def difference_of(first: Summary, second: Summary, level: float = 0.95) -> Interval:
    """`difference`, of samples that only their summaries are left of."""
    value, samples = first.mean - second.mean, (first, second)
    if min(first.number, second.number) < 2:
        return Interval(value, float("nan"), float("nan"))
    errors = [kept.deviation**2 / kept.number for kept in samples]  # squared, of each mean
    if not any(errors):  # the degrees of freedom would be 0 / 0
        return Interval(value, value, value, first.number + second.number - 2)
    freedom = sum(errors) ** 2 / sum(e**2 / (s.number - 1) for e, s in zip(errors, samples, strict=True))
    welch = _around(value, math.sqrt(sum(errors)), freedom, level)
    together = first.number + second.number - 2
    variance = sum(kept.deviation**2 * (kept.number - 1) for kept in samples) / together
    student = _around(value, math.sqrt(variance * (1 / first.number + 1 / second.number)), together, level)
    return min(welch, student, key=lambda each: each.low)


def _around(value: float, error: float, freedom: float, level: float) -> Interval:
    """Student's t interval from a standard error; scipy's tests do the same, but warn of samples without spread."""
    reach = quantile(freedom, (1 + level) / 2) * error
    return Interval(value, value - reach, value + reach, freedom)


def correlation(first: Values, second: Values, coefficient: str = "tau") -> float:
    """How far two lists of values agree: Kendall's tau-b, Spearman's or Pearson's coefficient, from -1 to 1.

    0 where all values of a list are equal: nothing is ordered, and an order that ties draw by lot has mean 0.

    Raises
    ------
    ValueError
        Lists of different lengths or of fewer than two values, values that are nan (or infinite, for Pearson's), or a
        coefficient that there is not.
    """
    from scipy import stats

    x, y = _pair(first, second)
    functions = {"tau": stats.kendalltau, "spearman": stats.spearmanr, "pearson": stats.pearsonr}
    if coefficient not in functions:
        raise ValueError(f"no coefficient {coefficient!r}; there are {', '.join(COEFFICIENTS)}")
    if coefficient == "pearson" and not np.isfinite([x, y]).all():
        raise ValueError("Pearson's coefficient is of finite values")
    if (x == x[0]).all() or (y == y[0]).all():
        return 0.0
    return float(functions[coefficient](x, y).statistic)


def correlation_interval(
    first: Rankings,
    second: Rankings,
    coefficient: str = "tau",
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """A coefficient with its bootstrap interval (percentiles), over the things that the two lists give values of.

    Either side may be several rankings, [supernets, things]: the coefficient is then the mean over all pairs of a
    ranking of each side, and the interval is wider by how far rankings of a side differ (of few, beyond -1 or 1). With
    one ranking a side, it says nothing of another. A resample whose values are all equal counts as 0, as in
    `correlation`. Raises ValueError as that does.
    """
    ones, others = _rows(first, second)
    drawn = _draws(ones.shape[1], resamples, seed)
    pairs, resampled = _agreement(ones, others, coefficient, drawn)
    return _over_rankings(resampled, ones.shape[1] - 1, [pairs.mean(1), pairs.mean(0)], pairs.mean(), level)


def correlation_difference(
    first: Rankings,
    second: Rankings,
    truth: Rankings,
    coefficient: str = "tau",
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """How much better `first` agrees with `truth` than `second` does, with its paired bootstrap interval.

    Paired: both coefficients of a resample are of the same drawn things, and both are taken with the same rankings of
    the truth, so what they share cancels. Rankings may be several, as in `correlation_interval`. Raises ValueError as
    `correlation` does.
    """
    (ones, truths), (others, _) = _rows(first, truth), _rows(second, truth)
    drawn = _draws(truths.shape[1], resamples, seed)
    (pairs, resampled), (less, taken) = (_agreement(each, truths, coefficient, drawn) for each in (ones, others))
    sides = [pairs.mean(1), less.mean(1), pairs.mean(0) - less.mean(0)]
    return _over_rankings(resampled - taken, truths.shape[1] - 1, sides, pairs.mean() - less.mean(), level)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's p-values: those of `values` below 0.05 hold all together, with one false one in twenty such families.

    The smallest is multiplied by how many there are, the next by one less, and none is smaller than one before it.
    """
    found, largest = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = found[place] = max(largest, min(1.0, (len(values) - rank) * values[place]))
    return found


def tau_deviation(count: int) -> float:
    """The standard deviation of Kendall's tau between two unrelated orders of `count` things without ties."""
    return math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))


def regret(scores: Sequence[float], truth: Sequence[float], k: int) -> float:
    """What is lost by looking only at the k things with the highest scores: the best of all less the best of these.

    In units of `truth`, at least 0. Of equal scores the first count as higher.

    Raises
    ------
    ValueError
        Lists of different lengths, or a k that is not from 1 to their length.
    """
    x, y = _pair(scores, truth)
    if not 1 <= k <= len(x):
        raise ValueError(f"k is {k}, and there are {len(x)}")
    top = np.argsort(-x, kind="stable")[:k]
    return float(y.max() - y[top].max())


def chance_regret(truth: Sequence[float], k: int, scores: Sequence[float] | None = None) -> float:
    """The mean regret of looking at k things drawn without replacement: what a ranking has to beat.

    With `scores`, of those that are drawn the one with the highest score is taken, and not the best (of equal scores
    the first): the mean regret of a random search. Raises ValueError where k is not from 1 to the number of values, or
    lists differ in length.
    """
    order, values = _pair(truth if scores is None else scores, truth)
    values = values[np.argsort(-order, kind="stable")][::-1]
    if not 1 <= k <= len(values):
        raise ValueError(f"k is {k}, and there are {len(values)}")
    # The highest of k is the i-th lowest of all (from 1) in C(i - 1, k - 1) of the C(n, k) subsets.
    ways = [math.comb(rank, k - 1) for rank in range(len(values))]
    shares = np.array([way / math.comb(len(values), k) for way in ways])
    return float(values.max() - shares @ values)


def _pair(first: Values, second: Values) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(f"two lists of one length, at least 2, are needed; they have {x.shape} and {y.shape}")
    if np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("values that are no numbers have no order")
    return x, y


def _rows(first: Rankings, second: Rankings) -> tuple[np.ndarray, np.ndarray]:
    """Both as [rankings, things]."""
    x, y = (np.atleast_2d(np.asarray(each, dtype=float)) for each in (first, second))
    for one in x:
        _pair(one, y[0])
    return x, y


def _draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """Indices [resamples, count], drawn with replacement."""
    return np.random.default_rng(seed).integers(count, size=(resamples, count))


def _agreement(
    first: np.ndarray, second: np.ndarray, coefficient: str, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The coefficient of each pair of rankings, [first, second], and its mean over the pairs for each resample."""
    pairs = np.array([[correlation(x, y, coefficient) for y in second] for x in first])
    return pairs, np.mean([_RESAMPLED[coefficient](x, y, drawn) for x in first for y in second], axis=0)


def _over_rankings(
    resampled: np.ndarray, freedom: float, sides: Sequence[np.ndarray], value: float, level: float
) -> Interval:
    """The percentiles of `resampled`, widened by the spread of each side's rankings over which `value` is a mean.

    A bootstrap of few rankings is too narrow: the squared reach of Student's interval for the mean of each side that
    has several is added to its own. The degrees of freedom, for p-values, are Satterthwaite's. What rankings' own
    noise does on few things is in both parts, so of few things the interval is too wide rather than too narrow.
    """
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    spread = [(deviation(side) ** 2 / len(side), len(side) - 1) for side in sides if len(side) > 1]
    squared = sum(error for error, _ in spread)
    if squared:
        error, things = float(np.var(resampled)), freedom
        freedom = (error + squared) ** 2 / sum(e**2 / f for e, f in [(error, things), *spread])
        wider = math.sqrt(sum(e * quantile(f, (1 + level) / 2) ** 2 for e, f in spread))
        low, high = value - math.hypot(value - low, wider), value + math.hypot(high - value, wider)
    return Interval(float(value), float(low), float(high), freedom)


def _taus(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Tau-b of each resample.

    A pair of things counts as often as the product of how often both were drawn, so all resamples are three products
    of matrices; scipy, one resample after the other, takes a hundred times as long.
    """
    rows = np.arange(len(drawn))[:, None]
    times = np.zeros((len(drawn), len(x)))
    np.add.at(times, (rows, drawn), 1.0)
    # Compared, not subtracted: a score may be minus infinity, of what computes nothing.
    signs = [(each[:, None] > each).astype(float) - (each[:, None] < each) for each in (x, y)]
    pairs = [((times @ each) * times).sum(1) for each in (signs[0] * signs[1], abs(signs[0]), abs(signs[1]))]
    return _ratio(pairs[0], pairs[1], pairs[2])


def _pearsons(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return _of_rows(x[drawn], y[drawn])


def _spearmans(x: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    from scipy import stats

    return _of_rows(stats.rankdata(x[drawn], axis=1), stats.rankdata(y[drawn], axis=1))


def _of_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's coefficient of each row of x with that of y."""
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return _ratio((x * y).sum(1), (x * x).sum(1), (y * y).sum(1))


def _ratio(above: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Above / sqrt(first second), and 0 where a resample has no spread."""
    below = np.sqrt(first * second)
    # Rounding leaves a trace of spread in rows of equal values.
    known = below > 1e-12 * max(float(below.max(initial=0.0)), 1e-300)
    return np.divide(above, below, out=np.zeros_like(above), where=known)


_RESAMPLED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "tau": _taus,
    "spearman": _spearmans,
    "pearson": _pearsons,
}
