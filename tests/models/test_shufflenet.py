"""The SPOS space: exact figures of SPOS's published code, and what training one path leaves alone."""

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, shufflenet
from dfnas.models.shufflenet import Space
from dfnas.runtime import seeds

PAPER = Space()
CIFAR = Space(stem=16, stem_stride=1, widths=(32, 64, 128), repeats=(2, 2, 2), strides=(1, 2, 2), tail=256)
PUBLISHED = (2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3)  # found by SPOS, "323M" and "3.5M"
FIGURES = {  # choices -> parameters, multiply-adds
    (0,) * 20: (3_154_880, 295_842_496),
    (1,) * 20: (3_211_968, 313_654_976),
    (2,) * 20: (3_297_600, 340_373_696),
    (3,) * 20: (3_870_816, 358_825_920),
    PUBLISHED: (3_558_464, 322_918_720),
}
# Millions of multiply-adds of a stage's first and other blocks, by choice: the table that SPOS's code reads.
BLOCKS = [
    [(13.397, 15.805, 19.418, 13.146), (7.326, 8.931, 11.340, 12.343)],
    [(26.305, 28.111, 30.821, 20.296), (10.600, 11.603, 13.108, 16.746)],
    [(30.670, 31.674, 33.179, 21.199), (10.317, 10.819, 11.572, 15.900)],
    [(30.388, 30.890, 31.642, 20.635), (10.176, 10.427, 10.804, 15.476)],
]


@pytest.mark.parametrize(("choices", "figures"), FIGURES.items())
def test_networks_have_the_papers_size(choices, figures):
    parameters, macs = figures
    assert shufflenet.macs(PAPER, choices, 224, 1000) == macs
    with torch.device("meta"):
        network = shufflenet.Network(PAPER, choices, 1000)
    assert cost.parameters(network) == parameters
    assert cost.macs(network, (3, 224, 224)) == macs


def test_the_smallest_and_the_largest_architecture():
    rows = shufflenet.block_macs(PAPER, 224)
    macs = [shufflenet.macs(PAPER, [row.index(best(row)) for row in rows], 224, 1000) for best in (min, max)]
    assert macs == [270_359_360, 398_609_216]


def test_blocks_cost_what_the_papers_table_says():
    expected = [
        row
        for (first, other), count in zip(BLOCKS, PAPER.repeats, strict=True)
        for row in [first, *[other] * (count - 1)]
    ]
    found = [tuple(round(macs / 1e6, 3) for macs in row) for row in shufflenet.block_macs(PAPER, 224)]
    assert found == expected


def test_stem_and_tail():
    with torch.device("meta"):
        network = shufflenet.Network(PAPER, PUBLISHED, 1000)
    assert cost.macs(network.stem, (3, 224, 224)) == 5_419_008
    assert cost.macs(network.tail, (640, 7, 7)) + cost.parameters(network.linear) == 33_136_640


def test_the_supernet_has_8388176_weights_in_335_tensors():
    with torch.device("meta"):
        supernet = shufflenet.Supernet(PAPER, 1000)
    assert cost.parameters(supernet) == 8_388_176
    assert len(list(supernet.parameters())) == 335


def test_random_architectures_cost_327_million_on_average():
    generator = torch.Generator().manual_seed(0)
    macs = torch.tensor([cost_at_224(shufflenet.random_choices(PAPER, generator)) for _ in range(4000)]).double()
    assert abs(macs.mean() - 327.1e6) < 4 * 11.8e6 / 4000**0.5
    assert macs.std() == pytest.approx(11.8e6, rel=0.05)
    assert (macs <= 330e6).double().mean() == pytest.approx(0.589, abs=4 * 0.5 / 4000**0.5)


def cost_at_224(choices):
    return shufflenet.macs(PAPER, choices, 224, 1000)


@pytest.mark.parametrize(("space", "side", "channels"), [(CIFAR, 32, 3), (CIFAR, 16, 1), (Space(), 33, 3)])
def test_small_networks_cost_what_is_counted_and_are_paths_of_their_supernet(space, side, channels):
    supernet = shufflenet.Supernet(space, 10, channels)
    for number in range(3):
        choices = shufflenet.random_choices(space, seeds.generator(0, "small", number))
        network = shufflenet.Network(space, choices, 10, channels)
        supernet.choose(choices)
        macs = shufflenet.macs(space, choices, side, 10, channels)
        assert macs == cost.macs(network, (channels, side, side)) == cost.macs(supernet, (channels, side, side))
        assert network(torch.randn(2, channels, side, side)).shape == (2, 10)


@pytest.mark.parametrize("choice", range(4))
def test_even_channels_pass_unchanged_into_the_first_half(choice):
    block = shufflenet.Block(choice, 16, 16, 1, affine=True)
    x = torch.randn(2, 16, 6, 6)
    output = block(x)
    assert torch.equal(output[:, :8], x[:, 0::2])
    assert torch.equal(output[:, 8:], block.main(x[:, 1::2]))


@pytest.mark.parametrize("choice", range(4))
def test_a_block_that_strides_projects_all_its_channels_into_the_first_ones(choice):
    block = shufflenet.Block(choice, 6, 16, 2, affine=True).eval()
    x = torch.randn(2, 6, 7, 7)
    output = block(x)
    assert output.shape == (2, 16, 4, 4)
    assert torch.equal(output[:, :6], block.projection(x))
    assert torch.equal(output[:, 6:], block.main(x))


