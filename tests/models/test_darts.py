"""The DARTS space: every exact count, discretisation, the text form, and the fast supernet against the plain one."""

import pytest
import torch
import torch.nn.functional as F

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, darts, darts_fast
from dfnas.models.darts import DARTS_V1, DARTS_V2, PRIMITIVES, Genotype, Size
from dfnas.models.darts_supernet import MixedOperation, Supernet

ALL_SEP5 = Genotype(*[tuple(("sep_conv_5x5", p) for _ in range(4) for p in (0, 1))] * 2)
ALL_SKIP = Genotype(*[tuple(("skip_connect", p) for _ in range(4) for p in (0, 1))] * 2)


def meta(genotype, size, classes=10, **options):
    with torch.device("meta"):
        return darts.Network(genotype, size, classes, **options)


@pytest.mark.parametrize(
    ("genotype", "size", "parameters", "macs"),
    [
        (DARTS_V2, Size(36, 20), 3_349_342, 528_359_040),
        (DARTS_V1, Size(36, 20), 3_169_414, 500_987_520),
        (DARTS_V2, Size(16, 8), 246_106, 43_444_736),
        (ALL_SEP5, Size(36, 20), 5_144_086, 817_833_600),
        (ALL_SKIP, Size(36, 20), 1_580_950, 248_505_984),
    ],
)
def test_parameters_and_multiply_adds_on_cifar(genotype, size, parameters, macs):
    network = meta(genotype, size)
    assert cost.parameters(network) == parameters
    assert cost.macs(network, (3, 32, 32)) == macs


def test_parameters_and_multiply_adds_on_imagenet():
    network = meta(DARTS_V2, Size(48, 14, "imagenet"), 1000)
    assert cost.parameters(network) == 4_718_752
    assert cost.macs(network, (3, 224, 224)) == 529_911_552


def test_the_supernet_of_the_paper():
    with torch.device("meta"):
        supernet = Supernet(Size(16, 8), 10, fast=False)
    assert cost.parameters(supernet) == 1_930_618
    assert cost.macs(supernet, (3, 32, 32)) == 300_255_744
    assert [tuple(alpha.shape) for alpha in supernet.alphas] == [(14, 8), (14, 8)]
    assert [len(cell.edges) for cell in supernet.cells] == [14] * 8


def test_the_auxiliary_head():
    with_head, without = meta(DARTS_V2, Size(36, 20), auxiliary=True), meta(DARTS_V2, Size(36, 20))
    assert cost.parameters(with_head) - cost.parameters(without) == 476_426
    assert with_head.auxiliary_after == 13


@pytest.mark.parametrize(("cells", "reductions"), [(8, [2, 5]), (14, [4, 9]), (20, [6, 13])])
def test_where_cells_reduce(cells, reductions):
    layers = Size(16, cells).layers()
    assert [index for index, layer in enumerate(layers) if layer.reduction] == reductions


def test_widths_and_sides_of_the_paper_s_network():
    shapes = []
    network = meta(DARTS_V2, Size(36, 20)).eval()
    for cell in network.cells:
        cell.register_forward_hook(lambda cell, inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.empty(1, 3, 32, 32, device="meta"))
    assert shapes == [(144, 32, 32)] * 6 + [(288, 16, 16)] * 7 + [(576, 8, 8)] * 7


