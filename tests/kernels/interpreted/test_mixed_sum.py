"""The Triton kernels of the mixed operation's sum, run on a CPU: their values, and the bytes that they move."""

import pytest
import torch

from dfnas.kernels import dispatch, mixed_sum
from dfnas.models.darts_supernet import MixedOperation
from kernels import agreement


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (1, 1, 1, 1)), (3, (2, 3, 5, 7)), (8, (3, 16, 9, 9)), (9, (2, 4, 1, 3))]
)
@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_kernels_equal_the_reference(count, shape, layout):
    agreement.check(agreement.mixed_sum_pairs(count, shape, layout))


def test_half_precision_sums_in_single_precision():
    agreement.check(agreement.mixed_sum_pairs(8, (2, 16, 8, 8), "channels_last", torch.float16), 5e-3, 2e-3)


def test_programs_that_take_several_blocks(monkeypatch):
    monkeypatch.setattr(mixed_sum, "PROGRAMS", 3)
    agreement.check(agreement.mixed_sum_pairs(3, (5, 8, 17, 15), "channels_last"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_bytes_are_those_of_the_model(count, dtype):
    outputs = [agreement.images((3, 8, 11, 10), "channels_last", dtype, seed=k).requires_grad_() for k in range(8)]
    total = mixed_sum.mixed_sum(outputs, torch.rand(8).requires_grad_())
    assert count.traffic == mixed_sum.forward_bytes(outputs[0], 8)
    count.launches.clear()
    total.float().sum().backward()
    assert count.traffic == mixed_sum.backward_bytes(outputs[0], 8)
    assert count.times_read(outputs[5])["_backward"] == 1


def test_a_plain_edge_of_the_darts_supernet_takes_the_kernel(count, monkeypatch):
    torch.manual_seed(0)
    edge, weights = MixedOperation(4, 1), torch.rand(8).softmax(0).requires_grad_()
    x = agreement.images((2, 4, 6, 6), "channels_last").requires_grad_()
    found = []
    for kernels in ("triton", "auto"):
        monkeypatch.setenv(dispatch.VARIABLE, kernels)
        total = edge(x, weights)
        found.append((total, *torch.autograd.grad((total**2).sum(), (x, weights))))
    assert [name for name, _ in count.launches] == ["_forward", "_backward", "_finish"]
    agreement.check(zip(*found, strict=True))


def test_passes_are_9_forward_and_17_backward():
    x = torch.empty(64, 16, 32, 32, device="meta")
    size = x.numel() * x.element_size()
    assert mixed_sum.forward_bytes(x, 8).total / size == pytest.approx(9, abs=1e-3)
    assert mixed_sum.backward_bytes(x, 8).total / size == pytest.approx(17, abs=0.01)
