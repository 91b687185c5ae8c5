"""The space of pruned networks: exact figures of MetaPruning's published code, and weights made from encodings."""

import pytest
import torch
import torch.nn.functional as F

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, pruning
from dfnas.models.pruning import FULL, channels
from dfnas.models.pruning_net import PruningNet
from dfnas.runtime import seeds

PAPER = pruning.space("resnet50")
WHOLE = (FULL,) * 20
PUBLISHED = (19, 9, 15, 13, 10, 9, 10, 6, 9, 13, 11, 12, 7, 18, 7, 13, 12, 10, 19, 18)  # in MetaPruning's code
FIGURES = {  # encoding -> parameters, multiply-adds, millions by MetaPruning's counter
    WHOLE: (25_557_032, 4_089_184_256, "4111.714"),
    PUBLISHED: (10_567_336, 1_027_554_986, "1038.427"),
}


@pytest.mark.parametrize(("encoding", "figures"), FIGURES.items())
def test_networks_have_the_size_that_metapruning_counts(encoding, figures):
    parameters, macs, millions = figures
    assert pruning.parameters(PAPER, encoding, 1000) == parameters
    assert pruning.macs(PAPER, encoding, 224, 1000) == macs
    assert f"{pruning.operations(PAPER, encoding, 224, 1000) / 1e6:.3f}" == millions
    with torch.device("meta"):
        network = models.build(pruning.to_text(encoding, PAPER), 1000)
    assert cost.parameters(network) == parameters
    assert cost.macs(network, (3, 224, 224)) == macs


def test_what_metapruning_counts_of_a_network_without_max_pool():
    space = pruning.space("resnet8")
    network = models.build(pruning.to_text((FULL,) * 5, space), 10)
    relu = 16 * 16**2 + 2 * (16 * 16**2 + 32 * 8**2 + 64 * 4**2)  # of the stem and of two in each block
    counted = pruning.macs(space, (FULL,) * 5, 16, 10) + 10 + cost.activations(network, (3, 16, 16)) + relu
    assert pruning.operations(space, (FULL,) * 5, 16, 10) == counted


def test_the_published_encoding_has_the_published_widths():
    stem, blocks = pruning.layers(PAPER, PUBLISHED)
    assert [stem.channels_out, *(blocks[number].main[-1].channels_out for number in (0, 3, 7, 13))] == [
        42,
        94,
        281,
        501,
        2048,
    ]


@pytest.fixture(scope="module")
def papers_net():
    with torch.device("meta"):
        return PruningNet(PAPER, 1000)


