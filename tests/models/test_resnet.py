"""Exact figures of the networks."""

import pytest
import torch

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost
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


@pytest.mark.parametrize("name", ["resnet21", "resnet20xbig", ""])
def test_an_unknown_network_is_one_line(name):
    with pytest.raises(UserError, match="there are"):
        models.build(name, 10)
