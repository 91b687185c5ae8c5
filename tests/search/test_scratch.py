"""Architectures trained from scratch, and the random ones beside them."""

import dataclasses
import json

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import darts as darts_chapter
from dfnas.chapters import proxylessnas, spos
from dfnas.errors import UserError
from dfnas.models import darts
from dfnas.runtime import stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])
SIZE = darts.Size(4, 3)


def draw(generator):
    return darts.to_text(darts.random_genotype(generator), SIZE)


def test_each_find_has_random_architectures_of_its_own_cost():
    """Two dear finds and a cheap one: a band that spans them all would hold what is like none of them."""
    recipe = dataclasses.replace(SETTINGS.darts.scratch, random=8, tolerance=0.05)
    every = sorted(scratch.macs(draw(torch.Generator().manual_seed(seed)), SETTINGS, recipe) for seed in range(40))
    costs = [every[35], every[35], every[4]]
    chosen = scratch.like_cost(draw, costs, SETTINGS, recipe)
    assert len(set(chosen)) == 8
    found = [scratch.macs(text, SETTINGS, recipe) for text in chosen]
    assert [sum(abs(value / cost - 1) <= 0.05 for value in found) for cost in (every[35], every[4])] == [6, 2]
    assert chosen == scratch.like_cost(draw, costs, SETTINGS, recipe)


@pytest.mark.parametrize(("chapter", "module"), [("darts", darts_chapter), ("spos", spos)])
@pytest.mark.parametrize("field", ["seeds", "random"])
def test_one_training_has_no_spread_to_report(chapter, module, field):
    with pytest.raises(UserError, match="2 or more"):
        module.check(profiles.load("smoke", 0, [f"{chapter}.scratch.{field}=1"]))


def test_where_nothing_costs_that_much_the_nearest_are_taken():
    recipe = dataclasses.replace(SETTINGS.darts.scratch, random=2)
    texts = [draw(torch.Generator().manual_seed(seed)) for seed in range(4)]
    turn = iter(texts * 250)
    chosen = scratch.like_cost(lambda generator: next(turn), [1e12] * 3, SETTINGS, recipe)
    costs = sorted((scratch.macs(text, SETTINGS, recipe) for text in texts), reverse=True)
    assert [scratch.macs(text, SETTINGS, recipe) for text in chosen] == costs[:2]
    with pytest.raises(UserError, match="holds 1 arch"):
        scratch.like_cost(lambda generator: texts[0], [1.0], SETTINGS, recipe)


def train(folder, text, stop_at=None):
    folder.mkdir(exist_ok=True)
    whole = scratch.DropPath.before

    def stopping(self, step, steps, rate, optimiser):
        if step == stop_at:
            raise KeyboardInterrupt
        whole(self, step, steps, rate, optimiser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch.DropPath, "before", stopping)
        scratch.train(folder, text, SETTINGS, SETTINGS.darts.scratch, 0)
    return json.loads((folder / "scratch.json").read_text())


def test_training_with_all_extras_goes_on_to_the_same_bits(tmp_path):
    """Auxiliary head, drop-path and cutout are on in smoke."""
    text = darts.to_text(darts.DARTS_V2, SIZE)
    whole = train(tmp_path / "whole", text)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", text, stop_at=5)
    assert train(tmp_path / "stopped", text) == whole
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert whole["architecture"] == text
    assert 0 <= whole["accuracy"] <= 1


@pytest.mark.parametrize("chapter", ["spos", "proxylessnas"])
def test_the_space_s_dropout_reaches_networks_that_are_trained_from_scratch(chapter, monkeypatch, tmp_path):
    """Of all that a chapter trains from scratch: an architecture's text does not hold it."""
    rates, module = {}, {"spos": spos, "proxylessnas": proxylessnas}[chapter]

    def noted(network, *args, **options):
        rates[current].update(layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout))
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch.loop, "train", noted)
    monkeypatch.setattr(scratch, "read_architectures", lambda folder: [TEXTS[chapter]] * 9)
    keys = {}
    for dropout in (0.0, 0.3):
        settings, calls = profiles.load("smoke", 0, [f"{chapter}.space.dropout={dropout}"]), []
        with monkeypatch.context() as patch, stages.dry():
            patch.setattr(stages, "stage", watched(calls, keys.setdefault(dropout, {})))
            module.compute(settings)
        rates[current := dropout] = set()
        for name, function in calls:
            if "-found-" in name or "-random-" in name:
                with pytest.raises(KeyboardInterrupt):
                    function(tmp_path)
        assert rates[dropout] == {dropout}
    assert all(keys[0.0][name] != keys[0.3][name] for name, _ in calls if "-found-" in name)


