"""What is said of finds, and of the random ones beside them."""

import dataclasses
import json
import math

import numpy as np
import pytest

from dfnas import profiles
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import standings


def test_results_are_gathered_by_arm(tmp_path):
    made = {}
    for label, accuracy in (
        *(("found-real_soft-0-0", 0.5), ("found-real_soft-0-1", 0.6), ("found-real_soft-7-0", 0.7)),
        ("random-0", 0.4),
    ):
        folder = tmp_path / label
        folder.mkdir()
        facts = {"accuracy": accuracy, "macs": 10, "parameters": 5, "architecture": "darts:…"}
        (folder / "scratch.json").write_text(json.dumps(facts), encoding="utf-8")
        made[label] = Artefact(label, "", folder)
    made["random"] = Artefact("random", "", tmp_path)  # the draw itself has no accuracy
    arms = standings.results(made)
    assert arms["found_on_real_soft"]["accuracy"] == [0.5, 0.6, 0.7]
    assert arms["found_on_real_soft"]["search"] == [0, 0, 7]
    assert arms["random"]["accuracy"] == [0.4]
    assert set(arms) == {"found_on_real_soft", "random"}


ARMS = {
    "found_on_synthetic": {"accuracy": [0.75, 0.5], "macs": [10, 10], "parameters": [4, 4]},
    "found_on_real": {"accuracy": [0.5, 0.25], "macs": [20, 20], "parameters": [5, 5]},
    "found_on_noise": {"accuracy": [0.25, 0.25], "macs": [8, 8], "parameters": [3, 3]},
    "random": {
        "accuracy": [0.5, 0.625, 0.25, 0.125, 0.375, 0.75],
        "macs": [9, 12, 9, 30, 19, 22],
        "parameters": [3, 6, 3, 8, 5, 7],
    },
}
SCRATCH = dataclasses.replace(profiles.load("smoke").darts.scratch, alike=2, tolerance=0.15)
COMPARED = standings.compared(ARMS, SCRATCH)


def test_a_find_is_compared_with_random_ones_of_its_cost_or_the_nearest():
    """Within 15 % of 10, 20 and 8: two, two, and one with the nearest beside it, as a spread takes two."""
    likes = {name: COMPARED[f"random_for_{name}"]["macs"] for name in ("synthetic", "real", "noise")}
    assert likes == {"synthetic": [9, 9], "real": [19, 22], "noise": [9, 9]}
    assert COMPARED["random_for_real"]["accuracy"] == [0.375, 0.75]
    assert COMPARED["random"] == COMPARED["random_for_synthetic"]
    wider = dataclasses.replace(SCRATCH, tolerance=0.25)
    assert standings.compared(ARMS, wider)["random_for_synthetic"]["macs"] == [9, 12, 9]
    more = dataclasses.replace(SCRATCH, alike=4)
    assert standings.compared(ARMS, more)["random_for_real"]["macs"] == [12, 30, 19, 22]


def test_each_of_several_finds_has_random_ones_of_its_own_cost():
    found = {"accuracy": [0.5, 0.5], "macs": [9, 30], "parameters": [1, 1], "search": [0, 1]}
    alike = standings.compared({"found_on_synthetic": found, "random": ARMS["random"]}, SCRATCH)
    assert alike["random_for_synthetic"]["macs"] == [9, 9, 30, 22]
    assert COMPARED["found_on_real"] is ARMS["found_on_real"]


def test_trainings_of_one_find_are_set_beside_random_architectures():
    """Within finds 0.177, 0.177 and 0 of one degree of freedom each; two searches of an arm are two finds."""
    found = standings.spreads(ARMS)
    assert found["spread_trainings"] == pytest.approx(100 * math.sqrt((2 * 0.125**2 * 2 + 0) / 3))
    assert found["spread_random"] == pytest.approx(100 * np.std(ARMS["random"]["accuracy"], ddof=1))
    apart = {"accuracy": [0.75, 0.75, 0.5, 0.5], "search": [0, 0, 1, 1]}
    assert standings.spreads({"found_on_real": apart, "random": ARMS["random"]})["spread_trainings"] == 0


def test_an_arm_is_worth_its_accuracy_with_spread_at_its_mean_cost():
    found = standings.worth(COMPARED)
    assert found["found_on_real"] == statistics.summary([0.5, 0.25])
    assert (found["random_macs"], found["random_parameters"]) == (9.0, 3.0)
    assert (found["random_for_real_macs"], found["random_for_real_parameters"]) == (20.5, 6.0)
    assert len(found) == 3 * len(COMPARED) == 3 * 7


def test_finds_are_compared_seed_by_seed_and_with_random_architectures_as_samples():
    found = standings.differences(COMPARED)
    assert found["difference_synthetic_real"] == (25.0, 25.0, 25.0)  # in points; the same for each seed
    for name, alike in (("synthetic", [0.5, 0.25]), ("real", [0.375, 0.75])):
        unpaired = statistics.difference(ARMS[f"found_on_{name}"]["accuracy"], alike)
        assert found[f"difference_{name}_random"] == pytest.approx([100 * end for end in unpaired])
    assert set(found) == {
        f"difference_{pair}"
        for pair in (
            "synthetic_real",
            "synthetic_noise",
            "real_noise",
            "synthetic_random",
            "real_random",
            "noise_random",
        )
    } | {"searches_synthetic", "searches_real", "searches_noise"}
    assert found["searches_synthetic"] == 1


def several(*finds):
    """An arm of several searches, each with the accuracies of its find's trainings."""
    pairs = [(search, accuracy) for search, find in enumerate(finds) for accuracy in find]
    columns = {"search": [search for search, _ in pairs], "accuracy": [accuracy for _, accuracy in pairs]}
    return columns | dict.fromkeys(("macs", "parameters"), [1] * len(pairs))


def test_of_several_searches_each_is_one_value_however_often_its_find_was_trained():
    arms = (
        ARMS
        | {f"random_for_{name}": ARMS["random"] for name in ("synthetic", "real", "noise")}
        | {"found_on_synthetic": several([0.75, 0.5], [0.5, 0.25], [0.25, 0.5])}
    )
    arms |= {"found_on_real": several([0.5, 0.25], [0.25, 0.25])}
    found, means = standings.differences(arms), ([0.625, 0.375, 0.375], [0.375, 0.25])
    assert standings.worth(arms)["found_on_synthetic"] == statistics.summary(means[0])
    assert (found["searches_synthetic"], found["searches_real"], found["searches_noise"]) == (3, 2, 1)
    assert found["difference_synthetic_real"] == statistics.difference(*means).scaled(100)
    beside = statistics.difference(means[0], ARMS["random"]["accuracy"])
    assert found["difference_synthetic_random"] == beside.scaled(100)
    # one search on noise: its find is paired by seed with the first one on synthetic images
    assert found["difference_synthetic_noise"].value == pytest.approx(37.5)


def test_a_find_is_ahead_of_random_architectures_that_it_is_better_than():
    assert [standings.ahead_of(COMPARED, name) for name in ("synthetic", "real", "noise")] == [2, 0, 0]
