"""The image update: the region that the teacher sees, and Adam with clipping on the canvas behind it.

Where a region lies is three numbers in the device's memory, (top, left, flip): pixel (i, j) of the region is pixel
(top + i, left + j) of the canvas, or (top + i, left + s - 1 - j) where it is flipped, modulo the canvas's side, which
makes jitter a region as large as the canvas. The update reads canvas, moments and the region's gradient once and
writes canvas and moments: no canvas of gradients, most of it zero, is ever made. Nothing depends on the host, so a
step can be captured and replayed.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dfnas.kernels.dispatch import Traffic, blocks, channels_last, choose, dense, index_type, jit, launch, like, tl

BLOCK = 1024  # values of each tensor that a program holds


def placements(offsets: Tensor, flips: Tensor, side: int) -> Tensor:
    """Offsets [I, 2] and flips [I] as a table int32 [I, 3] of (top, left, flip), offsets modulo the canvas's side.

    For jitter, `offsets` are how far the canvas is rolled, negated.
    """
    return torch.cat([offsets % side, flips[:, None].to(offsets.dtype)], 1).int()


def schedule(learning_rates: Sequence[float], betas: tuple[float, float]) -> Tensor:
    """A table [I, 4] in fp64 of what Adam's steps depend on: rate, number of the step, and the two corrected factors.

    The factors are rate / (1 - beta_1^t) and 1 / sqrt(1 - beta_2^t).
    """
    rate = torch.tensor(learning_rates, dtype=torch.float64)
    step = torch.arange(1, len(rate) + 1, dtype=torch.float64)
    corrected = rate / (1 - betas[0] ** step), (1 - betas[1] ** step).rsqrt()
    return torch.stack([rate, step, *corrected], 1)


@torch.no_grad()
def region(canvas: Tensor, placement: Tensor, side: int) -> Tensor:
    """The region [N, C, s, s] of a square canvas [N, C, S, S] at `placement` (a row of `placements`).

    Any type, contiguous or channels_last, which the region keeps. No gradient goes back to the canvas: `image_update`
    takes the region's. Traffic: `region_bytes`.
    """
    canvas = dense(canvas)
    compute = _launch_region if choose("image update", canvas) == "triton" else reference_region
    return compute(canvas, placement, side)


def reference_region(canvas: Tensor, placement: Tensor, side: int) -> Tensor:
    """The same in plain PyTorch."""
    top, left, flip = placement.tolist()
    if max(top, left) + side > canvas.shape[3]:
        canvas, top, left = canvas.roll((-top, -left), (2, 3)), 0, 0
    found = canvas[..., top : top + side, left : left + side]
    return like(found.flip(3) if flip else found, canvas)


@torch.no_grad()
def image_update(
    canvas: Tensor,
    first: Tensor,
    second: Tensor,
    gradient: Tensor,
    placement: Tensor,
    step: Tensor,
    bounds: tuple[Tensor, Tensor] | None,
    betas: tuple[float, float],
    epsilon: float = 1e-8,
) -> None:
    """A step of Adam on a canvas [N, C, S, S], in place, given the gradient [N, C, s, s] of the region at `placement`.

    `first` and `second` are Adam's moments, like the canvas, in fp32 and the canvas's layout (fp64 outside the
    kernels); `step` is a row of `schedule`; the canvas is clipped to `bounds`, lowest and highest value by channel [C]
    each, or not at all. Outside the region the gradient is zero, and the moments decay. Traffic: `update_bytes`.
    """
    if not canvas.stride() == first.stride() == second.stride() == dense(canvas).stride():
        raise ValueError("the canvas and its moments must lie in memory alike, contiguous or channels_last")
    how = choose("image update", canvas, gradient)
    compute = {"reference": reference_update, "closed": closed_update, "triton": _update_by_triton}[how]
    compute(canvas, first, second, gradient, placement, step, bounds, betas, epsilon)


def reference_update(
    canvas: Tensor,
    first: Tensor,
    second: Tensor,
    gradient: Tensor,
    placement: Tensor,
    step: Tensor,
    bounds: tuple[Tensor, Tensor] | None,
    betas: tuple[float, float],
    epsilon: float = 1e-8,
) -> None:
    """The same in plain PyTorch, one operation at a time."""
    whole = _spread(gradient, placement, canvas)
    _, _, size, inverse_root = step.to(canvas.dtype)
    first.mul_(betas[0]).add_(whole, alpha=1 - betas[0])
    second.mul_(betas[1]).addcmul_(whole, whole, value=1 - betas[1])
    canvas.sub_(size * first / (second.sqrt() * inverse_root + epsilon))
    _clip(canvas, bounds)


def _clip(canvas: Tensor, bounds: tuple[Tensor, Tensor] | None) -> None:
    if bounds is not None:
        canvas.clamp_(*(bound.view(-1, 1, 1) for bound in bounds))


def _spread(gradient: Tensor, placement: Tensor, canvas: Tensor) -> Tensor:
    """A region's gradient as the canvas's: zero outside."""
    top, left, flip = placement.tolist()
    side, whole = gradient.shape[3], torch.zeros_like(canvas)
    inside = gradient.flip(3) if flip else gradient
    if top + side <= canvas.shape[2] and left + side <= canvas.shape[3]:
        whole[..., top : top + side, left : left + side] = inside
        return whole
    whole[..., :side, :side] = inside
    return like(whole.roll((top, left), (2, 3)), dense(canvas))


def closed_update(canvas: Tensor, first: Tensor, second: Tensor, gradient: Tensor, *rest: Any) -> None:
    """The same by PyTorch's fused Adam."""
    placement, step, bounds, betas, epsilon = rest
    whole, count = _spread(gradient, placement, canvas), step[1].float()
    options = {"lr": float(step[0]), "beta1": betas[0], "beta2": betas[1], "weight_decay": 0.0, "eps": epsilon}
    torch._fused_adam_([canvas], [whole], [first], [second], [], [count], amsgrad=False, maximize=False, **options)
    _clip(canvas, bounds)


