"""A step of the DARTS supernet's weights, plain against fast: `python -m benchmarks.darts_step`."""

import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F

from dfnas.models.darts import Size
from dfnas.models.darts_supernet import Supernet

PAIRS = 5
BATCH, CELLS, SIDE = 64, 5, 16


def rows() -> list[dict[str, Any]]:
    """One row for C = 8 and one for C = 16, seconds a step (forward, backward, in fp32, channels_last)."""
    return [_row(channels) for channels in (8, 16)]


def _row(channels: int) -> dict[str, Any]:
    torch.manual_seed(0)
    supernet = Supernet(Size(channels, CELLS), 10).to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    for fast in (False, True):
        _seconds(supernet, images, labels, fast)  # the first step pays for memory and for choosing algorithms
    pairs = [tuple(_seconds(supernet, images, labels, fast) for fast in (False, True)) for _ in range(PAIRS)]
    ratios = sorted(plain / fast for plain, fast in pairs)
    return {
        "name": f"darts_step_c{channels}",
        "baseline": statistics.median(plain for plain, _ in pairs),
        "ours": statistics.median(fast for _, fast in pairs),
        "unit": "seconds",
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
    }


def _seconds(supernet: Supernet, images: torch.Tensor, labels: torch.Tensor, fast: bool) -> float:
    supernet.fast = fast
    supernet.zero_grad()
    start = time.perf_counter()
    F.cross_entropy(supernet(images), labels).backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    for row in rows():
        print("{name}: {baseline:.3f} -> {ours:.3f} s, {ratio:.2f} ({ratio_low:.2f} to {ratio_high:.2f})".format(**row))
