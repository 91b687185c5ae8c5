"""An iteration of model inversion: a plain eager loop against ours, ResNet-20, batch 250, canvas 40."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import measure
from dfnas import models, profiles
from dfnas.data.teachers import Teacher
from dfnas.profiles import RunSettings, SynthesisSettings
from dfnas.runtime import devices
from dfnas.synthesis import inversion

BATCH, ITERATIONS = 250, 3
SETTINGS = profiles.load("laptop")
RECIPE = dataclasses.replace(
    SETTINGS.synthesis, batch=BATCH, stages=((1, ITERATIONS, "grow"),), learning_rates=(0.1,), total_variation_l2=1e-3
)


def rows() -> list[dict[str, Any]]:
    """In the precision that the processor is best at, and in fp32; seconds an iteration."""
    made = [
        ("synthesis_step", RunSettings("cpu", compile=True)),
        ("synthesis_step_fp32", RunSettings("cpu", "fp32", compile=True)),
    ]
    return [measure.row(name, plain(BATCH), ours(BATCH, run), per=ITERATIONS) for name, run in made]


def ours(
    batch: int, run: RunSettings, width: float = 1.0, side: int = 32, recipe: SynthesisSettings = RECIPE
) -> measure.Work:
    """A few iterations of the package's loop."""
    data = dataclasses.replace(SETTINGS.data, region=side, canvas=side + side // 4)
    frozen = teacher(width)
    classes = torch.arange(batch) % data.classes

    def work() -> None:
        with inversion.Inversion(frozen, dataclasses.replace(recipe, batch=batch), data, run) as inverter:
            inversion.invert(inverter, classes, 0, 0, 0)

    return work


def teacher(width: float = 1.0) -> Teacher:
    """A ResNet-20 of some width, with random weights."""
    name = "resnet20" if width == 1 else f"resnet20x{width}"
    network = models.build(name, 10, 3, 0)
    return Teacher(network, (0.49, 0.48, 0.45), (0.2, 0.2, 0.2), tuple(map(str, range(10))), "", {})


def plain(batch: int) -> measure.Work:
    """The same objective as research code has it: weights that take gradients, hooks that copy, a read a step."""
    network = teacher().network.eval().requires_grad_(True).to(memory_format=torch.contiguous_format)
    distances: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(_copying_hook(distances))
    classes = torch.arange(batch) % 10

    def work() -> None:
        canvas = torch.randn(batch, 3, 40, 40).requires_grad_(True)
        optimiser = torch.optim.Adam([canvas], lr=0.1, betas=(0.5, 0.9), foreach=False)
        for step in range(ITERATIONS):
            optimiser.zero_grad()
            network.zero_grad()
            distances.clear()
            top, left = step % 9, (3 * step) % 9
            region = canvas[:, :, top : top + 32, left : left + 32]
            loss = F.cross_entropy(network(region), classes)
            loss = loss + 1e-3 * _variation(region) + sum(distances)
            loss.backward()
            optimiser.step()
            loss.item()
            with torch.no_grad():
                for channel in range(3):
                    canvas[:, channel] = canvas[:, channel].clamp(-2.4, 2.5)

    return work


def _copying_hook(distances: list[Tensor]) -> Callable:
    def hook(layer: nn.BatchNorm2d, inputs: tuple[Tensor], output: Tensor) -> None:
        values = inputs[0].permute(1, 0, 2, 3).contiguous().view(inputs[0].shape[1], -1)
        mean, variance = values.mean(1), values.var(1, unbiased=False)
        distances.append((layer.running_var - variance).norm() + (layer.running_mean - mean).norm())

    return hook


def _variation(images: Tensor) -> Tensor:
    return (
        (images[:, :, :, :-1] - images[:, :, :, 1:]).norm()
        + (images[:, :, :-1] - images[:, :, 1:]).norm()
        + (images[:, :, :-1, 1:] - images[:, :, 1:, :-1]).norm()
        + (images[:, :, :-1, :-1] - images[:, :, 1:, 1:]).norm()
    )


if __name__ == "__main__":
    print(devices.bf16(RunSettings("cpu")), *rows(), sep="\n")
