"""The image update on a CPU: Adam, clipping and the region."""

import pytest
import torch

from dfnas.kernels import image_update
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
@pytest.mark.parametrize("case", agreement.REGIONS)
def test_closed_form_equals_the_reference(case, layout):
    agreement.check(agreement.update_pairs(case, layout), 1e-6, 1e-6)
    agreement.check(agreement.update_pairs(case, layout, clip=False), 1e-6, 1e-6)


@pytest.mark.parametrize("offset", [[0, 0], [1, 2], [2, 0], [0, 2]])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_regions_are_cut_out_jitter_wraps_around_and_flips_are_obeyed(offset, flip, layout):
    canvas = agreement.images((2, 3, 8, 8), layout)
    offsets, flips, (top, left) = torch.tensor([offset]), torch.tensor([flip]), offset
    place = image_update.placements(offsets, flips, 8)[0]
    cut, rolled = canvas[..., top : top + 6, left : left + 6], canvas.roll(offset, (2, 3))
    assert torch.equal(image_update.region(canvas, place, 6), cut.flip(3) if flip else cut)
    place = image_update.placements(-offsets, flips, 8)[0]
    assert torch.equal(image_update.region(canvas, place, 8), rolled.flip(3) if flip else rolled)


def test_outside_the_region_nothing_has_a_gradient():
    canvas, gradient = agreement.images((2, 3, 20, 20)), agreement.images((2, 3, 16, 16))
    first, second = torch.zeros_like(canvas), torch.zeros_like(canvas)
    step = image_update.schedule([0.1], (0.5, 0.9))[0]
    image_update.image_update(canvas, first, second, gradient, agreement.placement(1, 3, True), step, None, (0.5, 0.9))
    outside = torch.ones(20, 20, dtype=torch.bool)
    outside[1:17, 3:19] = False
    for moment in (first, second):
        assert (moment[..., outside] == 0).all()
        assert (moment[..., ~outside] != 0).all()


@pytest.mark.parametrize("function", [image_update.image_update, image_update.reference_update])
def test_ten_steps_are_those_of_torchs_adam_in_float64(function):
    betas, rates = (0.5, 0.9), torch.linspace(0.2, 0.02, 10).double().tolist()
    canvas = agreement.images((2, 3, 6, 6), dtype=torch.float64)
    ours, first, second = canvas.clone(), torch.zeros_like(canvas), torch.zeros_like(canvas)
    theirs = canvas.clone().requires_grad_()
    optimiser, low, high = torch.optim.Adam([theirs], lr=1.0, betas=betas), -torch.ones(3), 1.5 * torch.ones(3)
    for index, step in enumerate(image_update.schedule(rates, betas)):
        gradient, place = torch.randn(2, 3, 4, 4).double(), agreement.placement(index % 3, 2, index % 2)
        function(ours, first, second, gradient, place, step, (low, high), betas)
        optimiser.zero_grad()
        (image_update.reference_region(theirs, place, 4) * gradient).sum().backward()
        optimiser.param_groups[0]["lr"] = rates[index]
        optimiser.step()
        with torch.no_grad():
            theirs.clamp_(low[:, None, None], high[:, None, None])
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-12)


def test_moments_that_lie_otherwise_in_memory_are_refused():
    canvas, other = (agreement.images((1, 3, 4, 4), layout) for layout in agreement.LAYOUTS)
    step, place = torch.rand(4), agreement.placement(0, 0, False)
    with pytest.raises(ValueError, match="alike"):
        image_update.image_update(canvas, other, other, canvas, place, step, None, (0.5, 0.9))
    with pytest.raises(ValueError, match="alike"):
        image_update.image_update(*[canvas.transpose(2, 3)] * 4, place, step, None, (0.5, 0.9))
