"""A step of the DARTS supernet's weights, plain against fast: `python -m benchmarks.darts_step`."""

from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import measure
from dfnas.models.darts import Size
from dfnas.models.darts_supernet import Supernet

BATCH, CELLS, SIDE = 64, 5, 16


def rows() -> list[dict[str, Any]]:
    """One row for C = 8 and one for C = 16, seconds a step (forward, backward, in fp32, channels_last)."""
    return [_row(channels) for channels in (8, 16)]


def _row(channels: int) -> dict[str, Any]:
    torch.manual_seed(0)
    supernet = Supernet(Size(channels, CELLS), 10).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))

    def step(fast: bool) -> None:
        supernet.fast = fast
        supernet.zero_grad()
        F.cross_entropy(supernet(images), labels).backward()

    return measure.row(f"darts_step_c{channels}", lambda: step(False), lambda: step(True))


if __name__ == "__main__":
    print(*rows(), sep="\n")
