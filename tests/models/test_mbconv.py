"""The ProxylessNAS space: exact figures of its published networks, and what a path, or two, leaves alone."""

import math
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import chain, cost, mbconv
from dfnas.models.mbconv import Space, Supernet
from dfnas.runtime import seeds

PAPER = Space()
MOBILE = Space(widths=(32, 40, 80, 96, 192, 320))
MOBILENET = Space(widths=(24, 32, 64, 96, 160, 320), repeats=(2, 3, 4, 3, 3, 1))
CIFAR = Space(stem=16, stem_stride=1, first=8, widths=(16, 24, 32), repeats=(2, 3, 1), strides=(1, 2, 2), tail=64)
PUBLISHED = (2, 0, 6, 6, 4, 0, 2, 2, 5, 2, 2, 2, 3, 2, 2, 2, 5, 5, 4, 4, 5)  # "proxyless_mobile", 74.6 % top-1
FIGURES = [  # space, choices -> parameters, multiply-adds
    (MOBILE, PUBLISHED, 4_080_512, 320_427_584),
    (MOBILENET, (1,) * 16, 3_504_872, 300_774_272),  # MobileNetV2 1.0
    (PAPER, (1,) * 21, 4_684_776, 472_620_800),
]


@pytest.mark.parametrize(("space", "choices", "parameters", "macs"), FIGURES)
def test_networks_have_the_published_size(space, choices, parameters, macs):
    assert mbconv.macs(space, choices, 224, 1000) == macs
    with torch.device("meta"):
        network = mbconv.Network(space, choices, 1000)
    assert cost.parameters(network) == parameters
    assert cost.macs(network, (3, 224, 224)) == macs


def test_the_published_network_has_61_batch_norms():
    with torch.device("meta"):
        network = mbconv.Network(MOBILE, PUBLISHED, 1000)
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 61
    assert {(layer.eps, layer.momentum) for layer in norms} == {(1e-3, 0.1)}


@pytest.mark.parametrize(("space", "weights"), [(PAPER, 16_034_168), (MOBILE, 16_158_680)])
def test_the_supernet_s_weights(space, weights):
    with torch.device("meta"):
        assert cost.parameters(Supernet(space, 1000)) == weights


def test_the_paper_s_space():
    sizes = [shape.operations for shape in PAPER.blocks]
    assert (len(sizes), sum(sizes), sizes.count(7), sizes.count(6)) == (21, 141, 15, 6)
    assert PAPER.networks == 6**6 * 7**15 == 221_502_229_807_900_608
    assert sum(map(math.log, sizes)) == pytest.approx(39.939, abs=5e-4)
    rows, fixed = mbconv.block_macs(PAPER, 224), mbconv.fixed_macs(PAPER, 224, 1000)
    assert [round((fixed + sum(map(best, rows))) / 1e6, 2) for best in (min, max)] == [102.53, 606.59]


@pytest.mark.parametrize(
    ("space", "side", "channels"), [(CIFAR, 32, 3), (CIFAR, 16, 1), (replace(PAPER, tail=8), 33, 3)]
)
def test_small_networks_cost_what_is_counted_and_are_paths_of_their_supernet(space, side, channels):
    supernet = Supernet(space, 10, channels)
    for number in range(3):
        choices = chain.random_choices(space.options, seeds.generator(0, "small", number))
        network = mbconv.Network(space, choices, 10, channels)
        supernet.choose(choices)
        macs = mbconv.macs(space, choices, side, 10, channels)
        assert macs == cost.macs(network, (channels, side, side)) == cost.macs(supernet, (channels, side, side))
        assert network(torch.randn(2, channels, side, side)).shape == (2, 10)


def test_a_block_left_out_is_an_identity_and_only_where_shapes_allow():
    shapes = [shape.shortcut for shape in CIFAR.blocks]
    assert shapes == [False, True, False, True, True, False]
    least = mbconv.Network(CIFAR, (0, 6, 0, 6, 6, 0), 10)
    assert [isinstance(block, torch.nn.Identity) for block in least.blocks] == shapes
    for number in (0, 2, 5):
        choices = [0] * 6
        choices[number] = mbconv.ZERO
        with pytest.raises(UserError, match=f"block {number} changes the shape"):
            mbconv.check(CIFAR, choices)


def test_a_shortcut_adds_the_input():
    block = mbconv.Block(3, mbconv.Shape(8, 8, 1)).eval()
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x) - block.body(x), x + block.body(x) - block.body(x))
    assert not mbconv.Block(3, mbconv.Shape(8, 8, 2)).shortcut


