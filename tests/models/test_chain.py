"""What chains share: a layer's cost is what torch counts, and choices are checked."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfnas.errors import UserError
from dfnas.models import chain
from dfnas.models.chain import Layer, depthwise

LAYERS = [
    Layer(3, 8, 3, 2),
    depthwise(8, 5),
    Layer(8, 12, relu=False),
    depthwise(12, 7, 2, relu=False),
    Layer(12, 6, 3, groups=3),
    Layer(6, 5, 7, 2),
]


@pytest.mark.parametrize("side", [1, 2, 15, 16, 33])
@pytest.mark.parametrize("count", range(1, 7))
def test_layers_cost_what_torch_s_counter_says(side, count):
    layers = LAYERS[:count]
    network = chain.sequence(layers).eval()
    with FlopCounterMode(display=False) as counter:
        output = network(torch.zeros(1, 3, side, side))
    assert 2 * chain.macs(layers, side) == counter.get_total_flops()
    assert chain.parameters(layers) == sum(parameter.numel() for parameter in network.parameters())
    assert output.shape == (1, layers[-1].channels_out, *[chain.sides(layers, side)[-1]] * 2)


def test_a_sequence_has_the_space_s_own_batch_norm_and_relu():
    network = chain.sequence(LAYERS[1:3], functools.partial(nn.BatchNorm2d, eps=0.5, affine=False), nn.ReLU6)
    assert [type(module) for module in network] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU6, nn.Conv2d, nn.BatchNorm2d]
    assert [(network[place].eps, network[place].affine) for place in (1, 4)] == [(0.5, False)] * 2
    assert all(network[place].bias is None for place in (0, 3))


def test_choices_are_as_many_as_options_and_below_them():
    assert chain.check("chain", torch.tensor([0, 3, 1]), (1, 4, 2)) == (0, 3, 1)
    for wrong in ((0, 3), (0, 3, 1, 0), (0, 4, 1), (1, 3, 1), (0, -1, 0)):
        with pytest.raises(UserError, match="chain: 3 genes of 0 to 3 are needed"):
            chain.check("chain", wrong, (1, 4, 2), "genes")
