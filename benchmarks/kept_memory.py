"""A training step where freed memory goes back to the system, against one where it is kept for the next tensors."""

import sys
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks import measure
from dfnas import models
from dfnas.profiles import RunSettings
from dfnas.runtime import devices, memory

BATCH, STEPS = 128, 3


def rows() -> list[dict[str, Any]]:
    """One row: seconds a step of ResNet-20 on images of 32 pixels, in fp32, each side in a process of its own."""
    plain, kept = (measure.start("benchmarks.kept_memory", how) for how in ("plain", "kept"))
    try:
        pairs = [(measure.answer([plain]), measure.answer([kept])) for _ in range(1 + measure.PAIRS)]
    finally:
        plain.terminate()
        kept.terminate()
    return [measure.from_pairs("kept_memory", pairs[1:], "seconds")]  # in the first pair all memory is new


def step() -> measure.Work:
    """Forward and backward, a few times over."""
    network = devices.place(models.build("resnet20", 10, 3, 0), devices.device(RunSettings("cpu")))
    images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def work() -> None:
        for _ in range(STEPS):
            network.zero_grad()
            F.cross_entropy(network(images), labels).backward()

    return work


if __name__ == "__main__":
    if sys.argv[1:] == ["kept"]:
        memory.keep()
    if sys.argv[1:]:
        work = step()
        for _ in sys.stdin:
            print(measure.seconds(work) / STEPS, flush=True)
    else:
        print(*rows(), sep="\n")
