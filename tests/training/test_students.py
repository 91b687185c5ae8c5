"""Labels made online: by the teacher, on the crop that the student sees, each process its own part."""

import dataclasses

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import index
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.runtime import distributed
from dfnas.training import students

SETTINGS = profiles.load("smoke")


class Sums(torch.nn.Module):
    """Logits that tell which image they are of."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x):
        self.asked.append(len(x))
        return x.sum((1, 2, 3))[:, None] * torch.tensor([1.0, -1.0])


@pytest.mark.parametrize(
    ("chapter", "field"), [("10-distillation", "student.seeds"), ("03-calibration", "calibration.student.seeds")]
)
def test_how_many_students_there_are_changes_none_of_them(chapter, field):
    """More seeds later leave those that are trained as they are."""
    two, four = (index.stage_keys(chapter, profiles.load("quick", overrides=[f"{field}={n}"])) for n in (2, 4))
    judged = chapter.partition("-")[2] + "-evaluation"
    assert {name for name in two if two[name] != four[name]} <= {judged}
    assert any("real" in name for name in two)


def sample(step, side):
    return torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, side, side), torch.zeros(8, 2)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_each_process_asks_the_teacher_about_its_own_part(monkeypatch, world):
    network = Sums()
    teacher = Teacher(network, (0.0,), (1.0,), ("a", "b"), "", {})
    labelled = students.online(sample, teacher, SETTINGS)
    inputs, expected = labelled(0, 8)
    assert torch.equal(expected[:, 0], torch.arange(8.0) * 16**2)
    assert inputs.shape == (8, 1, 8, 8)
    monkeypatch.setattr(distributed, "world", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        network.asked.clear()
        images, mine = distributed.part(*labelled(0, 8))
        assert network.asked == [8 // world]
        assert torch.equal(mine, expected.chunk(world)[rank])
        assert torch.equal(images, inputs.chunk(world)[rank])


def test_mixed_images_are_labelled_as_they_are():
    network = Sums()
    teacher = Teacher(network, (0.0,), (1.0,), ("a", "b"), "", {})
    labelled = students.online(sample, teacher, SETTINGS, mixing=1.0, seed=3)
    inputs, targets = labelled(0, 16)
    assert torch.allclose(targets[:, 0], inputs.sum((1, 2, 3)))
    plain, _ = sample(0, 16)
    assert not torch.equal(inputs, plain)
    assert (inputs >= 0).all()
    assert (inputs <= 7).all()
    assert torch.equal(inputs, labelled(0, 16)[0])
    assert not torch.equal(inputs, labelled(1, 16)[0])


@pytest.mark.parametrize("side", [0, 8])
def test_a_student_is_tested_at_the_side_that_it_learned_at(side, tmp_path, monkeypatch):
    network, seen = Sums(), []
    monkeypatch.setattr(students, "read", lambda *_: network)
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    classes = torch.arange(6)
    test = Source(torch.zeros(6, 1, 16, 16, dtype=torch.uint8), classes, classes, (0.0,), (1.0,))
    students.accuracy(tmp_path, SETTINGS, dataclasses.replace(SETTINGS.student, side=side), test)
    assert set(seen) == {side or 16}
