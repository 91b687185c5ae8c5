"""The Triton kernels of total variation, run on a CPU: their values, and the bytes that they move."""

import math

import pytest
import torch

from dfnas.kernels import total_variation
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (40, 1, 2, 17), (1, 3, 18, 180)])
def test_kernels_equal_the_reference(shape, layout):
    agreement.check(agreement.total_variation_pairs(shape, layout))


def test_half_precision_takes_differences_in_single_precision():
    agreement.check(agreement.total_variation_pairs((4, 3, 16, 16), "channels_last", torch.float16), 2e-3, 2e-3)


def test_a_worked_example():
    l2, l1 = total_variation.total_variation(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
    assert float(l2) == pytest.approx(math.sqrt(2) + math.sqrt(8) + 1 + 3, abs=1e-6)
    assert float(l1) == 7


def test_equal_pixels_have_a_gradient_of_zero():
    x = torch.ones(2, 3, 4, 4, requires_grad=True)
    assert (torch.autograd.grad(sum(total_variation.total_variation(x)), x)[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_bytes_are_those_of_the_model(count, layout, dtype):
    x = agreement.images((6, 3, 19, 20), layout, dtype).requires_grad_()
    l2, l1 = total_variation.total_variation(x)
    assert count.traffic == total_variation.forward_bytes(x)
    assert count.times_read(x)["_forward"] < 2.2  # as itself and as a neighbour; the first row of a strip again
    count.launches.clear()
    (l2 + 2 * l1).backward()
    assert count.traffic == total_variation.backward_bytes(x)
    assert count.times_read(x)["_backward"] < 3.4
