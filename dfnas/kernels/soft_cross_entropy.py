"""Cross-entropy with soft labels, and the KL divergence, both from logits, with a temperature.

The gradient with respect to the student's logits z, (softmax(z / T) - softmax(t / T)) / (N T), needs nothing that the
loss does not: it is written in the forward, while the rows are in registers, and backward only scales it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dfnas.kernels.dispatch import TILE, Traffic, accumulator, blocks, choose, jit, launch, operation, power, tl

WIDEST = 2**14  # classes that fit in the registers of a program; more take the reference
PARTS = 1024  # programs whose sums are added at a time


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Batch mean of -sum_k softmax(targets / T)_k log_softmax(logits / T)_k: a scalar in fp32 (equation `eq-ce`).

    Logits and targets (the labels' logits) are [N, K], each fp32, bf16 or fp16 (fp64 outside the kernels). Gradients go
    to the logits alone, targets are constants. There is no factor T^2, so T also scales the gradient (as in the
    authors' code). Traffic: `forward_bytes`, `backward_bytes`.
    """
    return _loss(logits, targets, temperature, False)


def kl_divergence(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Batch mean of KL(softmax(targets / T) || softmax(logits / T)): `soft_cross_entropy` less the targets' entropy."""
    return _loss(logits, targets, temperature, True)


def _loss(logits: Tensor, targets: Tensor, temperature: float, divergence: bool) -> Tensor:
    if choose("soft labels", logits, targets) == "triton" and logits.shape[1] <= WIDEST:
        return SoftCrossEntropy.apply(logits, targets.detach(), float(temperature), divergence)
    return reference(logits, targets, temperature, divergence)


def reference(logits: Tensor, targets: Tensor, temperature: float = 1.0, divergence: bool = False) -> Tensor:
    """The same in plain PyTorch, with autograd's gradient."""
    student, teacher = (z.to(accumulator(logits.dtype)) / temperature for z in (logits, targets.detach()))
    if divergence:
        return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
    return F.cross_entropy(student, teacher.softmax(1))


class SoftCrossEntropy(torch.autograd.Function):
    """The loss by Triton, with its gradient computed beside it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, temperature: float, divergence: bool) -> Tensor:
        loss, gradient = _launch(logits, targets, temperature, divergence, ctx.needs_input_grad[0])
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_loss: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * of_loss.to(gradient.dtype), None, None, None


@jit
def _rows(
    logits, targets, gradient, partial, count, classes, student_stride, teacher_stride, inverse, scale,
    DIVERGENCE: tl.constexpr, ROWS: tl.constexpr, CLASSES: tl.constexpr,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of some rows: the sum of their losses, and their gradients."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, CLASSES)[None, :]
    kept = (row < count) & (column < classes)
    z = tl.load(logits + row * student_stride + column, mask=kept, other=float("-inf")).to(tl.float32) * inverse
    t = tl.load(targets + row * teacher_stride + column, mask=kept, other=float("-inf")).to(tl.float32) * inverse
    # Rows that are not there are all zero, not all -inf: the differences below stay numbers.
    z, t = tl.where(row < count, z, 0.0), tl.where(row < count, t, 0.0)
    z, t = z - tl.max(z, 1)[:, None], t - tl.max(t, 1)[:, None]
    exp_z, exp_t = tl.exp(z), tl.exp(t)
    sum_z, sum_t = tl.sum(exp_z, 1)[:, None], tl.sum(exp_t, 1)[:, None]
    labels = exp_t / sum_t
    z, t = tl.where(kept, z, 0.0), tl.where(kept, t, 0.0)  # of columns that are not there, labels are zero
    apart = tl.log(sum_z) - z
    if DIVERGENCE:
        apart += t - tl.log(sum_t)
    losses = tl.where(row < count, tl.sum(labels * apart, 1)[:, None], 0.0)
    tl.store(partial + tl.program_id(0), tl.sum(tl.sum(losses, 1), 0))
    if gradient is not None:
        value = (exp_z / sum_z - labels) * scale
        tl.store(gradient + row * classes + column, value.to(gradient.dtype.element_ty), mask=kept)


@jit
def _finish(partial, loss, programs, count, PARTS: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program: the mean over rows."""
    total = tl.zeros([PARTS], tl.float32)
    for step in range(0, tl.cdiv(programs, PARTS)):
        program = step * PARTS + tl.arange(0, PARTS)
        total += tl.load(partial + program, mask=program < programs, other=0.0)
    tl.store(loss, tl.sum(total, 0) / count)


def _plan(logits: Tensor) -> tuple[int, int, int, int]:
    """(programs, rows of each, columns of each, warps)."""
    count, classes = logits.shape
    columns = power(classes)
    rows = min(max(1, TILE // 2 // columns), power(count))
    return blocks(count, rows), rows, columns, max(4, min(16, columns // 512))


def _results(logits: Tensor, of_logits: bool) -> tuple[Tensor, Tensor]:
    """(loss, gradient), not yet written; the gradient is empty where none is wanted."""
    loss = torch.empty((), dtype=torch.float32, device=logits.device)
    return loss, logits.new_empty(logits.shape if of_logits else 0)


@operation("soft_cross_entropy", lambda logits, targets, temperature, divergence, wanted: _results(logits, wanted))
def _launch(
    logits: Tensor, targets: Tensor, temperature: float, divergence: bool, of_logits: bool
) -> tuple[Tensor, Tensor]:
    programs, rows, columns, warps = _plan(logits)
    logits, targets = (z if z.stride(1) == 1 else z.contiguous() for z in (logits, targets))
    partial = torch.empty(programs, dtype=torch.float32, device=logits.device)
    loss, gradient = _results(logits, of_logits)
    sizes = *logits.shape, logits.stride(0), targets.stride(0)
    scales = 1 / temperature, 1 / (temperature * len(logits))
    options = {"DIVERGENCE": divergence, "ROWS": rows, "CLASSES": columns, "num_warps": warps}
    tensors = logits, targets, gradient if of_logits else None, partial
    launch(_rows, (programs,), *tensors, *sizes, *scales, **options)
    launch(_finish, (1,), partial, loss, programs, float(len(logits)), PARTS=PARTS)
    return loss, gradient


def forward_bytes(logits: Tensor, targets: Tensor, of_logits: bool = True) -> Traffic:
    """Traffic of the forward launches: logits and targets read once, the gradient written."""
    programs, _, _, _ = _plan(logits)
    size = logits.numel() * logits.element_size()
    read = size + targets.numel() * targets.element_size()
    return Traffic(read + 4 * programs, (size if of_logits else 0) + 4 * programs + 4)


def backward_bytes(logits: Tensor) -> Traffic:
    """Traffic of the backward, one product in PyTorch: the gradient read, and written times a scalar."""
    size = logits.numel() * logits.element_size()
    return Traffic(size + 4, size)
