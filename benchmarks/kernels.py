"""The forms of the fused operations that a CPU takes against their references: `python -m benchmarks.kernels`.

What a GPU would gain is not measured here: see the byte counts in dfnas/kernels/.
"""

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import measure, synthesis_step
from dfnas.kernels import batch_norm, dispatch, image_update
from dfnas.profiles import RunSettings

BATCH = 250  # of synthesis
CALLS = 3  # of each, in one timing

Function = Callable[[], Any]


def rows() -> list[dict[str, Any]]:
    """Seconds of a call of the two operations with a closed form, and of some iterations of the loop that takes them.

    In eager fp32 and channels_last, forward and backward; the operations at the sizes of laptop.
    """
    torch.manual_seed(0)
    loop = synthesis_step.ours(BATCH // 5, RunSettings("cpu", "fp32"))  # which is long enough
    works = {"kernel_batch_norm": _batch_norm(), "kernel_image_update": _image_update(), "kernel_loop": loop}
    return [_row(name, work) for name, work in works.items()]


def _row(name: str, work: Function) -> dict[str, Any]:
    """Some calls of a piece of work, with the references and with the forms that a CPU takes."""

    def calls(mode: str) -> None:
        with mock.patch.dict(os.environ, {dispatch.VARIABLE: mode}):
            for _ in range(CALLS):
                work()

    return measure.row(name, lambda: calls("reference"), lambda: calls("auto"), per=CALLS)


def _images(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def _batch_norm() -> Function:
    """A layer of ResNet-20's first stage, frozen, with its distance."""
    x, y = _images(BATCH, 16, 32, 32).requires_grad_(), _images(BATCH, 16, 32, 32)
    vectors = torch.randn(16), torch.rand(16) + 0.5, torch.randn(16), torch.randn(16)

    return lambda: torch.autograd.grad(batch_norm.batch_norm(x, *vectors), x, (y, torch.tensor(5.0)))


def _image_update() -> Function:
    """A step on the canvas, and the region of the next."""
    canvas, gradient = _images(BATCH, 3, 40, 40), _images(BATCH, 3, 32, 32)
    first, second = torch.zeros_like(canvas), torch.zeros_like(canvas)
    place = image_update.placements(torch.tensor([[3, 5]]), torch.tensor([True]), 40)[0]
    step = image_update.schedule([0.1], (0.5, 0.9))[0]
    bounds = -2 * torch.ones(3), 2 * torch.ones(3)

    def work() -> None:
        image_update.image_update(canvas, first, second, gradient, place, step, bounds, (0.5, 0.9))
        image_update.region(canvas, place, 32)

    return work


if __name__ == "__main__":
    print(*rows(), sep="\n")
