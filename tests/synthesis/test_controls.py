"""Controls: structured noise is alive, and real images under soft labels are the same images."""

import dataclasses
import math

import pytest
import torch

from dfnas import profiles
from dfnas.data import real, splits, synthetic, teachers
from dfnas.data.images import center_crop
from dfnas.data.origins import NAMES, Origin
from dfnas.data.splits import RealDataError
from dfnas.synthesis import controls, sets
from dfnas.training import evaluation

SETTINGS = profiles.load("smoke", overrides=["synthesis.images=600"])


@pytest.fixture(scope="module")
def teacher():
    return teachers.load(SETTINGS)


def largest_class(logits):
    return float(logits.argmax(1).bincount(minlength=10).max() / len(logits))


def test_the_control_has_its_classes_evenly_where_noise_has_one(tmp_path, teacher):
    for name in ("control", "noise"):
        (tmp_path / name).mkdir()
    controls.make_control(tmp_path / "control", SETTINGS, teacher, 600)
    controls.make_noise(tmp_path / "noise", SETTINGS, teacher, 600)
    alive, dead = (synthetic.load(tmp_path / name, teacher) for name in ("control", "noise"))
    assert len(alive) == len(dead) == 600
    assert alive.images.shape == dead.images.shape
    assert largest_class(alive.targets) < 0.2 < 0.5 < largest_class(dead.targets)
    crops = center_crop(alive.images, SETTINGS.data.region)
    assert torch.equal(evaluation.answers(teacher, crops, SETTINGS.run).half(), alive.targets.half())


def test_noise_is_drawn_a_shard_at_a_time_and_is_the_same(tmp_path, teacher, monkeypatch):
    for shard in (500, 600):
        monkeypatch.setattr(controls, "SHARD", shard)
        (tmp_path / str(shard)).mkdir()
        controls.make_noise(tmp_path / str(shard), SETTINGS, teacher, 600)
    parts, whole = (synthetic.load(tmp_path / str(shard), teacher) for shard in (500, 600))
    assert len(list((tmp_path / "500").glob("*.safetensors"))) == 2
    assert torch.equal(parts.images, whole.images)
    assert torch.allclose(parts.targets, whole.targets, atol=2e-2)


@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_amplitudes_fall_with_frequency_at_the_stated_slope(monkeypatch, slope):
    monkeypatch.setattr(controls, "SLOPES", (slope,))
    data = dataclasses.replace(SETTINGS.data, canvas=64, channels=3)
    images = controls.structured(600, dataclasses.replace(SETTINGS, data=data))
    amplitude = torch.fft.rfft2(images).abs().log().mean((0, 1))
    assert float(amplitude[0, 4] - amplitude[0, 16]) / math.log(4) == pytest.approx(slope, abs=0.1)


def test_structured_noise_is_a_function_of_seed_and_block():
    first, again, other = (controls.structured(4, SETTINGS, number) for number in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_soft_real_images_are_the_hard_ones_with_the_teachers_logits(teacher):
    origins = sets.origins_of(SETTINGS, teacher, NAMES)
    assert tuple(origins) == NAMES
    hard, soft = (origins[name].load(SETTINGS, teacher) for name in ("real", "real_soft"))
    assert torch.equal(hard.images, soft.images)
    assert torch.equal(hard.classes, soft.classes)
    assert soft.soft
    assert (soft.targets.argmax(1) == soft.classes).double().mean() > 0.9


def test_soft_real_images_are_normalised_as_the_teacher_sees_them(teacher):
    other = dataclasses.replace(teacher, mean=(0.5,), std=(0.25,))
    soft = sets.origins_of(SETTINGS, other, ["real_soft"])["real_soft"].load(SETTINGS, other)
    assert (soft.mean, soft.std) == ((0.5,), (0.25,))


def test_what_only_looks_real_is_guarded_and_soft_labels_are_not(teacher):
    with Origin("control", "").guarded(), pytest.raises(RealDataError):
        real.load(SETTINGS.data)
    with Origin("real_soft", "").guarded():
        assert len(real.load(SETTINGS.data).train)
    with splits.no_real_data(), pytest.raises(RealDataError):
        Origin("real_soft", "").load(SETTINGS, teacher)
