"""Where sources come from: by name, as many images of each, and real data out of reach of the others."""

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import index
from dfnas.data import origins, splits, teachers
from dfnas.data import real as real_data
from dfnas.data.origins import Origin
from dfnas.runtime import artefacts, stages
from dfnas.synthesis import controls, sets

SETTINGS = profiles.load("smoke")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    artefacts.reset()
    yield tmp_path
    artefacts.reset()


@pytest.mark.parametrize("chapter", ["04-darts", "05-spos", "06-proxylessnas"])
def test_a_search_under_another_seed_of_the_run_is_another_one(chapter):
    """The run's seed draws the real images, and the search's own seed is told from it."""
    keys = [index.stage_keys(chapter, profiles.load("quick", seed)) for seed in (0, 1)]
    searches = [name for name in keys[0].keys() & keys[1].keys() if "-search-" in name or "-supernet-" in name]
    assert any("real" in name for name in searches)
    assert [name for name in searches if keys[0][name] == keys[1][name]] == []


def test_what_learns_from_all_real_images_is_the_same_under_another_seed_of_the_run():
    overrides = ["consistency.whole_real=True", "consistency.supernets=2"]
    keys = [index.stage_keys("07-consistency", profiles.load("quick", seed, overrides)) for seed in (0, 1)]
    assert keys[0]["spos-supernet-real-1"] == keys[1]["spos-supernet-real-1"]


@pytest.mark.parametrize("name", origins.NAMES)
def test_real_data_is_out_of_reach_of_every_source_but_itself(name):
    with Origin(name, "").guarded():
        if name.startswith("real"):
            assert len(real_data.load(SETTINGS.data).test) == 360
        else:
            with pytest.raises(splits.RealDataError):
                real_data.load(SETTINGS.data)


def test_synthetic_and_noise_are_loaded_with_real_data_out_of_reach(runs):
    frozen = teachers.load(SETTINGS)
    noise = Origin("noise", controls.noise_stage(SETTINGS, frozen, 20))
    with noise.guarded():
        loaded = noise.load(SETTINGS, frozen)
        with pytest.raises(splits.RealDataError):
            Origin("real", "digest").load(SETTINGS, frozen)
    assert loaded.targets.shape == (20, 10)
    assert torch.equal(loaded.classes, loaded.targets.argmax(1))
    assert (loaded.mean, loaded.std) == (frozen.mean, frozen.std)


def test_the_real_source_has_as_many_images_as_the_synthetic_set():
    frozen, train = teachers.load(SETTINGS), real_data.load(SETTINGS.data).train
    real = Origin("real", "digest").load(SETTINGS, frozen)
    assert len(real) == SETTINGS.synthesis.images
    assert real.images.shape[-1] == SETTINGS.data.canvas
    assert torch.equal(real.targets, real.classes)
    assert torch.bincount(real.classes).tolist() == [20] * 10
    assert (real.mean, real.std) == (train.mean, train.std)


def test_each_name_has_its_own_origin_and_only_artefacts_are_held():
    frozen = teachers.load(SETTINGS)
    with stages.dry():
        found = sets.origins_of(SETTINGS, frozen, origins.NAMES)
    assert {name: origin.name for name, origin in found.items()} == {name: name for name in origins.NAMES}
    assert found["real"].given == real_data.digest(SETTINGS.data)
    assert {name: artefact.name for name, artefact in origins.held(found).items()} == {
        "synthetic": "synthesis",
        "real_soft": "real-soft",
        "control": "control",
        "noise": "noise",
    }
