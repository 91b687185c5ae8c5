"""Multiply-adds and parameters, from layer shapes: a pass on the meta device, nothing is computed."""

import copy

import torch
from torch import Tensor, nn


def parameters(network: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one image of `shape` (channels, height, width): convolutions and linear layers only."""
    return sum(layer_macs(network, shape).values())


def layer_macs(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """Multiply-adds of each convolution and linear layer, by name, in the order of the forward pass."""
    network = copy.deepcopy(network).to("meta").eval()
    counts: dict[str, int] = {}

    def count(name: str, layer: nn.Module, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            each = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
            counts[name] = counts.get(name, 0) + each * output[0].numel()
        elif isinstance(layer, nn.Linear):
            counts[name] = counts.get(name, 0) + layer.in_features * output[0].numel()

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda layer, _, output, name=name: count(name, layer, output))
    with torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return counts


def activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Values that enter the batch-norm layers for one image: what the statistics have to read."""
    network = copy.deepcopy(network).to("meta").eval()
    sizes: list[int] = []
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda layer, inputs, _: sizes.append(inputs[0].numel()))
    with torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return sum(sizes)
