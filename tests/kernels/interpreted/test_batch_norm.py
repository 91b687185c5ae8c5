"""The Triton kernels of batch norm, run on a CPU: their values, and the bytes that they move."""

import pytest
import torch

from dfnas.kernels import batch_norm, dispatch
from kernels import agreement


@pytest.mark.parametrize(("shape", "layout"), agreement.IMAGES)
def test_kernels_equal_the_reference(shape, layout):
    for rectify in (False, True):
        agreement.check(agreement.batch_norm_pairs(shape, layout, rectify))


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_without_weight_and_bias(layout):
    agreement.check(agreement.batch_norm_pairs((3, 5, 6, 7), layout, True, affine=False))


def test_a_layer_that_learns_takes_no_kernel(count):
    agreement.check(agreement.batch_norm_pairs((3, 5, 6, 7), "contiguous", True, parameters=True))
    assert not count.launches


def test_half_precision_sums_in_single_precision():
    agreement.check(agreement.batch_norm_pairs((4, 6, 16, 16), "channels_last", True, dtype=torch.float16), 2e-3, 2e-3)


def test_a_large_mean_does_not_cancel_where_it_is_the_running_one():
    """Sums of x and x^2 would lose all digits of the variance here."""
    x = 4096 + agreement.images((8, 2, 16, 16))
    variance, mean = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    running = [value.float() for value in (mean + 0.25, variance + 0.5)]
    distance = batch_norm.batch_norm(x, *running)[1]
    expected = batch_norm.reference(x.double(), *(value.double() for value in running))[1]
    assert float(distance) == pytest.approx(float(expected), rel=1e-5)


def test_a_distance_of_zero_has_a_gradient_of_zero():
    x = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).requires_grad_()
    distance = batch_norm.batch_norm(x, torch.zeros(1), torch.ones(1))[1]
    assert float(distance.detach()) == 0
    assert torch.autograd.grad(distance, x)[0].tolist() == torch.zeros(2, 1, 1, 1).tolist()


def test_the_order_of_the_sums_is_fixed():
    first, again = (agreement.batch_norm_pairs((9, 33, 8, 8), "channels_last", False) for _ in range(2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_bytes_are_those_of_the_model(count, layout, dtype):
    x = agreement.images((6, 24, 12, 12), layout, dtype).requires_grad_()
    y, distance = batch_norm.batch_norm(x, *agreement.norm_vectors(24), rectify=True)
    assert count.traffic == batch_norm.forward_bytes(x)
    assert count.times_read(x) == {"_forward": 1, "_finish": 0, "_norms": 0}
    count.launches.clear()
    (y.float().sum() + distance).backward()
    assert count.traffic == batch_norm.backward_bytes(x)
    assert count.times_read(x)["_backward"] == 1


def test_activations_are_nearly_all_of_the_bytes():
    x = torch.empty(250, 16, 32, 32, device="meta")
    activation = x.numel() * x.element_size()
    forward, backward = batch_norm.forward_bytes(x).total, batch_norm.backward_bytes(x).total
    assert 2 < forward / activation < 2.01  # of x and y
    assert 3 < backward / activation < 3.01  # of x, dy and dx
    assert isinstance(batch_norm.forward_bytes(x), dispatch.Traffic)
