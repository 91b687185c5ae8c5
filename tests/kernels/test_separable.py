"""Facts about quick depthwise and pointwise convolutions: the same network, the same gradients."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dfnas.kernels import separable
from dfnas.models import darts


@pytest.mark.parametrize("side", [8, 7, 2, 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_a_depthwise_layer_gives_the_same_and_the_same_gradients(kernel, dilation, stride, side):
    generator = torch.Generator().manual_seed(0)
    plain = nn.Conv2d(6, 6, kernel, stride, dilation * (kernel // 2), dilation, groups=6, bias=False)
    compare(plain, separable.Depthwise(copy.deepcopy(plain)), torch.randn(4, 6, side, side, generator=generator))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_pointwise_layer_gives_the_same_and_the_same_gradients(layout):
    generator = torch.Generator().manual_seed(0)
    plain = nn.Conv2d(6, 10, 1, bias=False)
    images = torch.randn(4, 6, 5, 7, generator=generator).contiguous(memory_format=layout)
    compare(plain, separable.Pointwise(copy.deepcopy(plain)), images)


def compare(plain, quick, images):
    outcomes = []
    for layer in (plain, quick):
        x = images.clone().requires_grad_()
        y = layer(x)
        y.backward(torch.linspace(-1, 1, y.numel()).view(y.shape))
        outcomes.append((y.detach(), x.grad, layer.weight.grad))
    for one, other in zip(*outcomes, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_keeps_its_state_and_its_gradients(seed):
    """In float64: in fp32 a rounding can tip a ReLU or a maximum, in either form against the exact value."""
    torch.manual_seed(seed)
    genotype = darts.random_genotype(torch.Generator().manual_seed(seed))
    plain = darts.Network(genotype, darts.Size(4, 3), 10).double().train()
    quick = separable.quicken(copy.deepcopy(plain))
    for kind in (separable.Depthwise, separable.Pointwise):
        assert any(isinstance(layer, kind) for layer in quick.modules())
    assert list(quick.state_dict()) == list(plain.state_dict())
    images, labels = torch.randn(8, 3, 16, 16, dtype=torch.float64), torch.arange(8)
    for network in (plain, quick):
        F.cross_entropy(network(images), labels).backward()
    for one, other in zip(plain.parameters(), quick.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-11)
    copied = copy.deepcopy(quick).eval()
    with torch.no_grad():
        assert torch.allclose(copied(images), quick.eval()(images))


def test_other_convolutions_are_left_alone():
    kept = [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(4, 8, 1, 2, bias=False),
        nn.Conv2d(4, 8, 1, groups=2, bias=False),
        nn.Conv2d(4, 129, 1, bias=False),
    ]
    network = separable.quicken(nn.Sequential(*kept))
    assert {type(layer) for layer in network} == {nn.Conv2d}
