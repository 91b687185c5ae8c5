"""A step of the DARTS supernet's weights, plain against fast: `python -m benchmarks.darts_step`."""

from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import measure
from dfnas.models.darts import Size
from dfnas.models.darts_supernet import Supernet

BATCH, CELLS, SIDE = 64, 5, 16


def rows() -> list[dict[str, Any]]:
    """For C = 8 and 16, seconds a step (forward, backward) in fp32.

    Plain is the network edge by edge, as DARTS has it: in PyTorch's usual memory layout and, in the rows `_nhwc`, in
    the layout that ours has.
    """
    layouts = {"": torch.contiguous_format, "_nhwc": torch.channels_last}
    return [
        measure.row(f"darts_step_c{channels}{name}", step(channels, layout, fast=False), ours)
        for channels in (8, 16)
        for ours in [step(channels)]
        for name, layout in layouts.items()
    ]


def step(
    channels: int,
    layout: torch.memory_format = torch.channels_last,
    fast: bool = True,
    batch: int = BATCH,
    side: int = SIDE,
) -> measure.Work:
    """Forward and backward of a supernet of five cells."""
    torch.manual_seed(0)
    supernet = Supernet(Size(channels, CELLS), 10, fast=fast).to(memory_format=layout)
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (batch,))

    def work() -> None:
        supernet.zero_grad()
        F.cross_entropy(supernet(images), labels).backward()

    return work


if __name__ == "__main__":
    print(*rows(), sep="\n")
