"""Augmentation: windows at another scale, and colours that move; functions of a generator alone."""

import math

import pytest
import torch

from dfnas.data.images import GREY, colour_jitter, resized_crop
from dfnas.runtime import seeds


def ramps(count: int = 4000, side: int = 64) -> torch.Tensor:
    """Images whose first channel says the column and whose second says the row, in pixels of 256."""
    ramp = (torch.arange(side) + 0.5) * (256 / side)
    columns = ramp.expand(side, side)
    return torch.stack([columns, columns.T, columns]).expand(count, 3, side, side)


def windows(flip: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Crops, and the width and height of their windows, signed and as parts of the image, by the slopes inside."""
    crops = resized_crop(ramps(), 32, flip, seeds.generator(0, "crops"))
    middle = crops[:, :, 15:17, 15:17]
    width = (middle[:, 0, 0, 1] - middle[:, 0, 0, 0]) * 32 / 256
    height = (middle[:, 1, 1, 0] - middle[:, 1, 0, 0]) * 32 / 256
    return crops, width, height


def test_windows_have_torchvision_s_areas_and_ratios_and_lie_inside():
    crops, width, height = windows()
    area, ratio = width * height, width / height
    assert crops.shape == (4000, 3, 32, 32)
    assert 0.079 < float(area.min()) < 0.09
    assert 0.95 < float(area.max()) <= 1.001
    assert float(ratio.min()) == pytest.approx(3 / 4, abs=0.01)
    assert float(ratio.max()) == pytest.approx(4 / 3, abs=0.01)
    left, right = crops[:, 0, 16, 15], crops[:, 0, 16, 16]
    centre = (left + right) / 2 / 256
    assert bool((centre - width / 2 > -1e-3).all())
    assert bool((centre + width / 2 < 1 + 1e-3).all())
    # Small windows lie anywhere: the mean of the centres is that of the image, and they spread over most of it.
    small = centre[area < 0.2]
    assert float(small.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(small.min()) < 0.25
    assert float(small.max()) > 0.75


def test_a_half_of_the_windows_is_mirrored_where_that_is_allowed():
    assert bool((windows()[1] > 0).all())
    mirrored = (windows(flip=True)[1] < 0).float().mean()
    assert float(mirrored) == pytest.approx(0.5, abs=0.03)


def jittered(most: tuple[float, ...], images: torch.Tensor) -> torch.Tensor:
    return colour_jitter(images, most, seeds.generator(0, "jitter"))


IMAGES = torch.rand(500, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 100 + 60


def brightness(images: torch.Tensor) -> torch.Tensor:
    return (images * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def test_nothing_moves_colours_where_nothing_is_asked_for():
    assert torch.allclose(jittered((0.0, 0.0, 0.0, 0.0), IMAGES), IMAGES, atol=1e-4)


def test_each_image_is_as_bright_as_its_own_factor_says():
    factors = (jittered((0.4, 0.0, 0.0, 0.0), IMAGES) / IMAGES).flatten(1)
    assert float(factors.std(1).max()) < 1e-5
    assert (float(factors.min()), float(factors.max())) == pytest.approx((0.6, 1.4), abs=0.01)


def test_contrast_keeps_an_image_s_mean_brightness_and_saturation_each_pixel_s():
    contrast, saturation = jittered((0.0, 0.3, 0.0, 0.0), IMAGES), jittered((0.0, 0.0, 0.3, 0.0), IMAGES)
    levels = [brightness(images).mean((2, 3), keepdim=True) for images in (contrast, IMAGES)]
    assert torch.allclose(levels[0], levels[1], atol=1e-2)
    spread = ((contrast - levels[1]) / (IMAGES - levels[1])).flatten(1).median(1).values
    assert (float(spread.min()), float(spread.max())) == pytest.approx((0.7, 1.3), abs=0.01)
    assert torch.allclose(brightness(saturation), brightness(IMAGES), atol=1e-2)
    colour = (saturation - brightness(IMAGES)) / (IMAGES - brightness(IMAGES))
    assert (float(colour.median(-1).values.min()), float(colour.max())) == pytest.approx((0.7, 1.3), abs=0.02)


def test_a_hue_is_turned_and_brightness_and_greys_stay():
    pale = IMAGES * 0.1 + 110
    turned = jittered((0.0, 0.0, 0.0, 0.1), pale)
    assert torch.allclose(brightness(turned), brightness(pale), atol=1e-2)
    assert float((turned - pale).abs().max()) > 1
    grey = brightness(IMAGES).expand(-1, 3, -1, -1)
    assert torch.allclose(jittered((0.0, 0.0, 0.0, 0.5), grey), grey, atol=1e-2)
    chroma = torch.tensor([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    before, after = (torch.einsum("ij,njhw->nihw", chroma, images) for images in (pale, turned))
    assert torch.allclose(before.norm(dim=1), after.norm(dim=1), atol=1e-2)
    angle = torch.atan2(after[:, 1], after[:, 0]) - torch.atan2(before[:, 1], before[:, 0])
    part = (angle / (2 * math.pi) + 0.5) % 1 - 0.5
    assert 0.09 < float(part.abs().max()) < 0.101


def test_colours_stay_where_pixels_are():
    wild = jittered((0.9, 0.9, 0.9, 0.5), IMAGES.byte())
    assert float(wild.min()) >= 0
    assert float(wild.max()) <= 255
