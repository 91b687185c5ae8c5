"""What a search learns from, and how it is divided."""

import pytest
import torch

from dfnas import profiles
from dfnas.data import sources, splits, teachers
from dfnas.data.images import cutout
from dfnas.data.sources import Source
from dfnas.runtime import seeds, stages
from dfnas.synthesis import sets
from dfnas.training import losses

SETTINGS = profiles.load("smoke")


def source(count=100, classes=10):
    labels = torch.arange(count) % classes
    images = torch.arange(count).byte()[:, None, None, None].expand(count, 1, 20, 20).contiguous()
    return Source("real", images, labels, labels, (0.5,), (0.25,))


def test_both_halves_hold_every_class_in_its_share():
    weights, alphas = sources.split(source(), 50, 10, seed=0)
    for half in (weights, alphas):
        assert torch.bincount(half.classes).tolist() == [5] * 10
    together = torch.cat([weights.images[:, 0, 0, 0], alphas.images[:, 0, 0, 0]])
    assert sorted(together.tolist()) == list(range(100))


def test_halves_of_a_set_that_lies_sorted_by_class_are_not_cut_by_class():
    ordered = source().select(torch.arange(100) % 10 * 10 + torch.arange(100) // 10)
    ordered = ordered.select(ordered.classes.argsort())
    first, _ = sources.split(ordered, 50, 10, seed=0)
    assert len(first.classes.unique()) == 10


def test_another_seed_divides_otherwise():
    one, other = (sources.split(source(), 50, 10, seed)[0].images for seed in (0, 1))
    assert not torch.equal(one, other)


def test_synthetic_and_noise_are_loaded_with_real_data_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    stages.reset()
    frozen = teachers.load(SETTINGS)
    noise = sets.noise_stage(SETTINGS, frozen, 20)
    with sources.guarded("noise"):
        loaded = sources.load("noise", noise, SETTINGS, frozen)
        with pytest.raises(splits.RealDataError):
            sources.load("real", "digest", SETTINGS, frozen)
    assert loaded.targets.shape == (20, 10)
    assert torch.equal(loaded.classes, loaded.targets.argmax(1))
    stages.reset()


def test_the_real_source_has_as_many_images_as_the_synthetic_set():
    real = sources.load("real", "digest", SETTINGS, teachers.load(SETTINGS))
    assert len(real) == SETTINGS.synthesis.images
    assert real.images.shape[-1] == SETTINGS.data.canvas
    assert torch.equal(real.targets, real.classes)


def test_what_is_shown_for_judging_is_the_central_region_shrunk():
    images = torch.zeros(2, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 2:18, 2:18] = 200
    shown = sources.seen(Source("real", images, torch.zeros(2), torch.zeros(2), (0.5,), (0.25,)), SETTINGS, 8)
    assert shown.images.shape == (2, 1, 8, 8)
    assert shown.images.dtype == torch.uint8
    assert int(shown.images.min()) == 200


def test_the_loss_follows_the_targets():
    logits, classes = torch.randn(4, 10), torch.tensor([1, 2, 3, 4])
    hard = source().select(torch.arange(4))
    soft = Source("synthetic", hard.images, logits.flip(1), classes, (0.5,), (0.25,))
    assert float(losses.loss_for(soft)(logits.flip(1), logits.flip(1))) == pytest.approx(0.0, abs=1e-6)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    assert torch.isclose(losses.loss_for(hard)(logits, classes), expected)


def test_cutout_blanks_one_square_cut_off_at_the_border():
    inputs = torch.ones(2000, 3, 8, 8)
    out = cutout(inputs, 4, seeds.generator(0, "cutout"))
    blanked = (out[:, 0] == 0).sum((1, 2))
    assert torch.equal(out[:, 0], out[:, 2])
    assert int(blanked.max()) == 16
    assert int(blanked.min()) == 4  # centred on a corner: half of it in each direction is outside
    assert float(out[out != 0].min()) == 1.0