def logits(seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(14, 8, generator=random), torch.randn(14, 8, generator=random)


def test_none_is_never_chosen_and_each_node_has_two_predecessors():
    for seed in range(50):
        normal, reduce = logits(seed)
        normal[:, 0] += 5.0  # none ahead everywhere
        genotype = darts.discretise(normal, reduce)
        for cell in (genotype.normal, genotype.reduce):
            assert len(cell) == 8
            assert all(operation in PRIMITIVES[1:] for operation, _ in cell)
            for node in range(4):
                first, second = cell[2 * node][1], cell[2 * node + 1][1]
                assert first != second
                assert max(first, second) < 2 + node


def test_a_constant_on_an_edge_changes_nothing():
    normal, reduce = logits()
    shifted = normal + torch.randn(14, 1, generator=torch.Generator().manual_seed(1))
    assert darts.discretise(normal, reduce) == darts.discretise(shifted, reduce)


def test_none_can_drop_an_edge():
    normal, reduce = torch.zeros(14, 8), torch.zeros(14, 8)
    normal[5:9, 3] = torch.tensor([3.0, 2.0, 1.0, 0.0])  # the four edges into the third node
    before = {pair[1] for pair in darts.discretise(normal, reduce).normal[4:6]}
    normal[5, 0] = 10.0
    after = {pair[1] for pair in darts.discretise(normal, reduce).normal[4:6]}
    assert (before, after) == ({0, 1}, {1, 2})


def test_ties_go_to_the_lower_predecessor_and_operation():
    genotype = darts.discretise(torch.zeros(14, 8), torch.zeros(14, 8))
    assert set(genotype.normal) == {("max_pool_3x3", 0), ("max_pool_3x3", 1)}


@pytest.mark.parametrize("genotype", [DARTS_V1, DARTS_V2])
@pytest.mark.parametrize("size", [Size(36, 20), Size(48, 14, "imagenet"), Size(4, 3)])
def test_the_text_form_goes_there_and_back(genotype, size):
    text = darts.to_text(genotype, size)
    assert text.startswith("darts:1;")
    assert darts.from_text(text) == (genotype, size)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("darts:1", "darts:2"),
        ("sep_conv_3x3@0", "sep_conv_9x9@0"),
        ("sep_conv_3x3@0", "sep_conv_3x3@7"),
        ("channels=8", "channels=0"),
        ("cells=3", "cells=few"),
        ("reduce=", "shrink="),
    ],
)
def test_a_text_that_is_no_architecture_is_refused_in_one_line(old, new):
    text = darts.to_text(DARTS_V2, Size(8, 3))
    assert old in text
    with pytest.raises(UserError) as caught:
        darts.from_text(text.replace(old, new))
    assert "\n" not in str(caught.value)


def test_an_architecture_is_built_in_one_line_whose_weights_are_the_seed_s():
    text = darts.to_text(DARTS_V2, Size(4, 3))
    first, second, other = (models.build(text, 10, 1, seed) for seed in (0, 0, 1))
    weights = [torch.cat([value.flatten() for value in network.parameters()]) for network in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert first.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_random_genotypes_have_distinct_predecessors_and_no_none():
    random = torch.Generator().manual_seed(0)
    seen = {darts.random_genotype(random) for _ in range(200)}
    assert len(seen) == 200
    used = {operation for genotype in seen for operation, _ in genotype.normal + genotype.reduce}
    assert used == set(PRIMITIVES[1:])
    for genotype in seen:
        assert all(genotype.normal[2 * n][1] != genotype.normal[2 * n + 1][1] for n in range(4))


def test_the_auxiliary_head_answers_in_training_alone():
    network = darts.Network(DARTS_V2, Size(4, 3), 10, auxiliary=True)
    images = torch.randn(2, 3, 32, 32)
    both = network.train()(images)
    assert [part.shape for part in both] == [(2, 10), (2, 10)]
    assert network.eval()(images).shape == (2, 10)


def test_drop_path_keeps_the_mean_and_spares_identities():
    torch.manual_seed(0)
    keep = torch.tensor(0.7)
    x = torch.ones(4000, 2, 3, 3)
    dropped = darts._drop(x, torch.nn.ReLU(), keep)
    values = dropped.flatten(1).unique(dim=1)
    assert values.shape[1] == 1  # a whole sample at a time
    assert set(values.flatten().tolist()) == {0.0, float(1 / keep)}
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.03)
    assert darts._drop(x, torch.nn.Identity(), keep) is x


def gradients(supernet, images, targets, fast):
    supernet.fast = fast
    supernet.zero_grad()
    for alpha in supernet.alphas:
        alpha.grad = None
    out = supernet(images)
    F.cross_entropy(out, targets).backward()
    return [out.detach(), *(p.grad for p in supernet.parameters()), *(alpha.grad for alpha in supernet.alphas)]


