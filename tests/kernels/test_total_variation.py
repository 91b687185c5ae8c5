"""The closed form of total variation on a CPU."""

import pytest
import torch

from dfnas.kernels import total_variation
from dfnas.synthesis import inversion
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_closed_form_has_the_gradient_of_finite_differences(layout):
    x = agreement.images((2, 3, 4, 5), layout, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(total_variation.total_variation, (x,))


@pytest.mark.parametrize(("shape", "layout"), agreement.IMAGES)
def test_closed_form_equals_the_reference(shape, layout):
    agreement.check(agreement.total_variation_pairs(shape, layout))


def test_reference_is_the_objectives_own():
    x = agreement.images((3, 3, 9, 8))
    for ours, theirs in zip(total_variation.reference(x), inversion.total_variation(x), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_a_row_of_pixels_has_no_neighbours_below():
    l2, l1 = total_variation.total_variation(torch.tensor([[[[0.0, 3.0, 7.0]]]]))
    assert float(l2) == 5
    assert float(l1) == 3.5
