"""Peak memory of an iteration of model inversion, plain against ours, each in a process of its own."""

import subprocess
import sys
from typing import Any

from benchmarks import measure, synthesis_step
from dfnas import provenance
from dfnas.profiles import RunSettings


def rows() -> list[dict[str, Any]]:
    """One row: MB beyond what the process held before."""
    plain, ours = (_peak(kind) for kind in ("plain", "ours"))
    return [measure.from_pairs("synthesis_memory", [(plain, ours)], "MB")]


def _peak(kind: str) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", kind]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    run = RunSettings("cpu", "fp32")
    batch = synthesis_step.BATCH
    work = synthesis_step.plain(batch) if sys.argv[1] == "plain" else synthesis_step.ours(batch, run)
    provenance.forget_peak_memory()
    before = provenance.peak_memory_mb()
    work()
    print(provenance.peak_memory_mb() - before)
