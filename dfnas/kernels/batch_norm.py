"""Batch normalisation in eval mode, fused with the statistics of its input and their distance to the running ones.

In eval mode the normalisation does not wait for the batch's statistics, so one read of the activation x gives both
y = (x - running_mean) * scale + bias and the sums of d = x - running_mean and d^2. As running_mean is close to the
batch's mean, sum(d^2) / n - (sum(d) / n)^2 does not cancel. Backward, the distance costs one more read of x than the
normalisation alone: dx = dy * scale + offset + slope * d, with one offset and slope a channel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dfnas.kernels.batch_norm_triton import launch_backward, launch_forward, plan
from dfnas.kernels.dispatch import Traffic, accumulator, channels_last, choose, dense, like


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    epsilon: float = 1e-5,
    rectify: bool = False,
) -> tuple[Tensor, Tensor]:
    """Eval-mode batch norm of x [N, C, H, W], and how far x's own statistics are from the running ones.

    Returns y [N, C, H, W] in x's type and layout, after a ReLU where `rectify`, and the distance, a scalar in fp32:
    ||v - running_var||_2 + ||m - running_mean||_2, with x's mean m and biased variance v by channel (equation `eq-bn`).
    The four vectors are [C]; x is fp32, bf16 or fp16 (fp64 outside the kernels), contiguous or channels_last. Where a
    norm is zero, so is its gradient, as in PyTorch. A layer whose weight or bias learns, which none of a teacher does,
    is computed by the reference. Traffic: `forward_bytes`, `backward_bytes`.
    """
    how = choose("batch norm", x)
    learns = torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in (weight, bias))
    if how == "reference" or learns:
        return reference(x, running_mean, running_var, weight, bias, epsilon, rectify)
    return BatchNorm.apply(dense(x), running_mean, running_var, weight, bias, epsilon, rectify, how == "triton")


def reference(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    epsilon: float = 1e-5,
    rectify: bool = False,
) -> tuple[Tensor, Tensor]:
    """The same in plain PyTorch, with autograd's gradients."""
    y = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, epsilon)
    variance, mean = torch.var_mean(x.to(accumulator(x.dtype)), (0, 2, 3), correction=0)
    distance = torch.linalg.vector_norm(variance - running_var) + torch.linalg.vector_norm(mean - running_mean)
    return F.relu(y) if rectify else y, distance


class BatchNorm(torch.autograd.Function):
    """`batch_norm` with the gradient of x in closed form, by Triton or by PyTorch."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        epsilon: float,
        rectify: bool,
        by_triton: bool,
    ) -> tuple[Tensor, Tensor]:
        forward = launch_forward if by_triton else _closed_forward
        y, gaps, norms, distance = forward(x, running_mean, running_var, weight, bias, epsilon, rectify)
        ctx.save_for_backward(x, running_mean, running_var, weight, bias, gaps, norms)
        ctx.rest = epsilon, rectify
        ctx.by_triton = by_triton
        return y, distance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_y: Tensor, of_distance: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        backward: Any = launch_backward if ctx.by_triton else _closed_backward
        return backward(x, like(of_y, x), of_distance, *saved, *ctx.rest), *[None] * 7


def _closed_forward(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    rectify: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(y, gaps [2, C] of mean and variance, their norms [2], distance)."""
    y = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, epsilon)
    gaps = torch.stack(_gaps(x.to(accumulator(x.dtype)), running_mean, running_var))
    norms = torch.linalg.vector_norm(gaps, dim=1)
    return y.relu_() if rectify else y, gaps, norms, norms.sum()


def _closed_backward(
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
    wide = accumulator(x.dtype)
    inverse = (running_var.to(wide) + epsilon).rsqrt()
    scale = inverse if weight is None else inverse * weight
    if rectify:
        y = F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, epsilon)
        of_y = torch.ops.aten.threshold_backward(of_y, y, 0)
    of_gaps = gaps * (of_distance * torch.where(norms > 0, 1 / norms, 0))[:, None] * (x.shape[1] / x.numel())
    slope = 2 * of_gaps[1]
    offset = of_gaps[0] - slope * (gaps[0] + running_mean)
    return _affine(x, of_y, slope, scale, offset)


def _fold(x: Tensor) -> tuple[Tensor, int]:
    """A channels_last x as a matrix of long rows, each of several pixels, and how many: a view."""
    pixels, channels = x.numel() // x.shape[1], x.shape[1]
    fold = next(f for f in (64, 32, 16, 8, 4, 2, 1) if pixels % f == 0)
    return x.permute(0, 2, 3, 1).reshape(pixels // fold, fold * channels), fold


def _gaps(x: Tensor, running_mean: Tensor, running_var: Tensor) -> tuple[Tensor, Tensor]:
    """By channel: x's mean less the running mean, its biased variance less the running variance.

    torch.var_mean takes over ten times as long as these on a CPU, where it reduces one value after another.
    """
    n, channels, h, w = x.shape
    if x.device.type != "cpu" or torch.compiler.is_compiling() or not x.numel():
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        return mean - running_mean, variance - running_var
    if channels_last(x):
        rows, fold = _fold(x)  # sums of fewer values are also more exact
        means, variances = torch.batch_norm_update_stats(rows, None, None, 0.0)
        means = means.view(fold, channels) - running_mean
        gap = means.mean(0)
        return gap, variances.view(fold, channels).mean(0) + (means - gap).square().mean(0) - running_var
    d = (x - running_mean[:, None, None]).view(n * channels, h * w)
    squares = torch.linalg.vector_norm(d, dim=1).square_().view(n, channels).mean(0) / (h * w)
    gap = d.mean(1).view(n, channels).mean(0)
    return gap, squares - gap.square() - running_var


def _affine(x: Tensor, g: Tensor, slope: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """The sum x * slope + g * scale + offset, [C] each, of two tensors in one layout."""
    wide = x.to(slope.dtype)
    if torch.compiler.is_compiling():  # which makes one loop of this
        return (wide * slope[:, None, None] + (g * scale[:, None, None] + offset[:, None, None])).to(x.dtype)
    # A batch norm with this mean and variance is the quickest x * slope + offset that torch has on a CPU.
    out = F.batch_norm(wide, torch.zeros_like(slope), torch.ones_like(slope), slope, offset, False, 0.0, 0.0)
    if channels_last(x):
        (rows, fold), (gradient, _) = _fold(out), _fold(g)
        rows.addcmul_(gradient.to(slope.dtype), scale.repeat(fold))
    else:
        out.addcmul_(g.to(slope.dtype), scale[:, None, None])
    return out.to(x.dtype)


def forward_bytes(x: Tensor, affine: bool = True) -> Traffic:
    """Traffic of the forward launches: x read once and y written; all else is sums and vectors of C values."""
    (splits, _), _, _ = plan(x)
    channels, activation = x.shape[1], x.numel() * x.element_size()
    partial, vector = 8 * splits * channels, 4 * channels
    tiled = Traffic(activation + (4 if affine else 2) * vector, activation + partial)
    return tiled + Traffic(partial + vector, 2 * vector) + Traffic(2 * vector, 12)


def backward_bytes(x: Tensor, affine: bool = True) -> Traffic:
    """Traffic of the backward launch: x and dy read once and dx written. `affine`: the bias is read (with ReLU)."""
    activation, vector = x.numel() * x.element_size(), 4 * x.shape[1]
    return Traffic(2 * activation + (6 if affine else 4) * vector + 12, activation)
