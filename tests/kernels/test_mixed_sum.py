"""The closed form of the mixed operation's sum on a CPU."""

import pytest
import torch

from dfnas.kernels import mixed_sum
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_closed_form_has_the_gradient_of_finite_differences(layout):
    outputs = [agreement.images((2, 3, 4, 2), layout, torch.float64, seed=k).requires_grad_() for k in range(4)]
    weights = torch.rand(4, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda w, *x: mixed_sum.mixed_sum(x, w), (weights, *outputs))


@pytest.mark.parametrize(("shape", "layout"), agreement.IMAGES)
@pytest.mark.parametrize("count", [1, 8, 17])
def test_closed_form_equals_the_reference(count, shape, layout):
    agreement.check(agreement.mixed_sum_pairs(count, shape, layout))


def test_mixed_layouts_take_the_first_ones():
    outputs = [agreement.images((2, 3, 4, 5), layout) for layout in agreement.LAYOUTS]
    total = mixed_sum.mixed_sum(outputs, torch.tensor([2.0, 3.0]))
    assert total.is_contiguous()
    assert torch.allclose(total, 2 * outputs[0] + 3 * outputs[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_single_precision(dtype):
    digits = 2e-2 if dtype == torch.bfloat16 else 5e-3
    agreement.check(agreement.mixed_sum_pairs(8, (2, 16, 8, 8), "channels_last", dtype), digits, digits)
