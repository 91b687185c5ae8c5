"""What a round is asked for, and what noise is."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from dfnas import profiles
from dfnas.data import synthetic, teachers
from dfnas.synthesis import controls, inversion, sets

SETTINGS = profiles.load("smoke", 0, ["run.precision=fp32", "run.device=cpu"])
TINY = dataclasses.replace(
    SETTINGS.synthesis, images=60, batch=10, rounds=3, stages=((1, 2, "grow"),), learning_rates=(0.1,)
)


def note_targets(patch):
    """The targets that each (round, batch) is asked for, from now on."""
    asked, invert = {}, inversion.invert

    def asking(inverter, targets, seed, number, batch):
        asked[number, batch] = targets.clone()
        return invert(inverter, targets, seed, number, batch)

    patch.setattr(inversion, "invert", asking)
    return asked


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A set of three rounds of two batches, with the targets that were asked for."""
    folder, teacher = tmp_path_factory.mktemp("set"), teachers.load(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        asked = note_targets(patch)
        sets.synthesise(folder, teacher, TINY, SETTINGS.data, SETTINGS.run, 0)
    return SimpleNamespace(folder=folder, asked=asked, teacher=teacher)


def test_round_0_asks_for_classes_and_each_later_one_for_the_last_logits_of_the_same_slots(carried):
    assert set(carried.asked) == {(number, batch) for number in range(3) for batch in range(2)}
    for (number, batch), targets in carried.asked.items():
        slots = sets.slot_classes(TINY, SETTINGS.data, 0, batch)
        if number == 0:
            assert torch.equal(targets, slots)
            continue
        before = synthetic.read(synthetic.shard_path(carried.folder, number - 1, batch))
        assert torch.equal(before.slot_class, slots)
        assert torch.equal(targets.float(), before.logits.float())


def test_a_set_that_goes_on_carries_the_same_logits(carried, monkeypatch):
    """As a killed run does: the shard of the round before is there, the later ones are not."""
    asked = note_targets(monkeypatch)
    whole = synthetic.digest(carried.folder)
    for number in (1, 2):
        synthetic.shard_path(carried.folder, number, 1).unlink()
    sets.synthesise(carried.folder, carried.teacher, TINY, SETTINGS.data, SETTINGS.run, 0)
    assert set(asked) == {(1, 1), (2, 1)}
    assert all(torch.equal(targets, carried.asked[key]) for key, targets in asked.items())
    assert synthetic.digest(carried.folder) == whole


def test_noise_is_standard_normal_where_black_and_white_let_it(tmp_path):
    """In the teacher's normalised space, with what lies outside of a valid image moved to black or white."""
    teacher = teachers.load(SETTINGS)
    controls.make_noise(tmp_path, SETTINGS, teacher, 200)
    pixels = synthetic.load(tmp_path, teacher).images
    for grey in (0, 60, 127, 200, 254):
        bound = ((grey + 0.5) / 255 - teacher.mean[0]) / teacher.std[0]
        share, error = 0.5 * (1 + math.erf(bound / math.sqrt(2))), 4 * 0.5 / pixels.numel() ** 0.5
        assert float((pixels <= grey).double().mean()) == pytest.approx(share, abs=error), grey
