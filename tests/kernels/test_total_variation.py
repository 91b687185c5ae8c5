"""Total variation at its worked values, in the form that a CPU takes."""

import math

import pytest
import torch

from dfnas.kernels import total_variation
from kernels import agreement


def test_a_worked_example():
    l2, l1 = total_variation.total_variation(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
    assert float(l2) == pytest.approx(math.sqrt(2) + math.sqrt(8) + 1 + 3, abs=1e-6)
    assert float(l1) == 7


def test_it_grows_like_the_square_root_of_the_batch():
    image = torch.rand(1, 3, 8, 8)
    one, four = (total_variation.total_variation(image.repeat(n, 1, 1, 1))[0] for n in (1, 4))
    assert float(four) == pytest.approx(2 * float(one), rel=1e-5)


def test_a_row_of_pixels_has_no_neighbours_below():
    l2, l1 = total_variation.total_variation(torch.tensor([[[[0.0, 3.0, 7.0]]]]))
    assert float(l2) == 5
    assert float(l1) == 3.5


def test_one_pixel_and_equal_pixels_have_a_gradient_of_zero():
    for side in (1, 4):
        x = torch.ones(2, 3, side, side, requires_grad=True)
        assert (torch.autograd.grad(sum(total_variation.total_variation(x)), x)[0] == 0).all()


def test_half_precision_takes_differences_in_single_precision():
    x = agreement.images((4, 3, 16, 16), dtype=torch.float16)
    ours, exact = (total_variation.total_variation(values) for values in (x, x.double()))
    for one, other in zip(ours, exact, strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-6)
