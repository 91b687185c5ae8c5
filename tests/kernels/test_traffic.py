"""Facts about counted traffic: what each chain of operations moves, in passes over its tensor."""

import pytest
import torch

from dfnas.kernels import traffic


def test_arguments_and_results_count_once_and_views_nothing():
    x, y = (traffic.meta(8, 8, gradient=False) for _ in range(2))
    row = traffic.meta(8, gradient=False)
    for call, read, written in (
        (lambda: x + y, 512, 256),
        (lambda: x.t()[:4], 0, 0),
        (lambda: x.add_(y), 512, 256),
        (lambda: x.copy_(y), 256, 256),
        (lambda: torch.zeros_like(x), 0, 256),
        (lambda: x + row.expand(8, 8), 288, 256),
    ):
        found = traffic.counted(call, []).traffic
        assert (found.read, found.written) == (read, written)


def test_passes_of_the_five_operations():
    """By hand: 8 products and 8 sums take 39 passes, their gradients 48."""
    found = {each.name: each for each in traffic.operations()}
    passes = {
        name: [each.plain.traffic.total / each.one_pass, each.fused.total / each.one_pass]
        for name, each in found.items()
    }
    assert passes["mixed sum"] == pytest.approx([87, 26], rel=1e-3)
    assert passes["batch norm"][1] == pytest.approx(5, rel=2e-3)
    assert passes["total variation"][1] == pytest.approx(3, rel=1e-2)
    assert passes["image update"][1] == pytest.approx(6 + 3 * 32**2 / 40**2, rel=1e-3)
    for each in found.values():
        assert each.fused.total < each.plain.traffic.total
        assert each.intensity == each.flops / each.fused.total


def test_a_wide_convolution_does_nine_channels_a_value():
    assert traffic.convolution(64, 10**9) == pytest.approx(9 * 64 / 4, rel=1e-6)
    assert traffic.convolution(64, 10**9, torch.bfloat16) == pytest.approx(9 * 64 / 2, rel=1e-6)


def test_a_hook_that_copies_takes_sixteen_passes_beside_the_five_of_batch_norm():
    """Forward: norm 2, copy 2, mean 1, variance 1; backward: norm 3, variance 5, mean 1, two sums of gradients 6."""
    x, vectors = traffic.meta(250, 16, 32, 32), [traffic.meta(16, gradient=False) for _ in range(4)]
    found = traffic.counted(traffic.hooked_batch_norm, [x, *vectors])
    assert found.traffic.total / (x.numel() * 4) == pytest.approx(21, rel=1e-3)
