"""Costs of a network by hand."""

import torch
from torch import nn

from dfnas.models import cost


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
