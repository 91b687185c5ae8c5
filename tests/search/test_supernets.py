"""Supernets, whatever their networks differ in: which one a step runs, and how each is judged by itself."""

import dataclasses

import pytest
import torch
from torch import nn

from dfnas import profiles
from dfnas.data.sources import Source
from dfnas.search import supernets

SETTINGS = profiles.load("smoke", 0, ["run.device=cpu", "run.precision=fp32"])


class Choosing(nn.Module):
    """A batch norm shared by networks that multiply its input by the number chosen; says 0 or 1 by brightness."""

    def __init__(self):
        super().__init__()
        self.norm, self.choice = nn.BatchNorm2d(1, affine=False), (1,)

    def choose(self, choice):
        self.choice = tuple(choice)

    def forward(self, x):
        bright = self.norm(x * self.choice[0]).mean((1, 2, 3))
        return torch.stack([-bright, bright], 1)


def source(greys, targets, classes):
    images = torch.tensor(greys).byte().view(-1, 1, 1, 1).expand(-1, 1, 20, 20)
    return Source(images, torch.tensor(targets), torch.tensor(classes), (0.0,), (1.0,))


def draw(generator):
    return tuple(torch.randint(1000, (2,), generator=generator).tolist())


def test_a_step_s_choice_is_a_function_of_seed_name_and_step():
    def chosen(seed, name, steps):
        supernet, choices = Choosing(), []
        companion = supernets.RandomChoice(supernet, draw, seed, name)
        for step in steps:
            companion.before(step, 10, 0.1, None)
            choices.append(supernet.choice)
        return choices

    forwards = chosen(0, "path", range(10))
    assert len(set(forwards)) == 10
    assert chosen(0, "path", reversed(range(10))) == forwards[::-1]
    assert not set(forwards) & {*chosen(1, "path", range(10)), *chosen(0, "encoding", range(10))}


@pytest.fixture
def judge():
    """Of six images two batches of two give statistics; four others judge."""
    learnt = source([10, 30, 50, 70, 250, 250], [0] * 6, [0] * 6)
    held_out = source([35, 36, 44, 55], [[9.0, 0], [0, 9], [0, 9], [9, 0]], [0, 0, 1, 0])
    return supernets.judge(Choosing(), (learnt, held_out), batches=2, batch=2, side=8, settings=SETTINGS)


def test_statistics_are_of_some_batches_of_what_was_learnt_and_scores_of_what_was_held_out(judge):
    assert judge((1,)) == (0.75, 0.5)  # bright is above 40, the mean of the first four
    assert float(judge.supernet.norm.running_mean) == pytest.approx(40 / 255)
    assert judge.recalibration.images.shape == (4, 1, 8, 8)
    assert judge.held_out.images.shape == (4, 1, 8, 8)


def test_a_last_part_of_one_image_gives_no_statistics():
    """At maps of one pixel it has no variance, and elsewhere it would count as much as a batch."""
    learnt = source([10, 30, 50, 70, 250], [0] * 5, [0] * 5)
    judge = supernets.judge(Choosing(), (learnt, learnt), batches=3, batch=2, side=1, settings=SETTINGS)
    assert float(judge.recalibrate((1,)).norm.running_mean) == pytest.approx(40 / 255)


def test_each_choice_has_statistics_of_its_own_whatever_was_judged_before(judge):
    once = judge((1,))
    assert judge((3,)) == once
    assert float(judge.supernet.norm.running_mean) == pytest.approx(3 * 40 / 255)
    assert judge((1,)) == once
    assert float(judge.recalibrate((1,)).norm.running_mean) == pytest.approx(40 / 255)


def test_a_judge_of_another_supernet_leaves_the_first_alone(judge):
    judge((2,))
    other = dataclasses.replace(judge, supernet=Choosing())
    assert other((5,)) == judge((5,))
    judge((2,))
    other((7,))
    assert judge.supernet.choice == (2,)
    assert float(judge.supernet.norm.running_mean) == pytest.approx(2 * 40 / 255)
