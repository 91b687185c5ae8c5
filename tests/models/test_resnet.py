"""Exact figures of the networks."""

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import chain, cost, darts, resnet
from dfnas.synthesis.moments import BatchNormDistance


def test_cifar_resnet34_has_the_papers_size():
    network = models.build("resnet34", 10)
    assert cost.parameters(network) == 21_282_122
    assert cost.macs(network, (3, 32, 32)) == 1_159_402_496


@pytest.mark.parametrize(("name", "layers"), [("resnet50", 53), ("resnet34", 36), ("resnet18", 20)])
def test_batch_norm_layers(name, layers):
    network = models.build(name, 1000 if name == "resnet50" else 10)
    assert len(BatchNormDistance(network).layers) == layers


def test_resnet50_macs_and_parameters():
    network = models.build("resnet50", 1000)
    assert cost.parameters(network) == 25_557_032
    assert cost.macs(network, (3, 224, 224)) == 4_089_184_256


def test_torchvisions_networks_by_name():
    network = models.build("torchvision:resnet18", 1000)
    assert cost.parameters(network) == 11_689_512
    assert cost.macs(network, (3, 224, 224)) == 1_814_073_344
    for name, channels in (("torchvision:resnet19", 3), ("torchvision:resnet18", 1), ("resnet50", 1)):
        with pytest.raises(UserError, match="torchvision"):
            models.build(name, 10, channels)


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = models.build("resnet8", 10, seed=3)
    torch.manual_seed(2)
    torch.rand(5)
    second = models.build("resnet8", 10, seed=3)
    other = models.build("resnet8", 10, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.conv.weight, other.conv.weight)


def test_building_a_network_leaves_the_callers_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    models.build("resnet8", 10, seed=0)
    assert torch.equal(torch.rand(3), expected)


def narrow():
    """Networks of which fewer than eight channels enter a projection that halves the side."""
    genotype = darts.random_genotype(torch.Generator().manual_seed(0))
    yield models.build("resnet8x0.25", 10)
    yield models.build(darts.to_text(genotype, darts.Size(2, 3)), 10)


def test_no_strided_1x1_convolution_has_fewer_than_eight_channels():
    """Of torch's own, on some processors, it writes outside its memory (`chain.every`)."""
    for network in narrow():
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)]
        assert layers
        assert all(layer.stride == (1, 1) or layer.in_channels >= 8 for layer in layers)
        x = torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
        network(x).sum().backward()


@pytest.mark.parametrize("side", [7, 8])
def test_a_narrow_projection_is_the_strided_convolution(side):
    x = torch.randn(2, 4, side, side, dtype=torch.float64)
    block = resnet.BasicBlock(4, 8, 2).double().eval()
    plain = functional.conv2d(x, block.shortcut[0].weight, stride=2)
    assert torch.allclose(block.shortcut[0](chain.every(x, block.stride)), plain)
    wide = resnet.BasicBlock(8, 16, 2)
    assert (wide.stride, wide.shortcut[0].stride) == (1, (2, 2))
    reduce = darts.FactorizedReduce(4, 8, nn.BatchNorm2d).double().eval()
    even = functional.pad(x.relu(), (0, side % 2, 0, side % 2))
    halves = [
        functional.conv2d(part, layer.weight, stride=2)
        for part, layer in ((even, reduce.even), (even[:, :, 1:, 1:], reduce.odd))
    ]
    assert torch.allclose(reduce(x), reduce.norm(torch.cat(halves, 1)))


@pytest.mark.parametrize("name", ["resnet21", "resnet20xbig", "resnet8x0", "resnet8x0.0", ""])
def test_an_unknown_network_is_one_line(name):
    with pytest.raises(UserError, match="there are"):
        models.build(name, 10)
