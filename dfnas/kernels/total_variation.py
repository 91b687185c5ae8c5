"""Total variation of a batch of images in four directions, as the sum of norms and as the sum of means.

Both layouts of an image batch are rows of values side by side: [planes, H, W] with neighbours one value apart
(contiguous; a plane is an image's channel), or [planes, H, W * C] with neighbours C apart (channels_last; a plane is
an image). A program goes down a strip of rows and keeps the rows it has read, so each value is asked for twice
forward (as itself and as a neighbour to the right) and three times backward, and read from memory once.
"""

from typing import Any

import torch
from torch import Tensor

from dfnas.kernels.dispatch import (
    Traffic,
    accumulator,
    blocks,
    channels_last,
    choose,
    dense,
    jit,
    launch,
    operation,
    power,
    tl,
)

STRIP = 16  # rows of a program
VALUES = 512  # of a row of its planes, with nine neighbours and eight sums each in registers
PARTS = 128  # programs whose sums are added at a time


def total_variation(images: Tensor) -> tuple[Tensor, Tensor]:
    """TV-L2 and TV-L1, scalars in fp32, of images [N, C, H, W] over four directions (equation `eq-tv`).

    L2: the sum of the four difference maps' Frobenius norms over the whole batch; L1: the sum of the four mean absolute
    differences. Rows, columns and both diagonals; images are fp32, bf16 or fp16 (fp64 outside the kernels), contiguous
    or channels_last, differences are taken in fp32. A direction in which there are no neighbours counts zero, and a
    norm of zero has a gradient of zero. Traffic: `forward_bytes`, `backward_bytes`.
    """
    if choose("total variation", images) == "triton":
        return TotalVariation.apply(dense(images))
    return reference(images)


def reference(images: Tensor) -> tuple[Tensor, Tensor]:
    """The same in plain PyTorch, with autograd's gradients."""
    images = images.to(accumulator(images.dtype))
    differences = (
        images[..., :, 1:] - images[..., :, :-1],
        images[..., 1:, :] - images[..., :-1, :],
        images[..., 1:, :-1] - images[..., :-1, 1:],
        images[..., 1:, 1:] - images[..., :-1, :-1],
    )
    maps = [each for each in differences if each.numel()]
    maps = maps or [0 * images]  # of one pixel, too, there is a gradient
    l2 = sum(torch.linalg.vector_norm(differences) for differences in maps)
    return torch.as_tensor(l2), torch.as_tensor(sum(differences.abs().mean() for differences in maps))


def pairs(images: Tensor) -> tuple[int, int, int, int]:
    """How many differences there are in each direction."""
    n, c, h, w = images.shape
    return n * c * h * (w - 1), n * c * (h - 1) * w, n * c * (h - 1) * (w - 1), n * c * (h - 1) * (w - 1)


