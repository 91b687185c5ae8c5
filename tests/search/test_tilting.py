"""Draws of any cost: of those that cost the same, each is as likely."""

import itertools
from collections import Counter, defaultdict

import scipy
import torch

from dfnas.runtime import seeds
from dfnas.search import tilting

COSTS = [torch.tensor(row, dtype=torch.float64) for row in ([0.0, 1.0, 2.0, 5.0], [1.0, 1.0, 3.0], [0.0, 2.0, 4.0])]


def test_of_those_that_cost_the_same_each_is_as_likely_and_the_outermost_come_often():
    generator, draws = seeds.generator(0, "test", 0), 8000
    counts = Counter(tuple(tilting.draw(COSTS, generator)) for _ in range(draws))
    by_cost = defaultdict(list)
    for option in itertools.product(*(range(len(row)) for row in COSTS)):
        by_cost[sum(float(row[k]) for row, k in zip(COSTS, option, strict=True))].append(counts[option])
    alike = [group for group in by_cost.values() if len(group) > 1]
    square = sum(scipy.stats.chisquare(group).statistic for group in alike)
    assert 0.01 < scipy.stats.chi2.sf(square, sum(len(group) - 1 for group in alike)) < 0.99
    # Uniform draws would give these two of 36 and one of 36.
    assert sum(by_cost[min(by_cost)]) > 0.2 * draws
    assert sum(by_cost[max(by_cost)]) > 0.2 * draws


def test_a_draw_is_a_function_of_the_generator():
    one, other = (seeds.generator(0, "test", 1) for _ in range(2))
    assert [tilting.draw(COSTS, one) for _ in range(20)] == [tilting.draw(COSTS, other) for _ in range(20)]


def test_options_of_one_cost_are_drawn_uniformly():
    generator = torch.Generator().manual_seed(0)
    counts = Counter(tilting.draw([torch.ones(4, dtype=torch.float64)], generator)[0] for _ in range(400))
    assert all(70 <= counts[option] <= 130 for option in range(4))
