"""Architectures trained from scratch, and the random ones beside them."""

import dataclasses
import json

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import proxylessnas, spos
from dfnas.errors import UserError
from dfnas.models import darts
from dfnas.runtime import stages
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
    return json.loads((folder / "scratch.json").read_bytes())


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