def test_a_supernets_path_is_the_network_with_its_weights():
    space, choices = replace(CIFAR, dropout=0.0), (0, 1, 2, 3, 3, 0)
    supernet, network = shufflenet.Supernet(space, 10), shufflenet.Network(space, choices, 10)
    supernet.choose(choices)
    weights = dict(supernet.named_parameters())
    for name, parameter in network.named_parameters():
        in_supernet = re.sub(r"^blocks\.(\d+)", lambda match: f"{match[0]}.{choices[int(match[1])]}", name)
        # batch norm's own weight is 1 already
        parameter.data = weights[in_supernet].data if in_supernet in weights else parameter.data.round()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = supernet(x)
        assert torch.allclose(expected, network(x), atol=1e-4 * float(expected.std()))


def test_a_step_leaves_the_weights_and_the_momentum_of_other_paths_as_they_are():
    supernet = shufflenet.Supernet(CIFAR, 10)
    optimiser = fused_sgd(supernet)
    for step in range(6):
        choices = shufflenet.random_choices(CIFAR, seeds.generator(0, "path", step))
        before = snapshot(supernet, optimiser)
        take_a_step(supernet, optimiser, choices)
        after = snapshot(supernet, optimiser)
        for name, parameter in supernet.named_parameters():
            _, block, choice, *_ = [*name.split("."), ""]
            on_path = not name.startswith("blocks.") or int(choice) == choices[int(block)]
            assert (parameter.grad is not None) == on_path, name
            for old, new in zip(before[name], after[name], strict=True):
                assert torch.equal(old, new) != on_path, name


def take_a_step(supernet, optimiser, choices):
    supernet.choose(choices)
    optimiser.zero_grad(set_to_none=True)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(supernet(images), torch.arange(4)).backward()
    optimiser.step()


def fused_sgd(network):
    options = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 4e-5, "fused": True}
    optimiser = torch.optim.SGD(network.parameters(), **options)
    for parameter in network.parameters():
        # torch's fused step fails where only some have a momentum yet; one of zeros is what the first step starts from
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def snapshot(network, optimiser):
    states = optimiser.state
    return {name: (p.detach().clone(), states[p]["momentum_buffer"].clone()) for name, p in network.named_parameters()}


def test_a_supernet_without_a_path_refuses_to_run():
    with pytest.raises(RuntimeError, match="choose a path"):
        shufflenet.Supernet(CIFAR, 10)(torch.zeros(1, 3, 32, 32))


def test_initial_weights_have_the_papers_deviations():
    network = shufflenet.Network(PAPER, PUBLISHED, 1000)
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            expected = 0.01 if name == "stem.0" else 1 / module.weight.shape[1]
            deviation, error = float(module.weight.detach().std()), 6 / (2 * module.weight.numel()) ** 0.5
            assert deviation == pytest.approx(expected, rel=error), name
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 1e-4).all()
    assert network.linear.bias is None
    assert float(network.linear.weight.detach().std()) == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    "build",
    [
        lambda seed: models.build(shufflenet.to_text((0, 1, 2, 3, 0, 1), CIFAR), 10, seed=seed),
        lambda seed: shufflenet.Supernet(CIFAR, 10, seed=seed),
    ],
)
def test_initial_weights_depend_on_the_seed_alone_and_leave_the_callers_random_state(build):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build(1)
    assert torch.equal(torch.rand(3), expected)
    again, other = build(1), build(2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.linear.weight, other.linear.weight)


def test_bins_are_hit_equally_often_and_an_empty_one_does_not_hang():
    bins = [(low * 1e6, low * 1e6 + 10e6) for low in range(310, 350, 10)]
    generator = torch.Generator().manual_seed(0)
    drawn = [cost_at_224(shufflenet.binned_choices(PAPER, cost_at_224, bins, generator)) for _ in range(400)]
    counts = [sum(low <= macs < high for macs in drawn) for low, high in bins]
    assert sum(counts) == 400
    assert all(abs(count - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5 for count in counts)
    assert len(shufflenet.binned_choices(PAPER, cost_at_224, [(0, 1)], generator, tries=5)) == 20


def test_the_text_form_goes_there_and_back():
    text = "spos:1;stem=16;stem_stride=2;widths=64,160,320,640;repeats=4,4,8,4;strides=2,2,2,2;tail=1024;"
    text += "choices=21012020202300003233"
    assert shufflenet.to_text(PUBLISHED, PAPER) == text
    assert shufflenet.from_text(text + "\n") == (PUBLISHED, PAPER)
    for number in range(20):
        choices = shufflenet.random_choices(CIFAR, seeds.generator(0, "text", number))
        assert shufflenet.from_text(shufflenet.to_text(choices, CIFAR)) == (choices, CIFAR)


TEXT = shufflenet.to_text((0, 1, 2, 3, 0, 1), CIFAR)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (TEXT, ""),
        ("spos:1", "spos:2"),
        ("spos:1", "darts:1"),
        ("stem=16;", ""),
        ("tail=256", "tail=0"),
        ("tail=256", "tail=256;tail=256"),
        ("tail=256", "tail=²"),
        ("widths=32,64,128", "widths=32,64"),
        ("widths=32,64,128", "widths=32,64,129"),
        ("widths=32,64,128", "widths=32,64,64"),
        ("widths=32,64,128", "widths=32,,64,128"),
        ("strides=1,2,2", "strides=1,2,3"),
        ("choices=012301", "choices=01230"),
        ("choices=012301", "choices=012304"),
        ("choices=012301", "choices=01230\n1"),
    ],
)
def test_a_malformed_text_is_one_line(old, new):
    assert old in TEXT
    with pytest.raises(UserError, match="SPOS") as error:
        shufflenet.from_text(TEXT.replace(old, new))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("choices", [(0,) * 19, (0,) * 21, (4,) + (0,) * 19, (-1,) + (0,) * 19])
def test_choices_that_the_space_lacks_are_one_line(choices):
    with pytest.raises(UserError, match="20 choices of 0 to 3"):
        shufflenet.Network(PAPER, choices, 10)
