"""What this processor reaches at best: multiply-adds in matrix products, bytes in copies."""

import torch

from benchmarks import measure
from dfnas.profiles import RunSettings
from dfnas.runtime import devices

SIDE, MEGABYTES = 1536, 128


def peaks() -> dict[str, float]:
    """FLOP/s of matrix products, and bytes/s (read and written) of a copy: the best of five.

    `flops_fp32`, `bytes`, and `flops_bf16` where the processor multiplies in it: elsewhere it is emulated, slowly.
    """
    found = {}
    kinds = {"flops_fp32": torch.float32} | ({"flops_bf16": torch.bfloat16} if devices.bf16(RunSettings("cpu")) else {})
    for name, kind in kinds.items():
        left, right = torch.randn(SIDE, SIDE).to(kind), torch.randn(SIDE, SIDE).to(kind)
        found[name] = 2 * SIDE**3 / _best(lambda left=left, right=right: left @ right)
    source = torch.ones(MEGABYTES * 250_000)
    target = torch.empty_like(source)
    found["bytes"] = 2 * source.numel() * 4 / _best(lambda: target.copy_(source))
    return found


def best(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """The higher of two measurements of each peak."""
    return {name: max(value, first.get(name, 0.0)) for name, value in second.items()}


def _best(work: measure.Work) -> float:
    work()
    return min(measure.seconds(work) for _ in range(5))


if __name__ == "__main__":
    print(peaks())
