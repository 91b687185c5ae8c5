"""The fused batch norm in place of every BatchNorm2d of a network, for as long as a context lasts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.kernels.batch_norm import batch_norm
from dfnas.kernels.dispatch import accumulator


class Distances:
    """What the layers measured in the forward passes since `start`: one value a call of a layer, in that order."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []

    def start(self) -> None:
        """Forget what earlier forward passes left."""
        self.values.clear()

    def total(self) -> Tensor:
        """The weighted sum of the distances, a scalar in fp32 that carries gradients."""
        return torch.stack(self.values).sum()


@contextmanager
def fused_batch_norm(network: nn.Module, first: float = 1.0) -> Iterator[Distances]:
    """Inside, every BatchNorm2d in eval mode also measures its input, in the same pass (`batch_norm`).

    Yields a `Distances`: ||v - running_var||_2 + ||m - running_mean||_2 of each layer, times `first` for the first in
    the order of `modules()`. Outputs and gradients are the network's own, to rounding. A layer that computes something
    else (in training mode, or of a class with a forward of its own) keeps its forward, and is measured apart; one
    without running statistics remembers nothing, and is left out. Afterwards, and after an exception, the network is
    as it was.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    distances = Distances()
    with ExitStack() as stack:
        for index, layer in enumerate(layers):
            stack.callback(_put_back, layer, vars(layer).get("forward"))
            layer.forward = _forward(layer, first if index == 0 else 1.0, distances)  # type: ignore[method-assign]
        yield distances


def _put_back(layer: nn.Module, forward: Any) -> None:
    del layer.forward
    if forward is not None:
        layer.forward = forward


def _forward(layer: nn.BatchNorm2d, weight: float, distances: Distances) -> Any:
    own = layer.forward
    plain = "forward" not in vars(layer) and type(layer).forward is nn.BatchNorm2d.forward

    def forward(x: Tensor) -> Tensor:
        mean, variance = layer.running_mean, layer.running_var
        if mean is None or variance is None:
            return own(x)
        if layer.training or not plain:
            apart = mean.to(accumulator(x.dtype)).clone(), variance.to(accumulator(x.dtype)).clone()
            distances.values.append(weight * batch_norm(x, *apart)[1])
            return own(x)
        y, distance = batch_norm(x, mean, variance, layer.weight, layer.bias, layer.eps)
        distances.values.append(weight * distance)
        return y

    return forward
