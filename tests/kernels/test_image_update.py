"""The image update on a CPU: Adam, clipping and the region, as in the objective's own loop."""

import pytest
import torch

from dfnas.kernels import image_update
from dfnas.synthesis import inversion
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_closed_form_has_the_gradient_of_finite_differences(layout):
    canvas = agreement.images((2, 2, 5, 5), layout, torch.float64).requires_grad_()
    for where in ((1, 2, True), (4, 3, False)):
        assert torch.autograd.gradcheck(
            lambda x, where=where: image_update.region(x, agreement.placement(*where), 3), (canvas,)
        )


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
@pytest.mark.parametrize("case", agreement.REGIONS)
def test_closed_form_equals_the_reference(case, layout):
    for ours, theirs in agreement.region_pairs(case, layout):
        assert torch.equal(ours, theirs)
    agreement.check(agreement.update_pairs(case, layout), 1e-6, 1e-6)
    agreement.check(agreement.update_pairs(case, layout, clip=False), 1e-6, 1e-6)


@pytest.mark.parametrize("offset", [[0, 0], [1, 2], [2, 0]])
@pytest.mark.parametrize("flip", [False, True])
def test_regions_and_jitter_are_the_objectives_own(offset, flip):
    canvas = agreement.images((2, 3, 8, 8))
    offsets, flips = torch.tensor([offset]), torch.tensor([flip])
    place = image_update.placements(offsets, flips, 8)[0]
    assert torch.equal(image_update.region(canvas, place, 6), inversion.see(canvas, offset, flip, 6, "region"))
    place = image_update.placements(-offsets, flips, 8)[0]
    assert torch.equal(image_update.region(canvas, place, 8), inversion.see(canvas, offset, flip, 8, "jitter"))


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
    assert torch.allclose(ours, theirs, atol=1e-6)  # the schedule is in fp32


def test_moments_that_lie_otherwise_in_memory_are_refused():
    canvas, other = (agreement.images((1, 3, 4, 4), layout) for layout in agreement.LAYOUTS)
    step, place = torch.rand(4), agreement.placement(0, 0, False)
    with pytest.raises(ValueError, match="alike"):
        image_update.image_update(canvas, other, other, canvas, place, step, None, (0.5, 0.9))
    with pytest.raises(ValueError, match="alike"):
        image_update.image_update(*[canvas.transpose(2, 3)] * 4, place, step, None, (0.5, 0.9))
