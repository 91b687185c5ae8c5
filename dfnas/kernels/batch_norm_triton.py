"""The Triton kernels of `batch_norm`, and their launches.

Reductions take two steps and no atomics, so they give the same bits every time: each program writes its sums, and a
second kernel adds them in a fixed order. All arithmetic is in fp32.
"""

from typing import Any

import torch
from torch import Tensor

from dfnas.kernels.dispatch import PROGRAMS, TILE, blocks, channels_last, jit, launch, operation, power, tl

CHANNELS = 16  # channels of a program that adds partial sums
SPLITS = 128  # rows of partial sums that it adds at a time

# A tile is [ROWS, COLUMNS], its columns side by side in memory. channels_last (LAST): a row is a position, a column a
# channel. Contiguous: a row is an image, a column a position, and a program has one channel. `channel` [1, COLUMNS] or
# [1, 1] fits both.


@jit
def _tile(
    tile, block, channel, channels, images, positions, LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):  # type: ignore[no-untyped-def]
    """(where a tile starts, its values' offsets from there, which of them there are)."""
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    if LAST:
        start = tile.to(tl.int64) * ROWS * channels
        offsets = row * channels + channel
        kept = (tile * ROWS + row < images * positions) & (channel < channels)
    else:
        across = tl.cdiv(positions, COLUMNS)
        first_row, first_column = tile // across * ROWS, tile % across * COLUMNS
        start = (first_row.to(tl.int64) * channels + block) * positions + first_column
        offsets = row * (channels * positions) + column
        kept = (first_row + row < images) & (first_column + column < positions)
    return start, offsets, kept


