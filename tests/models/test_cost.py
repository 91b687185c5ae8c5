"""Costs of a network by hand."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfnas import models
from dfnas.models import cost, darts
from dfnas.models.darts_supernet import Supernet


def test_costs_counted_by_hand_leave_the_network_as_it_is():
    network = nn.Sequential(
        nn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.BatchNorm2d(6), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 5)
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert cost.macs(network, (4, 8, 8)) == 6 * 2 * 9 * 4**2 + 24 * 5
    assert cost.parameters(network) == 6 * 2 * 9 + 6 + 2 * 6 + 24 * 5 + 5
    assert cost.activations(network, (4, 8, 8)) == 6 * 4**2
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


class Odd(nn.Module):
    """Operations that need more care than most."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 3, 2)
        self.wide = nn.Conv2d(8, 8, 3, 2, 2, dilation=2, groups=4)
        self.norm, self.attention = nn.GroupNorm(2, 8), nn.MultiheadAttention(16, 2, batch_first=True)
        self.linear = nn.Linear(16, 7)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(self.up(x).relu_())
        y = self.norm(y) * y.mean((-1, -2), keepdim=True) + torch.ones(8, 1, 1, device=x.device)
        tokens = torch.cat([y, nn.functional.hardtanh(y)], -3).flatten(2).transpose(1, 2)
        return self.linear(self.attention(tokens, tokens, tokens)[0]).mean(1).squeeze_(0)


NETWORKS = {
    "resnet": lambda: models.build("resnet8", 10, 3),
    "cells": lambda: darts.Network(darts.DARTS_V2, darts.Size(4, 3), 10),
    "supernet": lambda: Supernet(darts.Size(4, 3), 10),
    "mobile": lambda: nn.Sequential(models.build("resnet8x0.5", 10, 3), nn.Hardswish(), nn.Linear(10, 3)),
    "odd": Odd,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_quick_shapes_count_what_torch_counts(name):
    network = NETWORKS[name]().eval()
    pure, sizes = copy.deepcopy(network).to("meta"), []
    for layer in pure.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm)):
            layer.register_forward_hook(lambda layer, inputs, _: sizes.append(inputs[0].numel()))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pure(torch.empty(1, 3, 16, 16, device="meta"))
    parameters = sum(each.numel() for each in network.parameters())
    assert cost.of(network, (3, 16, 16)) == cost.Cost(counter.get_total_flops() // 2, sum(sizes), parameters)


def test_a_network_without_values_is_of_the_same_shapes():
    with cost.without_values():
        network = models.build("resnet8", 10, 3)
    shapes = {name: value.shape for name, value in models.build("resnet8", 10, 3).state_dict().items()}
    assert {name: value.shape for name, value in network.state_dict().items()} == shapes
    assert all(value.is_meta for value in network.state_dict().values())