class TotalVariation(torch.autograd.Function):
    """`total_variation` by Triton."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> tuple[Tensor, Tensor]:
        norms, l2, l1 = _launch_forward(images)
        ctx.save_for_backward(images, norms)
        return l2, l1

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_l2: Tensor, of_l1: Tensor) -> Tensor:
        return _launch_backward(*ctx.saved_tensors, of_l2, of_l1)


# A tile is [PLANES, COLUMNS] of one row of H; `apart` is how far neighbours in a row are from each other in memory.


@jit
def _row(images, plane, row, column, planes, height, width):  # type: ignore[no-untyped-def]
    """A row of the planes at some columns, zero outside, and where it is inside."""
    inside = (plane < planes) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    place = images + (plane * height + row).to(tl.int64) * width + column
    return tl.load(place, mask=inside, other=0.0).to(tl.float32), inside


@jit
def _add(squares, sizes, a, is_a, b, is_b):  # type: ignore[no-untyped-def]
    difference = tl.where(is_a & is_b, a - b, 0.0)
    return squares + difference * difference, sizes + tl.abs(difference)


@jit
def _store_sums(place, squares, sizes):  # type: ignore[no-untyped-def]
    tl.store(place, tl.sum(tl.sum(squares, 1), 0))
    tl.store(place + 4, tl.sum(tl.sum(sizes, 1), 0))


@jit
def _forward(
    images, partial, planes, height, width, apart, strips, across,
    STRIP: tl.constexpr, PLANES: tl.constexpr, COLUMNS: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of a strip of rows: the sums of squares and of sizes in each direction, into partial [programs, 8]."""
    program = tl.program_id(0)
    first = program // across % strips * STRIP
    plane = program // across // strips * PLANES + tl.arange(0, PLANES)[:, None]
    column = program % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    along = tl.zeros([PLANES, COLUMNS], tl.float32)
    down, rising, falling = along, along, along
    along_size, down_size, rising_size, falling_size = along, along, along, along
    here, is_here = _row(images, plane, first, column, planes, height, width)
    right, is_right = _row(images, plane, first, column + apart, planes, height, width)
    for step in range(0, STRIP):
        row = first + step + 1
        below, is_below = _row(images, plane, row, column, planes, height, width)
        next_right, is_next = _row(images, plane, row, column + apart, planes, height, width)
        along, along_size = _add(along, along_size, right, is_right, here, is_here)
        down, down_size = _add(down, down_size, below, is_below, here, is_here)
        rising, rising_size = _add(rising, rising_size, below, is_below, right, is_right)
        falling, falling_size = _add(falling, falling_size, next_right, is_next, here, is_here)
        here, is_here, right, is_right = below, is_below, next_right, is_next
    _store_sums(partial + program * 8, along, along_size)
    _store_sums(partial + program * 8 + 1, down, down_size)
    _store_sums(partial + program * 8 + 2, rising, rising_size)
    _store_sums(partial + program * 8 + 3, falling, falling_size)


