"""Drawn digits: every class equally often, a function of the seed, and readable by eye and by template."""

import torch
import torch.nn.functional as F

from dfnas.data import drawn


def test_classes_are_even_and_images_normalised():
    inputs, classes = drawn.digits(200, 0)
    assert inputs.shape == (200, 1, drawn.SIDE, drawn.SIDE)
    assert inputs.dtype == torch.get_default_dtype()
    assert classes.bincount().tolist() == [20] * 10
    assert abs(float(inputs.mean())) < 1e-6
    assert abs(float(inputs.std()) - 1) < 1e-6


def test_a_seed_gives_the_same_images_and_another_one_others():
    assert torch.equal(drawn.digits(20, 1)[0], drawn.digits(20, 1)[0])
    assert not torch.equal(drawn.digits(20, 1)[0], drawn.digits(20, 2)[0])


def test_the_class_is_that_of_the_drawing_that_fits_best():
    inputs, classes = drawn.digits(500, 0)
    bits = torch.tensor([[glyph >> place & 1 for place in range(14, -1, -1)] for glyph in drawn.GLYPHS])
    drawings = F.interpolate(bits.view(10, 1, 5, 3).float(), scale_factor=2)
    fits = F.conv2d(inputs, drawings - drawings.mean((2, 3), keepdim=True)).amax((2, 3)) / drawings.std((2, 3)).T
    assert float((fits.argmax(1) == classes).double().mean()) > 0.8
