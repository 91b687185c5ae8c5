"""Layers that remember the mean and variance of what entered them in training: all that is left of the data."""

from typing import Any, TypeGuard

from torch import Tensor, nn

# Layers of other shapes than images, which are in heads, and say too little to be matched.
OTHERS = (nn.BatchNorm1d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm3d)


def remembers(layer: nn.Module) -> TypeGuard[Any]:
    """Whether a layer keeps running statistics by channel: BatchNorm2d, SyncBatchNorm, or a frozen one of any class."""
    statistics = getattr(layer, "running_mean", None), getattr(layer, "running_var", None)
    return all(isinstance(value, Tensor) for value in statistics) and not isinstance(layer, OTHERS)


def layers(network: nn.Module) -> list[Any]:
    """The layers of a network that keep running statistics, in the order of `modules()`."""
    return [layer for layer in network.modules() if remembers(layer)]