@jit
def _finish(partial, norms, l2, l1, programs, along, down, diagonal, PARTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program: the four norms, their sum, and the sum of the four means."""
    direction = tl.arange(0, 4)[None, :]
    squares = tl.zeros([PARTS, 4], tl.float32)
    sizes = squares
    for step in range(0, tl.cdiv(programs, PARTS)):
        program = step * PARTS + tl.arange(0, PARTS)[:, None]
        kept = (program < programs) & (direction < 4)
        squares += tl.load(partial + program * 8 + direction, mask=kept, other=0.0)
        sizes += tl.load(partial + program * 8 + 4 + direction, mask=kept, other=0.0)
    norm = tl.sqrt(tl.sum(squares, 0))[None, :]
    count = tl.where(direction == 0, along, tl.where(direction == 1, down, diagonal))
    tl.store(norms + direction, norm)
    tl.store(l2, tl.sum(tl.sum(norm, 1), 0))
    tl.store(l1, tl.sum(tl.sum(tl.sum(sizes, 0)[None, :] / count, 1), 0))


@jit
def _weights(norms, direction, of_l2, of_l1, count):  # type: ignore[no-untyped-def]
    """What a difference and its sign weigh in the gradient, in one direction."""
    norm = tl.load(norms + direction)
    return tl.where(norm > 0.0, of_l2 / tl.where(norm > 0.0, norm, 1.0), 0.0), of_l1 / count


@jit
def _pull(here, there, is_there, of_square, of_size):  # type: ignore[no-untyped-def]
    difference = tl.where(is_there, here - there, 0.0)
    sign = tl.where(difference > 0.0, 1.0, 0.0) - tl.where(difference < 0.0, 1.0, 0.0)
    return difference * of_square + sign * of_size


@jit
def _backward(
    images, gradient, norms, of_l2, of_l1, planes, height, width, apart, strips, across, along, down, diagonal,
    STRIP: tl.constexpr, PLANES: tl.constexpr, COLUMNS: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Each value is pulled by its eight neighbours; the nine are kept while a program goes down its strip."""
    program = tl.program_id(0)
    first = program // across % strips * STRIP
    plane = program // across // strips * PLANES + tl.arange(0, PLANES)[:, None]
    column = program % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    of_l2, of_l1 = tl.load(of_l2).to(tl.float32), tl.load(of_l1).to(tl.float32)
    along_square, along_size = _weights(norms, 0, of_l2, of_l1, along)
    down_square, down_size = _weights(norms, 1, of_l2, of_l1, down)
    rising_square, rising_size = _weights(norms, 2, of_l2, of_l1, diagonal)
    falling_square, falling_size = _weights(norms, 3, of_l2, of_l1, diagonal)
    a, is_a = _row(images, plane, first - 1, column - apart, planes, height, width)
    b, is_b = _row(images, plane, first - 1, column, planes, height, width)
    c, is_c = _row(images, plane, first - 1, column + apart, planes, height, width)
    d, is_d = _row(images, plane, first, column - apart, planes, height, width)
    e, is_e = _row(images, plane, first, column, planes, height, width)
    f, is_f = _row(images, plane, first, column + apart, planes, height, width)
    for step in range(0, STRIP):
        row = first + step
        g, is_g = _row(images, plane, row + 1, column - apart, planes, height, width)
        h, is_h = _row(images, plane, row + 1, column, planes, height, width)
        i, is_i = _row(images, plane, row + 1, column + apart, planes, height, width)
        total = _pull(e, d, is_d, along_square, along_size) + _pull(e, f, is_f, along_square, along_size)
        total += _pull(e, b, is_b, down_square, down_size) + _pull(e, h, is_h, down_square, down_size)
        total += _pull(e, c, is_c, rising_square, rising_size) + _pull(e, g, is_g, rising_square, rising_size)
        total += _pull(e, a, is_a, falling_square, falling_size) + _pull(e, i, is_i, falling_square, falling_size)
        place = gradient + (plane * height + row).to(tl.int64) * width + column
        tl.store(place, total.to(gradient.dtype.element_ty), mask=is_e)
        a, is_a, b, is_b, c, is_c = d, is_d, e, is_e, f, is_f
        d, is_d, e, is_e, f, is_f = g, is_g, h, is_h, i, is_i


def _plan(images: Tensor) -> tuple[int, tuple[int, ...], tuple[float, ...], dict[str, int]]:
    """(programs, (planes, H, values in a row, distance of neighbours, strips, blocks across), counts, constants)."""
    n, c, height, width = images.shape
    planes, width, apart = (n, width * c, c) if channels_last(images) else (n * c, width, 1)
    columns = min(power(width), VALUES)
    rows = min(VALUES // columns, power(planes))
    strips, across = blocks(height, STRIP), blocks(width, columns)
    sizes = planes, height, width, apart, strips, across
    along, down, diagonal, _ = (float(max(1, count)) for count in pairs(images))
    constants = {"STRIP": STRIP, "PLANES": rows, "COLUMNS": columns}
    return blocks(planes, rows) * strips * across, sizes, (along, down, diagonal), constants


def _sums(images: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=images.device)


@operation("total_variation_forward", lambda images: (_sums(images, 4), _sums(images), _sums(images)))
def _launch_forward(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    programs, sizes, counts, constants = _plan(images)
    partial, norms, l2, l1 = _sums(images, programs, 8), _sums(images, 4), _sums(images), _sums(images)
    launch(_forward, (programs,), images, partial, *sizes, **constants)
    launch(_finish, (1,), partial, norms, l2, l1, programs, *counts, PARTS=PARTS)
    return norms, l2, l1


@operation("total_variation_backward", lambda images, *rest: torch.empty_like(images))
def _launch_backward(images: Tensor, norms: Tensor, of_l2: Tensor, of_l1: Tensor) -> Tensor:
    programs, sizes, counts, constants = _plan(images)
    gradient = torch.empty_like(images)
    launch(_backward, (programs,), images, gradient, norms, of_l2, of_l1, *sizes, *counts, **constants)
    return gradient


def forward_bytes(images: Tensor) -> Traffic:
    """Traffic of the forward launches: the images read once; what is written are sums."""
    programs, _, _, _ = _plan(images)
    return Traffic(images.numel() * images.element_size() + 32 * programs, 32 * programs + 24)


def backward_bytes(images: Tensor) -> Traffic:
    """Traffic of the backward launch: the images read once, their gradient written."""
    size = images.numel() * images.element_size()
    return Traffic(size + 24, size)
