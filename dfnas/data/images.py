"""Batches as tensors on the device: cropped, flipped and resized without a loader.

Randomness is a function of (seed, name, step): a batch can be made again, on another process or after a restart.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dfnas.runtime import seeds


def pad(images: Tensor, canvas: int, mode: str) -> Tensor:
    """uint8 images [N, C, H, W] with a border, so that their side is `canvas` (`mode`: reflect | zero)."""
    border = canvas - images.shape[-1]
    if border <= 0:
        return images
    sides = [border // 2, border - border // 2] * 2
    if mode == "zero":
        return F.pad(images, sides)
    return torch.cat([F.pad(part.float(), sides, "reflect").byte() for part in images.split(4096)])


def batch_indices(count: int, batch: int, step: int, seed: int, name: str) -> Tensor:
    """The step's indices: each epoch is a permutation; a step that crosses its end goes on in the next one."""
    positions = torch.arange(step * batch, (step + 1) * batch)
    epochs = positions // count
    parts = []
    for epoch in epochs.unique().tolist():
        order = torch.randperm(count, generator=seeds.generator(seed, f"{name} order", epoch))
        parts.append(order[positions[epochs == epoch] - epoch * count])
    return torch.cat(parts)


def random_crop(images: Tensor, size: int, flip: bool, random: torch.Generator) -> Tensor:
    """One random window of `size` for each image, mirrored with probability 0.5 where `flip`; channels_last."""
    count, _, side, _ = images.shape
    offsets = torch.randint(0, side - size + 1, (count, 2, 1), generator=random)
    window = torch.arange(size)
    rows, columns = offsets[:, 0] + window, offsets[:, 1] + window
    if flip:
        mirrored = torch.rand(count, 1, generator=random) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    rows, columns = rows.to(images.device)[:, :, None], columns.to(images.device)[:, None, :]
    each = torch.arange(count, device=images.device)[:, None, None]
    return images[each, :, rows, columns].permute(0, 3, 1, 2)


def resized_crop(images: Tensor, size: int, flip: bool, random: torch.Generator) -> Tensor:
    """One window of each square image at another scale: float32 in [0, 255], of `size`, mirrored as in `random_crop`.

    A window has 8 % to all of the image's area, uniformly, and sides in a ratio of 3/4 to 4/3 (Szegedy et al., 2015;
    torchvision's defaults); of ten draws the first that lies inside is taken. Where a canvas of
    256 gives a region of 224 it is shrunk by an eighth at most, so nothing is smoothed before it is sampled.
    """
    count = len(images)
    area = 0.08 + 0.92 * torch.rand(count, 10, generator=random)
    ratio = torch.exp(math.log(4 / 3) * (2 * torch.rand(count, 10, generator=random) - 1))
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 2)  # width and height, of the image's
    first = (sides <= 1).all(2).float().argmax(1)
    sides = sides[torch.arange(count), first].clamp(max=1)
    middle = (1 - sides) * (2 * torch.rand(count, 2, generator=random) - 1)
    if flip:
        sides[:, 0] *= torch.where(torch.rand(count, generator=random) < 0.5, -1, 1)
    maps = torch.cat([torch.diag_embed(sides), middle[:, :, None]], 2).to(images.device)
    grid = F.affine_grid(maps, [count, images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


GREY = (0.299, 0.587, 0.114)  # the share of red, green and blue in brightness (ITU-R BT.601)


def colour_jitter(images: Tensor, most: tuple[float, ...], random: torch.Generator) -> Tensor:
    """RGB images [N, 3, H, W] in [0, 255] as float32, each with its own brightness, contrast, saturation and hue.

    The first three are factors, uniform on [1 - most, 1 + most] and never below 0; the hue is turned by at most a part
    `most` of a turn about the grey axis, brightness kept. They follow in this order (torchvision draws one).
    """
    images, grey = images.float(), torch.tensor(GREY, device=images.device)[:, None, None]
    draws = (2 * torch.rand(len(images), 4, generator=random) - 1) * torch.tensor(most)
    factors = (1 + draws).clamp(min=0).to(images.device)[:, :, None, None, None].unbind(1)
    images = (images * factors[0]).clamp(0, 255)
    level = (images * grey).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    images = torch.lerp(level, images, factors[1]).clamp(0, 255)
    images = torch.lerp((images * grey).sum(1, keepdim=True), images, factors[2]).clamp(0, 255)
    if not most[3]:
        return images
    return torch.einsum("nij,njhw->nihw", _turns(draws[:, 3]).to(images.device), images).clamp(0, 255)


def _turns(parts: Tensor) -> Tensor:
    """Matrices [N, 3, 3] that turn the colours of RGB pixels by parts [N] of a turn, in YIQ; greys stay as they are."""
    chroma = torch.tensor([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    forward = torch.cat([torch.tensor([GREY]), chroma])
    angles = 2 * math.pi * parts
    turn = torch.eye(3).repeat(len(parts), 1, 1)
    turn[:, 1, 1], turn[:, 1, 2] = angles.cos(), -angles.sin()
    turn[:, 2, 1], turn[:, 2, 2] = angles.sin(), angles.cos()
    return torch.linalg.inv(forward) @ turn @ forward


def center_crop(images: Tensor, size: int) -> Tensor:
    """The window of `size` in the middle."""
    offset = (images.shape[-1] - size) // 2
    return images[..., offset : offset + size, offset : offset + size]


def to_input(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 images in [0, 255] as the normalised float32 that a network takes, channels_last."""
    scale = torch.tensor([1 / (255 * s) for s in std], device=images.device)[:, None, None]
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=images.device)[:, None, None]
    return (images.float() * scale + shift).contiguous(memory_format=torch.channels_last)


def from_input(inputs: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """The inverse of `to_input`, rounded (never truncated) and clipped to uint8."""
    m = torch.tensor(mean, device=inputs.device)[:, None, None]
    s = torch.tensor(std, device=inputs.device)[:, None, None]
    return ((inputs.float() * s + m) * 255).round().clamp(0, 255).byte().contiguous()


def resize(inputs: Tensor, size: int) -> Tensor:
    """Normalised images at another side (antialiased bilinear when shrinking)."""
    if inputs.shape[-1] == size:
        return inputs
    resized = F.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.contiguous(memory_format=torch.channels_last)


def cutout(inputs: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Normalised images [N, C, S, S] with a square of zeros of side `size`, centred anywhere, cut off at the border."""
    side = inputs.shape[-1]
    first = torch.randint(0, side, (len(inputs), 2, 1), generator=random) - size // 2
    position = torch.arange(side)
    inside = (position >= first) & (position < first + size)
    hole = (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].to(inputs.device)
    return inputs.masked_fill(hole, 0.0)


def blend(inputs: Tensor, most: float, random: torch.Generator) -> Tensor:
    """Normalised images [N, C, H, W], each with another of its batch laid over it, whose share is uniform on [0, most].

    Zhang et al. (2018) mix labels in the same shares; here a teacher is asked about the outcome (Beyer et al., 2022).
    """
    share = (most * torch.rand(len(inputs), 1, 1, 1, generator=random)).to(inputs.device)
    other = inputs[torch.randperm(len(inputs), generator=random).to(inputs.device)]
    return torch.lerp(inputs, other, share).contiguous(memory_format=torch.channels_last)
