"""Peak memory of steps, plain against ours, each in a process of its own."""

import subprocess
import sys
from typing import Any

import torch

from benchmarks import darts_step, measure, synthesis_step
from dfnas.profiles import RunSettings
from dfnas.runtime import machine, memory

BATCH = synthesis_step.BATCH
WORK = {
    "synthesis_memory": (
        lambda: synthesis_step.plain(BATCH),
        lambda: synthesis_step.ours(BATCH, RunSettings("cpu", "fp32")),
    ),
    "darts_memory": (
        lambda: darts_step.step(16, torch.contiguous_format, fast=False),
        lambda: darts_step.step(16),
    ),
}


def rows() -> list[dict[str, Any]]:
    """MB beyond what the process held before."""
    return [measure.from_pairs(name, [(_peak(name, 0), _peak(name, 1))], "MB") for name in WORK]


def _peak(name: str, side: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", name, str(side)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    memory.keep()
    work = WORK[sys.argv[1]][int(sys.argv[2])]()
    machine.forget_peak_memory()
    before = machine.peak_memory_mb()
    work()
    print(machine.peak_memory_mb() - before)
