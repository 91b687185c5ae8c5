"""How often claims are decided that chance alone is behind, and how often intervals hold the truth."""

import numpy as np
import pytest

from dfnas.chapters import results
from dfnas.records import claims

from . import simulations

LAPTOP = results.read_folder(results.published("laptop"))
SEARCH = [claim for claim in claims.CLAIMS if claim.chapter in ("04-darts", "05-spos", "06-proxylessnas")]


@pytest.mark.parametrize("searches", [1, 2, 3])
@pytest.mark.parametrize("claim", SEARCH, ids=lambda claim: claim.name)
def test_searches_that_are_no_better_than_a_random_draw_are_seldom_decided(claim, searches):
    share = simulations.decided(claim, LAPTOP[claim.chapter], searches, 100 if searches == 1 else 1000)
    assert share <= 0.06
    assert (share == 0) == (searches == 1)  # several do decide


def test_a_large_effect_is_decided_by_three_searches():
    generator, record = np.random.default_rng(0), LAPTOP["05-spos"]
    for _ in range(20):
        found = simulations.standings.differences(simulations.arms(generator, record["metrics"], 3, 0.1))
        simulated = {"metrics": simulations.records.flat(found), "parameters": {"data": {"name": "cifar10"}}}
        assert claims.judge(claims.BY_NAME["spos-above-random"], {"05-spos": simulated}).state == claims.HOLDS


@pytest.mark.parametrize("among", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("count", [2, 3])
def test_intervals_over_windows_hold_the_truth(count, among):
    found = list(simulations.intervals(LAPTOP["09-pruning"]["metrics"], count, 1000, among))
    for name in found[0]:
        held = np.mean([each[name].low <= 0 <= each[name].high for each in found])
        assert held >= 0.94, name
