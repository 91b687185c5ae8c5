"""The Triton kernels of the image update, run on a CPU: their values, and the bytes that they move."""

import pytest
import torch

from dfnas.kernels import image_update
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
@pytest.mark.parametrize("case", agreement.REGIONS)
def test_kernels_equal_the_reference(case, layout):
    for ours, theirs in agreement.region_pairs(case, layout):
        assert torch.equal(ours, theirs)
    agreement.check(agreement.update_pairs(case, layout), 1e-6, 1e-6)


def test_without_bounds():
    agreement.check(agreement.update_pairs(((5, 3, 21), 16, 5, 2, True), "channels_last", clip=False), 1e-6, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_bytes_are_those_of_the_model(count, layout, dtype):
    canvas = agreement.images((5, 3, 20, 20), layout)
    place, step = agreement.placement(2, 3, True), torch.rand(4, dtype=torch.float64)
    gradient, bounds = agreement.images((5, 3, 16, 16), layout, dtype), (-torch.ones(3), torch.ones(3))
    moments = torch.zeros_like(canvas), torch.zeros_like(canvas)
    image_update.image_update(canvas, *moments, gradient, place, step, bounds, (0.5, 0.9))
    assert count.traffic == image_update.update_bytes(canvas, gradient)
    assert [count.times_read(x)["_update"] for x in (canvas, gradient, *moments)] == [1] * 4
    count.launches.clear()
    image_update.region(canvas.to(dtype), place, 16)
    assert count.traffic == image_update.region_bytes(canvas.to(dtype), 16)