@jit
def _channel(block, LAST: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    if LAST:
        channel = block * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    else:
        channel = block + tl.arange(0, 1)[None, :]
    return channel


@jit
def _affine_of(mean, variance, weight, bias, channel, there, epsilon):  # type: ignore[no-untyped-def]
    """Running mean, scale and bias of the channels."""
    centre = tl.load(mean + channel, mask=there, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.load(variance + channel, mask=there, other=1.0).to(tl.float32) + epsilon)
    if weight is not None:
        scale = scale * tl.load(weight + channel, mask=there, other=0.0).to(tl.float32)
    shift = tl.zeros_like(scale)
    if bias is not None:
        shift = tl.load(bias + channel, mask=there, other=0.0).to(tl.float32)
    return centre, scale, shift


@jit
def _forward(
    x, y, mean, variance, weight, bias, partial, images, channels, positions, steps, splits, epsilon,
    RECTIFY: tl.constexpr, LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of a share of the tiles: y, and the sums of d and d^2 by channel, into partial [2, splits, C]."""
    split, block = tl.program_id(0), tl.program_id(1)
    channel = _channel(block, LAST, COLUMNS)
    centre, scale, shift = _affine_of(mean, variance, weight, bias, channel, channel < channels, epsilon)
    first = tl.zeros([ROWS, COLUMNS], tl.float32)
    second = tl.zeros([ROWS, COLUMNS], tl.float32)
    for step in range(0, steps):
        tile = split + step * splits
        start, offsets, kept = _tile(tile, block, channel, channels, images, positions, LAST, ROWS, COLUMNS)
        d = tl.where(kept, tl.load(x + start + offsets, mask=kept, other=0.0).to(tl.float32) - centre, 0.0)
        value = d * scale + shift
        if RECTIFY:
            value = tl.maximum(value, 0.0)
        tl.store(y + start + offsets, value.to(y.dtype.element_ty), mask=kept)
        first += d
        second += d * d
    if LAST:
        first, second = tl.sum(first, 0)[None, :], tl.sum(second, 0)[None, :]
    else:
        first, second = tl.sum(tl.sum(first, 1), 0)[None, None], tl.sum(tl.sum(second, 1), 0)[None, None]
    place = partial + split * channels + channel
    tl.store(place, first, mask=channel < channels)
    tl.store(place + splits * channels, second, mask=channel < channels)


@jit
def _finish(
    partial, mean_gap, variance_gap, variance, count, channels, splits,
    CHANNELS: tl.constexpr, SPLITS: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """By channel: the mean less the running mean, the variance less the running variance."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    kept = channel < channels
    first = tl.zeros_like(channel).to(tl.float32)
    second = first
    for step in range(0, tl.cdiv(splits, SPLITS)):
        split = step * SPLITS + tl.arange(0, SPLITS)[:, None]
        there = (split < splits) & kept[None, :]
        place = partial + split * channels + channel[None, :]
        first += tl.sum(tl.load(place, mask=there, other=0.0), 0)
        second += tl.sum(tl.load(place + splits * channels, mask=there, other=0.0), 0)
    gap = first / count
    remembered = tl.load(variance + channel, mask=kept, other=0.0).to(tl.float32)
    tl.store(mean_gap + channel, gap, mask=kept)
    tl.store(variance_gap + channel, second / count - gap * gap - remembered, mask=kept)


@jit
def _norms(gaps, norms, distance, channels, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program: the norms of gaps [2, C], and their sum."""
    of_mean = tl.zeros([BLOCK], tl.float32)
    of_variance = tl.zeros([BLOCK], tl.float32)
    for step in range(0, tl.cdiv(channels, BLOCK)):
        channel = step * BLOCK + tl.arange(0, BLOCK)
        kept = channel < channels
        value = tl.load(gaps + channel, mask=kept, other=0.0)
        of_mean += value * value
        value = tl.load(gaps + channels + channel, mask=kept, other=0.0)
        of_variance += value * value
    mean_norm, variance_norm = tl.sqrt(tl.sum(of_mean, 0)), tl.sqrt(tl.sum(of_variance, 0))
    tl.store(norms, mean_norm)
    tl.store(norms + 1, variance_norm)
    tl.store(distance, mean_norm + variance_norm)


@jit
def _backward(
    x, of_y, of_x, of_distance, mean, variance, weight, bias, gaps, norms,
    images, channels, positions, steps, splits, epsilon, count,
    RECTIFY: tl.constexpr, LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of a share of the tiles: dx."""
    split, block = tl.program_id(0), tl.program_id(1)
    channel = _channel(block, LAST, COLUMNS)
    there = channel < channels
    centre, scale, shift = _affine_of(mean, variance, weight, bias, channel, there, epsilon)
    mean_norm, variance_norm = tl.load(norms), tl.load(norms + 1)
    share = tl.load(of_distance).to(tl.float32) / count
    of_mean = tl.where(mean_norm > 0.0, share / tl.where(mean_norm > 0.0, mean_norm, 1.0), 0.0)
    of_variance = tl.where(variance_norm > 0.0, share / tl.where(variance_norm > 0.0, variance_norm, 1.0), 0.0)
    gap = tl.load(gaps + channel, mask=there, other=0.0)
    slope = 2.0 * of_variance * tl.load(gaps + channels + channel, mask=there, other=0.0)
    offset = (of_mean - slope) * gap
    for step in range(0, steps):
        tile = split + step * splits
        start, offsets, kept = _tile(tile, block, channel, channels, images, positions, LAST, ROWS, COLUMNS)
        d = tl.load(x + start + offsets, mask=kept, other=0.0).to(tl.float32) - centre
        g = tl.load(of_y + start + offsets, mask=kept, other=0.0).to(tl.float32)
        if RECTIFY:
            g = tl.where(d * scale + shift > 0.0, g, 0.0)
        tl.store(of_x + start + offsets, (g * scale + offset + slope * d).to(of_x.dtype.element_ty), mask=kept)


def plan(x: Tensor) -> tuple[tuple[int, int], tuple[int, ...], dict[str, Any]]:
    """(grid [splits, blocks], (images, channels, positions, steps, splits), constants) of the tiled kernels."""
    images, channels, positions = x.shape[0], x.shape[1], x.shape[2] * x.shape[3]
    last = channels_last(x)
    columns = min(power(channels), 64) if last else min(power(positions), 1024)
    rows = min(TILE // columns, power(images * positions if last else images))
    if last:
        tiles, across = blocks(images * positions, rows), blocks(channels, columns)
    else:
        tiles, across = blocks(images, rows) * blocks(positions, columns), channels
    splits = min(tiles, blocks(PROGRAMS, across))
    sizes = images, channels, positions, blocks(tiles, splits), splits
    return (splits, across), sizes, {"LAST": last, "ROWS": rows, "COLUMNS": columns}


def _buffers(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(y, gaps, norms, distance), not yet written."""
    sums = (torch.empty(shape, dtype=torch.float32, device=x.device) for shape in ((2, x.shape[1]), 2, ()))
    gaps, norms, distance = sums
    return torch.empty_like(x), gaps, norms, distance


@operation("batch_norm_forward", lambda x, *rest: _buffers(x))
def launch_forward(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    rectify: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(y, gaps [2, C] of mean and variance, their norms [2], distance)."""
    grid, sizes, constants = plan(x)
    channels, splits = x.shape[1], grid[0]
    y, gaps, norms, distance = _buffers(x)
    partial = torch.empty(2, splits, channels, dtype=torch.float32, device=x.device)
    vectors = running_mean, running_var, weight, bias
    launch(_forward, grid, x, y, *vectors, partial, *sizes, epsilon, RECTIFY=rectify, **constants)
    count = float(x.numel() // channels)
    finish = (partial, gaps[0], gaps[1], running_var, count, channels, splits)
    launch(_finish, (blocks(channels, CHANNELS),), *finish, CHANNELS=CHANNELS, SPLITS=SPLITS)
    launch(_norms, (1,), gaps, norms, distance, channels, BLOCK=min(power(channels), 1024))
    return y, gaps, norms, distance


@operation("batch_norm_backward", lambda x, *rest: torch.empty_like(x))
def launch_backward(
    x: Tensor,
    of_y: Tensor,
    of_distance: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    gaps: Tensor,
    norms: Tensor,
    epsilon: float,
    rectify: bool,
) -> Tensor:
    """The gradient of x."""
    grid, sizes, constants = plan(x)
    of_x = torch.empty_like(x)
    vectors = running_mean, running_var, weight, bias, gaps, norms
    rest = (*sizes, epsilon, float(x.numel() // x.shape[1]))
    launch(_backward, grid, x, of_y, of_x, of_distance, *vectors, *rest, RECTIFY=rectify, **constants)
    return of_x