def test_a_supernets_path_is_the_network_with_its_weights():
    space, choices = replace(CIFAR, dropout=0.0), (0, 6, 5, 3, 6, 4)
    supernet, network = Supernet(space, 10), mbconv.Network(space, choices, 10)
    supernet.choose(choices)
    weights = dict(supernet.named_parameters())
    for name, parameter in network.named_parameters():
        in_supernet = re.sub(r"^blocks\.(\d+)\.body", lambda match: f"blocks.{match[1]}.{choices[int(match[1])]}", name)
        parameter.data = weights[in_supernet].data
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(supernet(x), network(x))


def test_a_step_touches_the_weights_of_the_path_alone():
    supernet = Supernet(CIFAR, 10)
    choices = (0, 6, 5, 3, 6, 4)
    supernet.choose(choices)
    supernet(torch.randn(2, 3, 16, 16)).sum().backward()
    for name, parameter in supernet.named_parameters():
        _, block, choice, *_ = [*name.split("."), ""]
        on_path = not name.startswith("blocks.") or int(choice) == choices[int(block)]
        assert (parameter.grad is not None) == on_path, name


def test_gates_give_the_slope_of_the_loss_towards_the_other_operation():
    """The derivative at gate j is the inner product of the output's gradient with operation j's output."""
    torch.manual_seed(0)
    supernet = Supernet(replace(CIFAR, dropout=0.0), 10).double().eval()
    active, inactive = (0, 1, 2, 6, 3, 4), (1, 6, 3, 2, 6, 5)
    x, labels = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    gates = supernet.open_gates(active, inactive)
    supernet.gates = gates = [gate.detach().double().requires_grad_() for gate in gates]
    output = supernet(x)
    slopes = torch.autograd.grad(F.cross_entropy(output, labels), gates, allow_unused=True, materialize_grads=True)
    supernet.choose(active)
    assert torch.equal(output, supernet(x))

    def at(block, gate, value):
        supernet.open_gates(active, inactive)
        with torch.no_grad():
            supernet.gates = [torch.tensor([1.0, 0.0], dtype=torch.float64) for _ in active]
            supernet.gates[block][gate] += value
            return float(F.cross_entropy(supernet(x), labels))

    for block, slope in enumerate(slopes):
        for gate in (0, 1):
            numeric = (at(block, gate, 1e-5) - at(block, gate, -1e-5)) / 2e-5
            skipped = active[block] == mbconv.ZERO or (inactive[block], gate) == (mbconv.ZERO, 1)
            assert float(slope[gate]) == pytest.approx(0.0 if skipped else numeric, abs=1e-7)
    assert sum(float(slope[1]) != 0 for slope in slopes) == 3


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = Supernet(CIFAR, 10, seed=3).state_dict()
    torch.manual_seed(2)
    second = Supernet(CIFAR, 10, seed=3).state_dict()
    other = Supernet(CIFAR, 10, seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


def test_convolutions_begin_as_he_s_by_fan_out():
    network = mbconv.Network(PAPER, (1,) * 21, 1000)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 20_000:
            fan_out = module.kernel_size[0] ** 2 * module.out_channels
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
    assert not network.tail[-1].bias.any()


def test_an_architecture_s_text_builds_it_again():
    for number in range(20):
        choices = chain.random_choices(CIFAR.options, seeds.generator(0, "text", number))
        text = mbconv.to_text(choices, CIFAR)
        assert mbconv.from_text(text) == (choices, CIFAR)
    assert text.startswith("proxyless:1;stem=16;stem_stride=1;first=8;widths=16,24,32;repeats=2,3,1;strides=1,2,2;")
    built = models.build(text, 10, seed=0)
    assert cost.parameters(built) == cost.parameters(mbconv.Network(CIFAR, choices, 10))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("proxyless:1", "proxyless:2"), "no ProxylessNAS architecture"),
        (("choices=00", "choices=08"), "no ProxylessNAS architecture"),
        (("choices=00", "choices=0"), "6 choices"),
        (("choices=00", "choices=60"), "block 0 changes the shape"),
        (("strides=1", "strides=3"), "strides 1 or 2"),
        (("repeats=2,3,1", "repeats=2,3"), "one value for each stage"),
    ],
)
def test_a_text_that_says_no_architecture_is_refused(change, words):
    text = mbconv.to_text((0,) * 6, CIFAR).replace(*change)
    with pytest.raises(UserError, match=words):
        models.build(text, 10)


def test_random_architectures_are_uniform():
    drawn = torch.tensor([chain.random_choices(PAPER.options, seeds.generator(0, "uniform", n)) for n in range(2000)])
    for column, shape in zip(drawn.T, PAPER.blocks, strict=True):
        counts = column.bincount(minlength=shape.operations).double()
        assert len(counts) == shape.operations
        expected = 2000 / shape.operations
        assert ((counts - expected) ** 2 / expected).sum() < 25  # of 5 or 6 degrees of freedom: 1 in 4,000