TEXTS = {
    "spos": "spos:1;stem=8;stem_stride=1;widths=16,32;repeats=2,2;strides=2,2;tail=64;choices=0212",
    "proxylessnas": "proxyless:1;stem=8;stem_stride=2;first=4;widths=8,16;repeats=2,2;strides=2,1;tail=32;choices=0606",
}


def watched(calls, keys):
    original = stages.stage

    def noted(name, function, *rest, **options):
        artefact = original(name, function, *rest, **options)
        calls.append((name, function))
        keys[name] = artefact.key
        return artefact

    return noted


def test_drop_path_rises_along_a_line():
    network = darts.Network(darts.DARTS_V2, SIZE, 10, 1)
    companion = scratch.DropPath(network, 0.2)
    seen = []
    for step in range(5):
        companion.before(step, 5, 0.1, None)
        seen.append(network.drop_path)
    assert seen == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])


def test_results_are_gathered_by_arm(tmp_path):
    made = {}
    for label, accuracy in (("found-synthetic-0", 0.5), ("found-synthetic-1", 0.6), ("random-0", 0.4)):
        folder = tmp_path / label
        folder.mkdir()
        facts = {"accuracy": accuracy, "macs": 10, "parameters": 5, "architecture": "darts:…"}
        (folder / "scratch.json").write_text(json.dumps(facts))
        made[label] = Artefact(label, "", folder)
    made["random"] = Artefact("random", "", tmp_path)  # the draw itself has no accuracy
    arms = scratch.results(made)
    assert arms["found_on_synthetic"]["accuracy"] == [0.5, 0.6]
    assert arms["random"]["accuracy"] == [0.4]
    assert set(arms) == {"found_on_synthetic", "random"}


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
COMPARED = scratch.compared(ARMS, 0.15)


def test_a_find_is_compared_with_random_ones_of_its_cost_or_the_nearest():
    """Within 15 % of 10, 20 and 8: two, two, and one with the nearest beside it, as a spread takes two."""
    likes = {name: COMPARED[f"random_for_{name}"]["macs"] for name in ("synthetic", "real", "noise")}
    assert likes == {"synthetic": [9, 9], "real": [19, 22], "noise": [9, 9]}
    assert COMPARED["random_for_real"]["accuracy"] == [0.375, 0.75]
    assert COMPARED["random"] == COMPARED["random_for_synthetic"]
    assert scratch.compared(ARMS, 0.25)["random_for_synthetic"]["macs"] == [9, 12, 9]
    assert COMPARED["found_on_real"] is ARMS["found_on_real"]


def test_an_arm_is_worth_its_accuracy_with_spread_at_its_mean_cost():
    found = scratch.worth(COMPARED)
    assert found["found_on_real"] == statistics.summary([0.5, 0.25])
    assert (found["random_macs"], found["random_parameters"]) == (9.0, 3.0)
    assert (found["random_for_real_macs"], found["random_for_real_parameters"]) == (20.5, 6.0)
    assert len(found) == 3 * len(COMPARED) == 3 * 7


def test_finds_are_compared_seed_by_seed_and_with_random_architectures_as_samples():
    found = scratch.differences(COMPARED)
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
    found, means = scratch.differences(arms), ([0.625, 0.375, 0.375], [0.375, 0.25])
    assert scratch.worth(arms)["found_on_synthetic"] == statistics.summary(means[0])
    assert (found["searches_synthetic"], found["searches_real"], found["searches_noise"]) == (3, 2, 1)
    assert found["difference_synthetic_real"] == statistics.difference(*means).scaled(100)
    beside = statistics.difference(means[0], ARMS["random"]["accuracy"])
    assert found["difference_synthetic_random"] == beside.scaled(100)
    # one search on noise: its find is paired by seed with the first one on synthetic images
    assert found["difference_synthetic_noise"].value == pytest.approx(37.5)


def test_a_find_is_ahead_of_random_architectures_that_it_is_better_than():
    assert [scratch.ahead_of(COMPARED, name) for name in ("synthetic", "real", "noise")] == [2, 0, 0]