# Both layouts are rows of values: [planes * side, side * apart], pixels of a row `apart` values from each other (1 or
# C). Programs take what is written in the order of its memory, so that all but the gather is in the widest accesses.


@jit
def _place(size, side, apart, INDEX: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """(place in memory, plane, pixel down, pixel across, channel in a pixel, which there are) of a program's values."""
    place = tl.program_id(0).to(INDEX) * BLOCK + tl.arange(0, BLOCK)
    row, column = place // (side * apart), place % (side * apart)
    return place, row // side, row % side, column // apart, column % apart, place < size


@jit
def _from_canvas(placement, down, across, inner, outer):  # type: ignore[no-untyped-def]
    """The pixel of the region that a pixel of the canvas is, if it is one."""
    top, left, flip = tl.load(placement), tl.load(placement + 1), tl.load(placement + 2)
    down, across = (down - top + outer) % outer, (across - left + outer) % outer
    inside = (down < inner) & (across < inner)
    return down, tl.where(flip != 0, inner - 1 - across, across), inside


@jit
def _region(
    canvas, out, placement, size, side, canvas_side, apart, INDEX: tl.constexpr, BLOCK: tl.constexpr
):  # type: ignore[no-untyped-def]  # fmt: skip
    place, plane, down, across, channel, kept = _place(size, side, apart, INDEX, BLOCK)
    top, left, flip = tl.load(placement), tl.load(placement + 1), tl.load(placement + 2)
    from_down = (top + down) % canvas_side
    from_across = (left + tl.where(flip != 0, side - 1 - across, across)) % canvas_side
    source = (plane * canvas_side + from_down) * canvas_side * apart + from_across * apart + channel
    value = tl.load(canvas + source, mask=kept, other=0.0)
    tl.store(out + place, value, mask=kept)


@jit
def _update(
    canvas, first, second, gradient, placement, step, low, high, size, side, region_side, apart, planes_an_image,
    beta_1, beta_2, epsilon, INDEX: tl.constexpr, BLOCK: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    place, plane, down, across, channel, kept = _place(size, side, apart, INDEX, BLOCK)
    region_down, region_across, inside = _from_canvas(placement, down, across, region_side, side)
    source = (plane * region_side + region_down) * region_side * apart + region_across * apart + channel
    g = tl.load(gradient + source, mask=kept & inside, other=0.0).to(tl.float32)
    rate, inverse_root = tl.load(step + 2).to(tl.float32), tl.load(step + 3).to(tl.float32)
    m = tl.load(first + place, mask=kept, other=0.0) * beta_1 + g * (1.0 - beta_1)
    v = tl.load(second + place, mask=kept, other=0.0) * beta_2 + g * g * (1.0 - beta_2)
    value = tl.load(canvas + place, mask=kept, other=0.0) - rate * m / (tl.sqrt(v) * inverse_root + epsilon)
    if low is not None:
        bound = plane % planes_an_image + channel
        value = tl.maximum(value, tl.load(low + bound, mask=kept, other=0.0))
        value = tl.minimum(value, tl.load(high + bound, mask=kept, other=0.0))
    tl.store(canvas + place, value, mask=kept)
    tl.store(first + place, m, mask=kept)
    tl.store(second + place, v, mask=kept)


def _plan(x: Tensor, side: int) -> tuple[tuple[int], tuple[int, int], int, dict[str, Any]]:
    """(grid, (values, side), distance of pixels, constants) of what writes squares of a side, otherwise like x."""
    channels, size = x.shape[1], x.shape[0] * x.shape[1] * side**2
    constants = {"INDEX": index_type(max(size, x.numel())), "BLOCK": BLOCK}
    return (blocks(size, BLOCK),), (size, side), channels if channels_last(x) else 1, constants


def _square(canvas: Tensor, side: int) -> Tensor:
    layout = torch.channels_last if channels_last(canvas) else torch.contiguous_format
    shape = *canvas.shape[:2], side, side
    return torch.empty(shape, dtype=canvas.dtype, device=canvas.device, memory_format=layout)


def _launch_region(canvas: Tensor, placement: Tensor, side: int) -> Tensor:
    out = _square(canvas, side)
    grid, sizes, apart, constants = _plan(canvas, side)
    launch(_region, grid, canvas, out, placement, *sizes, canvas.shape[3], apart, **constants)
    return out


def _update_by_triton(canvas: Tensor, first: Tensor, second: Tensor, gradient: Tensor, *rest: Any) -> None:
    placement, step, bounds, betas, epsilon = rest
    grid, sizes, apart, constants = _plan(canvas, canvas.shape[3])
    tensors = canvas, first, second, like(gradient, canvas), placement, step, *(bounds or (None, None))
    scalars = gradient.shape[3], apart, canvas.shape[1] // apart, *betas, epsilon
    launch(_update, grid, *tensors, *sizes, *scalars, **constants)


def region_bytes(canvas: Tensor, side: int) -> Traffic:
    """Traffic of `region`: the region read and written."""
    shown = canvas.shape[0] * canvas.shape[1] * side**2 * canvas.element_size()
    return Traffic(shown + 12, shown)


def update_bytes(canvas: Tensor, gradient: Tensor) -> Traffic:
    """Traffic of `image_update` with bounds: canvas and two moments read and written, the region's gradient read."""
    whole = 3 * canvas.numel() * canvas.element_size()
    return Traffic(whole + gradient.numel() * gradient.element_size() + 8 * canvas.shape[1] + 28, whole)
