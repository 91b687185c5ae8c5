"""Multiply-adds, parameters and activations of any network: a pass on the meta device, nothing is computed."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfnas.errors import UserError, reason
from dfnas.models import norms


def parameters(network: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one image of `shape` (channels, height, width): convolutions and products of matrices only."""
    network = _meta(network)
    with FlopCounterMode(display=False) as counter:
        _pass(network, shape)
    return counter.get_total_flops() // 2


def activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Values that enter the normalising layers for one image: of batch norms, what the statistics have to read."""
    network = _meta(network)
    sizes: list[int] = []
    for layer in network.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)) or norms.remembers(layer):
            layer.register_forward_hook(lambda layer, inputs, _: sizes.append(inputs[0].numel()))
    _pass(network, shape)
    return sum(sizes)


def _meta(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).to("meta").eval()


@torch.no_grad()
def _pass(network: nn.Module, shape: tuple[int, int, int]) -> None:
    try:
        network(torch.empty(1, *shape, device="meta"))
    except Exception as error:  # of a network of somebody else's
        raise UserError(f"the network's work cannot be counted without computing: {reason(error)}") from None