def test_the_papers_pruning_net_on_the_meta_device(papers_net):
    assert cost.parameters(papers_net) == 776_067_816
    norms = [layer for layer in papers_net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 1643 == 53 * len(pruning.RATIOS)
    assert not any(layer.affine for layer in norms)
    assert PAPER.genes == 20


def test_the_full_encoding_s_generated_weights_have_resnet_50_s_shapes(papers_net):
    papers_net.choose(WHOLE)
    made = [tuple(weight.shape) for weight in papers_net.weights()]
    with torch.device("meta"):
        layers = models.build("resnet50", 1000).modules()
    assert made == [tuple(layer.weight.shape) for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert sum(map(torch.Size.numel, map(torch.Size, made))) == 23_454_912


def test_slicing_rows_before_the_product_is_cropping_after_it():
    space = pruning.space("resnet8")
    net = PruningNet(space, 10, 3, seed=0)
    encoding = (7, 20, 3, 11, 25)
    net.choose(encoding)
    stem, blocks = pruning.layers(space, encoding)
    parts = [(net.stem, stem._replace(channels_in=3), [blocks[0].genes[1]])]
    for residual, block in zip(net.blocks, blocks, strict=True):
        pairs = [*zip(residual.main, block.main, strict=True)]
        pairs += [(residual.shortcut, block.shortcut)] if block.shortcut else []
        parts += [(part, layer, block.genes) for part, layer in pairs]
    made = net.weights()
    assert len(made) == len(parts) == 9
    for weight, (part, layer, genes) in zip(made, parts, strict=True):
        generator, ratios = part.generator, torch.tensor([pruning.RATIOS[gene] for gene in genes])
        whole = generator.second(F.relu(generator.first(ratios))).view(generator.shape)
        assert whole.shape != weight.shape
        assert torch.allclose(whole[: layer.channels_out, : layer.channels_in], weight, rtol=1e-5, atol=1e-6)
        # and so have the gradients
        seed = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        cropped = whole[: layer.channels_out, : layer.channels_in]
        weights = (generator.first.weight, generator.second.weight, generator.second.bias)
        expected = torch.autograd.grad(cropped, weights, seed)
        for one, other in zip(expected, torch.autograd.grad(weight, weights, seed, retain_graph=True), strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_widths_are_rounded_down_in_whole_numbers():
    assert len(pruning.RATIOS) == 31
    assert (pruning.RATIOS[0], pruning.RATIOS[-1]) == (0.1, 1.0)
    for full in (64, 256, 512, 1024, 2048):
        for gene in range(31):
            assert channels(full, gene) == int(full * (10 + 3 * gene) / 100)
            assert 100 * channels(full, gene) <= full * (10 + 3 * gene) < 100 * (channels(full, gene) + 1)
    assert channels(16, 0) == 1


@pytest.mark.parametrize("name", ["resnet5", "resnet8", "resnet20", "resnet18", "resnet50"])
def test_the_full_encoding_is_the_network_itself(name):
    space = pruning.space(name)
    full, shape = (FULL,) * space.genes, (3, 32, 32)
    with torch.device("meta"):
        same, itself = models.build(pruning.to_text(full, space), 10), models.build(name, 10)
    assert cost.parameters(same) == cost.parameters(itself) == pruning.parameters(space, full, 10)
    assert cost.macs(same, shape) == cost.macs(itself, shape) == pruning.macs(space, full, 32, 10)
    assert len(space.names) == len(space.full_widths) == space.genes


@pytest.mark.parametrize("name", ["resnet5", "resnet8", "resnet20", "resnet18", "resnet50"])
@pytest.mark.parametrize(("side", "image_channels"), [(32, 3), (33, 1)])
def test_costs_by_arithmetic_are_those_of_the_network_that_is_built(name, side, image_channels):
    space = pruning.space(name)
    encoding = pruning.random_encoding(space, seeds.generator(0, "encoding", side))
    with torch.device("meta"):
        network = models.build(pruning.to_text(encoding, space), 10, image_channels)
    assert pruning.parameters(space, encoding, 10, image_channels) == cost.parameters(network)
    assert pruning.macs(space, encoding, side, 10, image_channels) == cost.macs(network, (image_channels, side, side))


@pytest.mark.parametrize("name", ["resnet8", "resnet50"])
def test_a_pruning_net_computes_what_the_pruned_network_with_its_weights_does(name):
    space = pruning.space(name)
    torch.manual_seed(0)
    encoding = tuple(gene // 2 for gene in pruning.random_encoding(space, seeds.generator(0, "encoding", 1)))
    network = models.build(pruning.to_text(encoding, space), 10).eval()
    if name == "resnet50":  # the full one would take 3 GB: the same classes, in a small bottleneck space
        space = pruning.Space("small", 16, 7, 2, True, (1, 2), (32, 64), bottleneck=True)
        encoding = (20, 11, 5, 30, 12)
        network = pruning.Network(space, encoding, 10).eval()
    net = PruningNet(space, 10, 3, seed=1).eval()
    net.choose(encoding)
    convolutions = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for layer, weight in zip(convolutions, net.weights(), strict=True):
            layer.weight.copy_(weight)
        network.linear.load_state_dict(net.linear.state_dict())
        expected = net(x)
        assert torch.allclose(network(x), expected, atol=1e-4 * float(expected.abs().max()))


def test_a_forward_pass_uses_the_batch_norms_of_its_ratios_alone():
    space = pruning.space("resnet8")
    net, encoding = PruningNet(space, 10, 3, seed=0), (4, 9, 14, 19, 24)
    net.choose(encoding)
    net(torch.randn(4, 3, 16, 16))
    moved = [name for name, layer in net.named_modules() if getattr(layer, "num_batches_tracked", 0) > 0]
    assert {place: int(gene) for place, _, gene in (name.partition(".norms.") for name in moved)} == {
        **{"stem": 4, "blocks.0.main.0": 14, "blocks.0.main.1": 4},
        **{"blocks.1.main.0": 19, "blocks.1.main.1": 9, "blocks.1.shortcut": 9},
        **{"blocks.2.main.0": 24, "blocks.2.main.1": FULL, "blocks.2.shortcut": FULL},
    }
    assert len(moved) == 9


def test_narrow_networks_train_in_channels_last():
    """Torch's strided 1x1 convolution writes outside its memory where fewer than 8 channels come in."""
    space = pruning.space("resnet20")
    net = PruningNet(space, 10, 3, seed=0)
    x = torch.randn(8, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    for step in range(8):
        encoding = pruning.random_encoding(space, seeds.generator(0, "narrow", step), 0, 12)
        net.choose(encoding)
        network = models.build(pruning.to_text(encoding, space), 10).to(memory_format=torch.channels_last)
        for each in (net, network):
            each.zero_grad()
            each(x).square().sum().backward()
            assert all(bool(parameter.grad.isfinite().all()) for parameter in each.parameters())


def test_initial_weights_depend_on_the_seed_alone_and_leave_the_callers_random_state():
    space = pruning.space("resnet5")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = PruningNet(space, 10, 3, seed=1)
    assert torch.equal(torch.rand(3), expected)
    again, other = PruningNet(space, 10, 3, seed=1), PruningNet(space, 10, 3, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.linear.weight, other.linear.weight)


def test_random_candidates_of_metapruning_s_code_rarely_fall_into_its_window():
    generator = torch.Generator().manual_seed(0)
    drawn = [pruning.random_encoding(PAPER, generator, 12, 23) for _ in range(1000)]
    counted = torch.tensor([pruning.operations(PAPER, encoding, 224, 1000) / 1e6 for encoding in drawn]).double()
    assert abs(counted.mean() - 1730) < 4 * 125 / 1000**0.5 + 5
    assert counted.std() == pytest.approx(125, rel=0.09)
    assert ((counted >= 1950) & (counted <= 2050)).double().mean() == pytest.approx(0.036, abs=0.02)


def test_a_mutation_always_changes_the_gene_and_reaches_all_others():
    generator = torch.Generator().manual_seed(0)
    reached = {pruning.redraw((7, 29), 1, generator) for _ in range(1000)}
    assert reached == set(range(31)) - {29}


@pytest.mark.parametrize("target", [0.5e9, 1.0e9, 2.0e9, 3.3e9])
def test_even_widths_meet_a_target_within_half_a_step(target):
    encoding = pruning.uniform(PAPER, lambda each: pruning.macs(PAPER, each, 224, 1000), target)
    assert max(encoding) - min(encoding) <= 1
    assert pruning.macs(PAPER, encoding, 224, 1000) == pytest.approx(target, rel=0.012)
    assert pruning.uniform(PAPER, lambda each: pruning.macs(PAPER, each, 224, 1000), 1e11) == WHOLE


def test_the_text_form_goes_there_and_back():
    text = "pruned:1;resnet50;19,9,15,13,10,9,10,6,9,13,11,12,7,18,7,13,12,10,19,18"
    assert pruning.to_text(PUBLISHED, PAPER) == text
    assert pruning.from_text(text + "\n") == (PUBLISHED, PAPER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pruned:1;resnet50",
        "pruned:2;resnet8;1,2,3,4,5",
        "pruned:1;resnet8;1,2,3,4",
        "pruned:1;resnet8;1,2,3,4,5,6",
        "pruned:1;resnet8;1,2,3,4,31",
        "pruned:1;resnet8;1,2,3,4,-1",
        "pruned:1;resnet8;1,,2,3,4",
        "pruned:1;resnet8;1,2,3,4,²",
        "pruned:1;resnet9;1,2,3,4,5",
        "pruned:1;resnet8x0;1,2,3,4,5",
    ],
)
def test_a_malformed_text_is_one_line(text):
    with pytest.raises(UserError, match="prune") as error:
        pruning.from_text(text)
    assert "\n" not in str(error.value)
