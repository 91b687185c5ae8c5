"""Synthesis out of networks of others: an option-A ResNet-20, a torch.export file, and one that has no batch norm."""

import dataclasses

import pytest
import torch

from dfnas import models, profiles
from dfnas.data import real, sources, synthetic, teachers
from dfnas.errors import UserError
from dfnas.models import norms
from dfnas.profiles import resolve
from dfnas.synthesis import controls, moments, sets, spectra
from dfnas.training import loop, losses, students
from synthesis import their_networks

BUILDER = "teacher.builder=synthesis.their_networks"
RGB = ["data.name=none", "data.channels=3", "data.region=32", "data.canvas=40", "run.precision=fp32"]
TINY = {"images": 20, "batch": 20, "rounds": 1, "learning_rates": (0.1, 0.1)}
STAGES = ((2, 2, "grow"), (1, 2, "grow"))


def synthesised(folder, settings):
    """A tiny set of a teacher, and the teacher."""
    teacher = teachers.load(settings)
    sets.synthesise(
        folder, teacher, dataclasses.replace(settings.synthesis, stages=STAGES, **TINY), settings.data, settings.run, 0
    )
    return synthetic.load(folder, teacher), teacher


def test_a_resnet_with_option_a_shortcuts_and_a_prefix(tmp_path):
    torch.manual_seed(0)
    state = their_networks.OptionA().state_dict()
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in state.items()}, "best": 91.7}, tmp_path / "a.th"
    )
    settings = profiles.load("smoke", 0, [f"teacher.path={tmp_path / 'a.th'}", f"{BUILDER}:OptionA(10)", *RGB])
    made, teacher = synthesised(tmp_path, settings)
    assert made.images.shape == (20, 3, 40, 40)
    assert len(norms.layers(teacher.network)) == 19
    terms = synthetic.terms(tmp_path)[0]
    assert terms[-1, 4] < terms[0, 4]  # the distance of statistics


def test_synthesis_out_of_a_file_of_torch_export_is_that_of_the_network(tmp_path):
    network = models.build("resnet5", 10, 3, seed=0).eval()
    images = torch.zeros(2, 3, 32, 32)
    sizes = {"dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},)}
    torch.export.save(torch.export.export(network, (images,), **sizes), tmp_path / "own.pt2")
    torch.save(network.state_dict(), tmp_path / "own.pt")
    sets_of = []
    for name in ("own.pt", "own.pt2"):
        (tmp_path / name[4:]).mkdir()
        chosen = [f"teacher.path={tmp_path / name}", "teacher.network=resnet5", *RGB]
        sets_of.append(synthesised(tmp_path / name[4:], profiles.load("smoke", 0, chosen))[0])
    differences = (sets_of[0].images[:].int() - sets_of[1].images[:].int()).abs()
    assert float((differences > 1).float().mean()) < 0.01


def test_the_spectrum_of_natural_images_is_nearer_than_that_of_noise():
    random = torch.Generator().manual_seed(0)
    white = torch.randn(64, 3, 32, 32, generator=random)
    frequency = torch.fft.fftfreq(32, 1 / 32)
    fall = 1 / torch.hypot(frequency[:, None], frequency[None, :]).clamp(min=1)
    fall[0, 0] = 0
    natural = torch.fft.ifft2(torch.fft.fft2(white) * fall).real
    natural /= natural.std()
    near, far = (float(spectra.spectrum_distance(images)) for images in (natural, white))
    assert near < 0.7
    assert far > 5
    assert float(spectra.spectrum_distance(natural + 0.5)) == pytest.approx(near + 0.5 * 3**0.5, abs=0.05)
    assert float(spectra.spectrum_distance(2 * natural)) > near + 2


def test_the_distance_of_a_network_without_statistics_is_that_of_its_images():
    network, images = their_networks.grouped(), torch.randn(4, 1, 16, 16, requires_grad=True)
    with moments.distance_of(network) as distance:
        network(images)
        total = distance.total()
    assert float(total.detach()) == pytest.approx(float(spectra.spectrum_distance(images.detach())), rel=1e-6)
    assert torch.autograd.grad(total, images)[0].abs().sum() > 0
    assert not network._forward_pre_hooks


@pytest.mark.slow
def test_students_of_a_teacher_without_batch_norms_beat_those_of_noise(tmp_path):
    """On digits: what is said to be lost is less than all."""
    settings = profiles.load("quick", 0, ["run.device=cpu", "data.canvas=20"])
    digits, recipe = real.load(settings.data), dataclasses.replace(settings.teacher.training, epochs=12.0)
    network, _ = loop.train(
        their_networks.grouped("resnet8"),
        sources.sampler(digits.train.on_canvas(settings.data), recipe, settings, 0),
        losses.hard_loss(),
        recipe,
        settings.run,
        steps=loop.steps_of(recipe, len(digits.train)),
        side=16,
    )
    torch.save(network.state_dict(), tmp_path / "own.pt")
    own = [f"teacher.path={tmp_path / 'own.pt'}", f"{BUILDER}:grouped('resnet8')", "run.device=cpu"]
    own += [f"teacher.mean={digits.train.mean}", f"teacher.std={digits.train.std}"]
    with pytest.raises(UserError, match="keeps no batch-norm statistics"):
        teachers.load(profiles.load("quick", 0, own))
    settings = profiles.load("quick", 0, [*own, "teacher.without_statistics=true"])
    teacher, accuracies = teachers.load(settings), []
    synthesis = dataclasses.replace(settings.synthesis, images=200, rounds=1)
    student = resolve.variant(settings.student, training={"steps": 120})
    for name in ("noise", "made"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "noise":
            controls.make_noise(folder, settings, teacher, 200)
        else:
            sets.synthesise(folder, teacher, synthesis, settings.data, settings.run, 0)
        students.train_synthetic(folder, synthetic.load(folder, teacher), settings, teacher, student, 0)
        accuracies.append(students.accuracy(folder, settings, student, digits.test.under(teacher)))
    assert accuracies[1] > max(0.5, accuracies[0] + 0.15)
