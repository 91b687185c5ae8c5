"""The batch-norm distance: how far statistics of what enters a teacher's layers are from the running ones."""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.data.images import to_input
from dfnas.data.teachers import Teacher
from dfnas.kernels.batch_norm import batch_norm
from dfnas.kernels.dispatch import accumulator
from dfnas.models import norms
from dfnas.profiles import RunSettings
from dfnas.runtime import devices
from dfnas.synthesis.spectra import SpectrumDistance


class BatchNormDistance:
    """How far the statistics of what enters each batch-norm layer are from the running ones (equation `eq-bn`).

    A context: inside it every BatchNorm2d of the network in eval mode also measures its input, in the pass that
    normalises it (`batch_norm`); outputs and gradients are the network's own, to rounding. After `start()` and a
    forward pass, `total()` is sum_l w_l (||v_l - running_var_l||_2 + ||m_l - running_mean_l||_2), where w_l is `first`
    for the first layer in the order of `modules()` and 1 elsewhere. A layer that computes something else (in training
    mode, or of a class of its own) keeps its forward, and is measured apart; one without running statistics, or that is
    given no images, is left out. Afterwards, and after an exception, the network is as it was.
    """

    def __init__(self, network: nn.Module, first: float = 1.0) -> None:
        self.layers = norms.layers(network)
        self.first = first
        self.distances: list[Tensor] = []
        self.stack = ExitStack()

    def __enter__(self) -> "BatchNormDistance":
        for index, layer in enumerate(self.layers):
            self.stack.callback(_put_back, layer, vars(layer).get("forward"))
            layer.forward = self._forward(layer, self.first if index == 0 else 1.0)  # type: ignore[method-assign]
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()
        self.distances.clear()

    def _forward(self, layer: Any, weight: float) -> Any:
        own = layer.forward
        plain = "forward" not in vars(layer) and type(layer).forward is nn.BatchNorm2d.forward

        def forward(x: Tensor) -> Tensor:
            mean, variance = layer.running_mean, layer.running_var
            if x.dim() != 4:
                return own(x)
            if layer.training or not plain:
                apart = mean.to(accumulator(x.dtype)).clone(), variance.to(accumulator(x.dtype)).clone()
                self.distances.append(weight * batch_norm(x, *apart)[1])
                return own(x)
            y, distance = batch_norm(x, mean, variance, layer.weight, layer.bias, layer.eps)
            self.distances.append(weight * distance)
            return y

        return forward

    def start(self) -> None:
        """Forget what earlier forward passes left."""
        self.distances.clear()

    def total(self) -> Tensor:
        """The distance of the forward passes since `start`, a scalar in fp32 that carries gradients."""
        return torch.stack(self.distances).sum()


def distance_of(network: nn.Module, first: float = 1.0) -> BatchNormDistance | SpectrumDistance:
    """What a network remembers of its images, or what all images have in common where it remembers nothing."""
    return BatchNormDistance(network, first) if norms.layers(network) else SpectrumDistance(network)


def _put_back(layer: nn.Module, forward: Any) -> None:
    del layer.forward
    if forward is not None:
        layer.forward = forward


@torch.no_grad()
def layer_moments(teacher: Teacher, images: Tensor, run: RunSettings) -> list[dict[str, Tensor]]:
    """What each batch-norm layer sees of uint8 images [N, C, s, s], and what it remembers.

    A dictionary a layer: `mean` and `variance` (biased) of the batch, over images and pixels in fp32, `running_mean`
    and `running_var`, each [channels].
    """
    found: list[dict[str, Tensor]] = []

    def hook(layer: Any, inputs: tuple[Tensor]) -> None:
        if inputs[0].dim() == 4:
            variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
            running = {name: getattr(layer, name).clone() for name in ("running_mean", "running_var")}
            found.append({"mean": mean, "variance": variance, **running})

    with ExitStack() as stack:
        for layer in norms.layers(teacher.network):
            stack.callback(layer.register_forward_pre_hook(hook).remove)
        inputs = to_input(images.to(devices.device(run)), teacher.mean, teacher.std)
        devices.place(teacher.network, devices.device(run)).eval()(inputs)
    return found
