"""The mixed operation's sum in the form that a CPU takes."""

import pytest
import torch

from dfnas.kernels import mixed_sum
from kernels import agreement


@pytest.mark.parametrize("count", [1, 8, 17])
def test_the_sum_and_its_gradients(count):
    """Equation `eq-kernel-mixed`."""
    outputs = [agreement.images((2, 3, 4, 5), dtype=torch.float64, seed=k).requires_grad_() for k in range(count)]
    weights = torch.linspace(-0.5, 1, count, dtype=torch.float64).requires_grad_()
    total = mixed_sum.mixed_sum(outputs, weights)
    assert torch.allclose(total, torch.einsum("k,k...->...", weights, torch.stack(outputs)))
    gradient = agreement.images(total.shape, dtype=torch.float64, seed=99)
    of_weights, *of_outputs = torch.autograd.grad(total, [weights, *outputs], gradient)
    assert torch.allclose(of_weights, torch.stack([(gradient * x).sum() for x in outputs]))
    assert all(torch.allclose(ours, w * gradient) for ours, w in zip(of_outputs, weights, strict=True))


def test_mixed_layouts_take_the_first_ones():
    outputs = [agreement.images((2, 3, 4, 5), layout) for layout in agreement.LAYOUTS]
    for each in (outputs, outputs[::-1]):
        total = mixed_sum.mixed_sum(each, torch.tensor([2.0, 3.0]))
        assert total.stride() == each[0].stride()
        assert torch.allclose(total, 2 * each[0] + 3 * each[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_single_precision(dtype):
    outputs = [agreement.images((2, 16, 8, 8), "channels_last", dtype, seed=k) for k in range(8)]
    weights = torch.linspace(-0.5, 1, 8)
    exact = torch.einsum("k,k...->...", weights.double(), torch.stack(outputs).double())
    total = mixed_sum.mixed_sum(outputs, weights)
    assert total.dtype == dtype
    assert float((total.double() - exact).abs().max()) <= torch.finfo(dtype).eps * float(exact.abs().max())
