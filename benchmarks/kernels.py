"""The closed form of each fused operation against its reference in PyTorch, on a CPU: `python -m benchmarks.kernels`.

What a GPU would gain is not measured here: see the byte counts in dfnas/kernels/.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks import measure
from dfnas.kernels import batch_norm, image_update, mixed_sum, soft_cross_entropy, total_variation

BATCH = 250  # of synthesis
CALLS = 3  # of each, in one timing

Function = Callable[[], Any]


def rows() -> list[dict[str, Any]]:
    """A row an operation: seconds of a call forward and backward, in fp32 and channels_last, at the sizes of laptop."""
    torch.manual_seed(0)
    made = {
        "kernel_batch_norm": _batch_norm(),
        "kernel_total_variation": _total_variation(),
        "kernel_soft_cross_entropy": _soft_cross_entropy(),
        "kernel_mixed_sum": _mixed_sum(),
        "kernel_image_update": _image_update(),
    }
    return [
        measure.row(name, _repeated(reference), _repeated(ours), per=CALLS) for name, (reference, ours) in made.items()
    ]


def _repeated(function: Function) -> Function:
    return lambda: [function() for _ in range(CALLS)]


def _images(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def _batch_norm() -> tuple[Function, Function]:
    """A layer of ResNet-20's first stage, frozen, with its distance."""
    x, y = _images(BATCH, 16, 32, 32).requires_grad_(), _images(BATCH, 16, 32, 32)
    vectors = torch.randn(16), torch.rand(16) + 0.5, torch.randn(16), torch.randn(16)

    def work(function: Callable) -> Function:
        return lambda: torch.autograd.grad(function(x, *vectors), x, (y, torch.tensor(5.0)))

    return work(batch_norm.reference), work(batch_norm.batch_norm)


def _total_variation() -> tuple[Function, Function]:
    x = _images(BATCH, 3, 32, 32).requires_grad_()
    weights = torch.tensor(1e-3), torch.tensor(1e-3)
    functions = total_variation.reference, total_variation.total_variation
    first, second = (lambda f=f: torch.autograd.grad(f(x), x, weights) for f in functions)
    return first, second


def _soft_cross_entropy() -> tuple[Function, Function]:
    """ImageNet's thousand classes."""
    logits, targets = torch.randn(256, 1000, requires_grad=True), torch.randn(256, 1000)
    functions = soft_cross_entropy.reference, soft_cross_entropy.soft_cross_entropy
    first, second = (lambda f=f: torch.autograd.grad(f(logits, targets, 3.0), logits) for f in functions)
    return first, second


def _mixed_sum() -> tuple[Function, Function]:
    """The eight operations of an edge of the DARTS supernet."""
    outputs = [_images(64, 16, 32, 32).requires_grad_() for _ in range(8)]
    weights, gradient = torch.rand(8, requires_grad=True), _images(64, 16, 32, 32)
    functions = mixed_sum.reference, mixed_sum.mixed_sum
    first, second = (
        lambda f=f: torch.autograd.grad(f(outputs, weights), [weights, *outputs], gradient) for f in functions
    )
    return first, second


def _image_update() -> tuple[Function, Function]:
    """A step on the canvas, and the region of the next."""
    canvas, gradient = _images(BATCH, 3, 40, 40), _images(BATCH, 3, 32, 32)
    first, second = torch.zeros_like(canvas), torch.zeros_like(canvas)
    place = image_update.placements(torch.tensor([[3, 5]]), torch.tensor([True]), 40)[0]
    step = image_update.schedule([0.1], (0.5, 0.9))[0]
    bounds = -2 * torch.ones(3), 2 * torch.ones(3)

    def work(update: Callable, region: Callable) -> Function:
        def call() -> None:
            update(canvas, first, second, gradient, place, step, bounds, (0.5, 0.9))
            region(canvas, place, 32)

        return call

    return (
        work(image_update.reference_update, image_update.reference_region),
        work(image_update.image_update, image_update.region),
    )


if __name__ == "__main__":
    print(*rows(), sep="\n")
