"""Ten drawn digits, for programs that have to learn something in seconds where there need be no real image."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dfnas.runtime import seeds

SIDE = 12
# Five rows of three pixels, as fifteen bits.
GLYPHS = (0x7B6F, 0x2C97, 0x73E7, 0x73CF, 0x5BC9, 0x79CF, 0x79EF, 0x7249, 0x7BEF, 0x7BCF)


def digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs [count, 1, 12, 12], floating-point, of zero mean and unit deviation, and their classes int64 [count].

    A digit is a drawing of 10 x 6 pixels, anywhere on the image, with noise over it; every class comes equally often.
    """
    random = seeds.generator(seed, "drawn digits")
    classes = torch.arange(count)[torch.randperm(count, generator=random)] % len(GLYPHS)
    bits = torch.tensor([[glyph >> place & 1 for place in range(14, -1, -1)] for glyph in GLYPHS])
    drawings = F.interpolate(bits.view(-1, 1, 5, 3).float(), scale_factor=2)[classes]
    images = 0.8 * torch.randn(count, 1, SIDE, SIDE, generator=random)
    for image, drawing in zip(images, drawings, strict=True):
        top, left = (int(torch.randint(SIDE - side + 1, (), generator=random)) for side in drawing.shape[1:])
        image[:, top : top + drawing.shape[1], left : left + drawing.shape[2]] += 2 * drawing
    return (images - images.mean()) / images.std(), classes
