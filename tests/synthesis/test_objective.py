"""Inversion against a few lines of plain torch, with five different weights: canvases and terms, step by step."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dfnas import profiles
from dfnas.data.teachers import Teacher
from dfnas.profiles.resolve import variant
from dfnas.synthesis import inversion

SIDE, STEPS = 8, 4
BASE = profiles.load("smoke", 0, ["run.precision=fp32", "run.device=cpu"])
DATA = variant(BASE.data, region=SIDE, canvas=SIDE, channels=3)  # the region is all of the canvas
WEIGHTS = {
    "cross_entropy_weight": 0.7,
    "total_variation_l2": 0.02,
    "total_variation_l1": 0.4,
    "image_l2": 0.05,
    "batch_norm_weight": 0.3,
}
SETTINGS = variant(
    BASE.synthesis,
    **WEIGHTS,
    first_layer_multiplier=6.0,
    betas=(0.3, 0.8),
    warm_up=0,
    stages=((1, STEPS, "grow"),),
    learning_rates=(0.1,),
    flip="never",
    clip=False,
)
CLASSES = torch.arange(6) % 3
LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(1)) * 3


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.BatchNorm2d(3), nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Tanh(), nn.Conv2d(5, 4, 3)]
        made = nn.Sequential(*layers, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
        for layer in made:
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2.0)
    return made.eval().requires_grad_(False)


TEACHER = Teacher(network(), (0.5,) * 3, (0.25,) * 3, ("a", "b", "c"), "", {})


def invert(targets, **changes):
    with inversion.Inversion(TEACHER, variant(SETTINGS, **changes), DATA, BASE.run) as inverter:
        return inversion.invert(inverter, targets, 0, 0, 0)


def terms_of(x, targets, first):
    """Cross-entropy, TV-L2, TV-L1, image norm and batch-norm distance, as the paper's equations have them."""
    inputs, distance = x, 0.0
    for layer in TEACHER.network:
        if isinstance(layer, nn.BatchNorm2d):
            variance, mean = torch.var_mean(inputs, (0, 2, 3), correction=0)
            distance += first * ((variance - layer.running_var).norm() + (mean - layer.running_mean).norm())
            first = 1.0
        inputs = layer(inputs)
    soft = F.one_hot(targets, 3).float() if targets.dim() == 1 else targets.softmax(1)
    maps = [x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]]
    maps += [x[..., 1:, 1:] - x[..., :-1, :-1], x[..., 1:, :-1] - x[..., :-1, 1:]]
    roughness = [sum(one.norm() for one in maps), sum(one.abs().mean() for one in maps)]
    return torch.stack(
        [-(soft * inputs.log_softmax(1)).sum(1).mean(), *roughness, x.flatten(1).norm(dim=1).mean(), distance]
    )


def reference(canvas, targets):
    """The canvas after the steps of Adam, and the terms of each."""
    canvas, found = canvas.clone().requires_grad_(), []
    optimiser = torch.optim.Adam([canvas], betas=SETTINGS.betas)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / STEPS))
        terms = terms_of(canvas, targets, SETTINGS.first_layer_multiplier)
        (torch.tensor(list(WEIGHTS.values())) * terms).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        found.append(terms.detach())
    return canvas.detach(), torch.stack(found)


@pytest.mark.parametrize("targets", [CLASSES, LOGITS], ids=["classes", "logits"])
def test_a_few_steps_are_those_of_plain_torch(targets):
    start, _ = invert(targets, learning_rates=(1e-12,))
    expected, terms = reference(start, targets)
    canvas, ours = invert(targets)
    assert torch.allclose(ours, terms, rtol=1e-4)
    assert torch.allclose(canvas, expected, atol=1e-3)
    assert float((canvas - start).abs().mean()) > 0.05


@pytest.mark.parametrize("name", WEIGHTS)
def test_each_weight_is_that_of_its_own_term(name):
    """A weight that outdoes the others brings its own term further down than any other's weight does."""
    alone = dict.fromkeys(WEIGHTS, 0.0)
    ends = {
        weight: float(invert(CLASSES, **alone | {weight: 1.0})[1][-1][list(WEIGHTS).index(name)]) for weight in WEIGHTS
    }
    assert min(ends, key=ends.__getitem__) == name, ends