@pytest.mark.parametrize(("channels", "side"), [(4, 16), (8, 8), (12, 16), (4, 12), (4, 14)])
def test_the_fast_supernet_is_the_plain_one_in_float64(channels, side):
    """In float64: in fp32 a rounding can tip a ReLU or a maximum, in either form against the exact value."""
    torch.manual_seed(0)
    supernet = Supernet(Size(channels, 3), 10).double()
    supernet.alphas = [torch.randn(14, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    images, targets = torch.randn(6, 3, side, side, dtype=torch.float64), torch.arange(6)
    fast, plain = (gradients(supernet, images, targets, form) for form in (True, False))
    for one, other in zip(fast, plain, strict=True):
        assert float((one - other).abs().max()) <= 1e-10 * float(other.abs().max())


def test_the_fast_supernet_is_the_same_on_threads_of_its_own():
    before = torch.get_num_threads()
    torch.manual_seed(0)
    supernet = Supernet(Size(8, 3), 10).double().to(memory_format=torch.channels_last)
    images, targets, found = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.arange(4), []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            found.append(gradients(supernet, images, targets, True))
    finally:
        torch.set_num_threads(before)
    for serial, pooled, again in zip(*found, strict=True):
        assert torch.allclose(serial, pooled, rtol=1e-10, atol=1e-13)
        assert torch.equal(pooled, again)


def test_frozen_weights_leave_the_gradients_of_the_architecture_as_they_are():
    torch.manual_seed(0)
    supernet = Supernet(Size(4, 3), 10).double()
    images, targets, found = torch.randn(4, 3, 16, 16, dtype=torch.float64), torch.arange(4), []
    for learning in (True, False):
        supernet.requires_grad_(learning)
        loss = F.cross_entropy(supernet(images), targets)
        found.append(torch.autograd.grad(loss, supernet.alphas))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_the_fast_supernet_is_the_plain_one_in_fp32():
    torch.manual_seed(1)
    supernet = Supernet(Size(8, 3), 10)
    images, targets = torch.randn(4, 3, 8, 8), torch.arange(4)
    fast, plain = (gradients(supernet, images, targets, form) for form in (True, False))
    for one, other in zip(fast, plain, strict=True):
        assert float((one - other).norm()) <= 1e-5 * float(other.norm())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_fast_supernet_takes_any_memory_layout(layout, monkeypatch):
    monkeypatch.setattr(darts_fast, "TOGETHER", 1)  # each edge by itself, as where there are many channels
    monkeypatch.setattr(darts_fast, "CACHED", 1)
    torch.manual_seed(0)
    supernet = Supernet(Size(16, 2), 10).to(memory_format=layout)
    images, targets = torch.randn(4, 3, 16, 16).contiguous(memory_format=layout), torch.arange(4)
    fast, plain = (gradients(supernet, images, targets, form)[0] for form in (True, False))
    assert float((fast - plain).abs().max()) <= 1e-5 * float(plain.abs().max())


def test_counting_the_cost_of_a_supernet_leaves_it_where_it_is():
    supernet = Supernet(Size(4, 3), 10, fast=False)
    with torch.device("meta"):
        expected = cost.macs(Supernet(Size(4, 3), 10, fast=False), (3, 32, 32))
    assert cost.macs(supernet, (3, 32, 32)) == expected
    assert all(alpha.device.type == "cpu" and alpha.requires_grad for alpha in supernet.alphas)


def test_the_fast_supernet_trains_under_bf16_autocast():
    supernet = Supernet(Size(4, 3), 10)
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(supernet(torch.randn(4, 3, 16, 16)), torch.arange(4))
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in supernet.parameters())


def test_architecture_parameters_move_with_the_network_and_stay_out_of_its_state():
    supernet = Supernet(Size(4, 3), 10)
    kept = [id(alpha) for alpha in supernet.alphas]
    supernet.to(memory_format=torch.channels_last)
    assert [id(alpha) for alpha in supernet.alphas] == kept
    assert not any("alpha" in name for name, _ in supernet.named_parameters())
    assert set(supernet.state_dict()) == {name for name, _ in supernet.named_parameters()}


@pytest.mark.parametrize("stride", [1, 2])
def test_the_branches_of_a_gpu_compute_what_those_of_a_cpu_do(stride):
    torch.manual_seed(0)
    edges = [MixedOperation(4, stride).double() for _ in range(2)]
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    scale = torch.rand(8, 8, dtype=torch.float64)

    def computed(branches, monkeypatch):
        leaf = x.clone().requires_grad_()
        with monkeypatch.context() as patched:
            patched.setattr(darts_fast._Branches, "apply", branches)
            out = darts_fast._convolutions(edges, leaf, darts_fast.take_apart(leaf, stride), scale, stride)
        out.square().sum().backward()
        return [out.detach(), leaf.grad, *(weight.grad for edge in edges for weight in edge.parameters())]

    patch = pytest.MonkeyPatch()
    ours = computed(darts_fast._Branches.apply, patch)
    for edge in edges:
        edge.zero_grad()
    theirs = computed(
        lambda every, dilated, stride, *values: darts_fast._branches(every, dilated, stride, values), patch
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
