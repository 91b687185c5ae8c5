"""The weighted sum of a mixed operation's outputs, with the gradient of its weights.

Forward, the K outputs are read once and the sum is written: 9 passes for 8 operations, where a chain of products and
sums takes 39. Backward, each tile of dy is read once, and gives K gradients w_k dy and K parts of the products
<dy, f_k>, which are the gradients of the weights.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dfnas.kernels.dispatch import (
    PROGRAMS,
    Traffic,
    accumulator,
    blocks,
    choose,
    dense,
    index_type,
    jit,
    launch,
    like,
    operation,
    power,
    tl,
)

MOST = 16  # outputs that a kernel takes; more take the reference
BLOCK = 1024  # values of each output that a program holds at a time
SPLITS = 64  # rows of partial sums that are added at a time


def mixed_sum(outputs: Sequence[Tensor], weights: Tensor) -> Tensor:
    """sum_k weights[k] outputs[k] [N, C, H, W], of K outputs of one shape, type and device.

    `weights` is [K], in fp32 or the outputs' type; outputs are fp32, bf16 or fp16 (fp64 outside the kernels),
    contiguous or channels_last; the sum has the layout of the first. Sums are taken in fp32. Gradients go to outputs
    and weights. Traffic: `forward_bytes`, `backward_bytes`.
    """
    if choose("mixed sum", *outputs, weights) == "triton" and len(outputs) <= MOST:
        first = dense(outputs[0])
        return MixedSum.apply(weights, *(like(x, first) for x in outputs))
    return reference(outputs, weights)


def reference(outputs: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The same in plain PyTorch, with autograd's gradients."""
    wide = accumulator(outputs[0].dtype)
    total = sum(w.to(wide) * x.to(wide) for w, x in zip(weights, outputs, strict=True))
    return torch.as_tensor(total).to(outputs[0].dtype)


class MixedSum(torch.autograd.Function):
    """`mixed_sum` by Triton."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *outputs: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *outputs)
        return _launch_forward(list(outputs), weights)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weights, *outputs = ctx.saved_tensors
        *of_outputs, of_weights = _launch_backward(like(gradient, outputs[0]), outputs, weights)
        return of_weights.to(weights.dtype), *of_outputs


@jit
def _forward(
    outputs, weights, total, size, INDEX: tl.constexpr, COUNT: tl.constexpr, BLOCK: tl.constexpr
):  # type: ignore[no-untyped-def]  # fmt: skip
    first = tl.program_id(0).to(INDEX) * BLOCK
    place = tl.arange(0, BLOCK)
    kept = first + place < size
    value = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(COUNT):
        x = tl.load(outputs[k] + first + place, mask=kept, other=0.0).to(tl.float32)
        value += x * tl.load(weights + k).to(tl.float32)
    tl.store(total + first + place, value.to(total.dtype.element_ty), mask=kept)


@jit
def _backward(
    gradient, outputs, of_outputs, weights, partial, size, steps, programs,
    INDEX: tl.constexpr, COUNT: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of a share of the blocks: w_k dy, and the sums of dy f_k, into partial [programs, COUNT]."""
    program = tl.program_id(0)
    slot = tl.arange(0, SLOTS)
    place = tl.arange(0, BLOCK)
    sums = tl.zeros([SLOTS], tl.float32)
    for step in range(0, steps):
        first = (program + step * programs).to(INDEX) * BLOCK
        kept = first + place < size
        dy = tl.load(gradient + first + place, mask=kept, other=0.0).to(tl.float32)
        for k in tl.static_range(COUNT):
            x = tl.load(outputs[k] + first + place, mask=kept, other=0.0).to(tl.float32)
            product = dy * tl.load(weights + k).to(tl.float32)
            tl.store(of_outputs[k] + first + place, product.to(gradient.dtype.element_ty), mask=kept)
            sums += tl.where(slot == k, tl.sum(dy * x, 0), 0.0)
    tl.store(partial + program * COUNT + slot, sums, mask=slot < COUNT)


@jit
def _finish(partial, of_weights, programs, COUNT: tl.constexpr, SLOTS: tl.constexpr, SPLITS: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program: the sums over programs."""
    slot = tl.arange(0, SLOTS)[None, :]
    sums = tl.zeros([SPLITS, SLOTS], tl.float32)
    for step in range(0, tl.cdiv(programs, SPLITS)):
        program = step * SPLITS + tl.arange(0, SPLITS)[:, None]
        kept = (program < programs) & (slot < COUNT)
        sums += tl.load(partial + program * COUNT + slot, mask=kept, other=0.0)
    tl.store(of_weights + slot, tl.sum(sums, 0)[None, :], mask=slot < COUNT)


@operation("mixed_sum_forward", lambda outputs, weights: torch.empty_like(outputs[0]))
def _launch_forward(outputs: list[Tensor], weights: Tensor) -> Tensor:
    total, size = torch.empty_like(outputs[0]), outputs[0].numel()
    constants = {"INDEX": index_type(size), "COUNT": len(outputs), "BLOCK": BLOCK}
    launch(_forward, (blocks(size, BLOCK),), tuple(outputs), weights, total, size, **constants)
    return total


def _gradients(outputs: list[Tensor]) -> list[Tensor]:
    of_weights = torch.empty(len(outputs), dtype=torch.float32, device=outputs[0].device)
    return [*map(torch.empty_like, outputs), of_weights]


@operation("mixed_sum_backward", lambda gradient, outputs, weights: _gradients(outputs))
def _launch_backward(gradient: Tensor, outputs: list[Tensor], weights: Tensor) -> list[Tensor]:
    count, size, programs = len(outputs), gradient.numel(), _programs(gradient)
    *of_outputs, of_weights = _gradients(outputs)
    partial = torch.empty(programs, count, dtype=torch.float32, device=gradient.device)
    tensors = gradient, tuple(outputs), tuple(of_outputs), weights, partial
    sizes = size, blocks(blocks(size, BLOCK), programs), programs
    slots = {"COUNT": count, "SLOTS": power(count)}
    launch(_backward, (programs,), *tensors, *sizes, INDEX=index_type(size), BLOCK=BLOCK, **slots)
    launch(_finish, (1,), partial, of_weights, programs, **slots, SPLITS=SPLITS)
    return [*of_outputs, of_weights]


def _programs(x: Tensor) -> int:
    return min(PROGRAMS, blocks(x.numel(), BLOCK))


def forward_bytes(x: Tensor, count: int) -> Traffic:
    """Traffic of the forward launch on `count` outputs like x: each read once, the sum written."""
    size = x.numel() * x.element_size()
    return Traffic(count * size + 4 * count, size)


def backward_bytes(x: Tensor, count: int) -> Traffic:
    """Traffic of the backward launches: dy and each output read once, and as many gradients written."""
    size, partial = x.numel() * x.element_size(), 4 * count * _programs(x)
    return Traffic((count + 1) * size + 4 * count + partial, count * size + partial + 4 * count)
