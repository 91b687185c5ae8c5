"""How often claims are decided that chance alone is behind, and how often intervals hold the truth."""

import numpy as np
import pytest

from dfnas.chapters import results
from dfnas.records import claims
from dfnas.runtime import paths, statistics

from . import simulations

LAPTOP = results.read_folder(paths.published("laptop"))
CHAPTERS = ("04-darts", "05-spos", "06-proxylessnas")
SEARCH = [claim for claim in claims.CLAIMS if claim.chapter in CHAPTERS and not claim.name.endswith("control")]


def test_a_family_of_claims_without_an_effect_is_seldom_decided_at_all(monkeypatch):
    generator, wrong, alone, chapters = np.random.default_rng(0), 0, 0, 400
    for _ in range(chapters):
        drawn = [statistics.interval(generator.normal(size=size).tolist()) for size in (3, 4, 5, 8) for _ in range(5)]
        made = [claims.Claim(str(n), "chapter", "", lambda _, found=found: found) for n, found in enumerate(drawn)]
        monkeypatch.setattr(claims, "CLAIMS", made)
        states = [found.state for found in claims.findings({"chapter": {"metrics": {}}}).values()]
        wrong += states != [claims.UNDECIDED] * len(made)
        alone += any(found.low > 0 or found.high < 0 for found in drawn)
    assert wrong / chapters <= 0.07
    assert alone / chapters == pytest.approx(1 - 0.95**20, abs=0.06)


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
        simulated = {"05-spos": simulations.chapter(found)}
        assert claims.judge(claims.BY_NAME["spos-above-random"], simulated).state == claims.HOLDS


@pytest.mark.parametrize("among", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("count", [2, 3])
def test_intervals_over_windows_hold_the_truth(count, among):
    found = list(simulations.intervals(LAPTOP["09-pruning"]["metrics"], count, 1000, among))
    for name in found[0]:
        held = np.mean([each[name].low <= 0 <= each[name].high for each in found])
        assert held >= 0.94, name
