"""Synthesis on all cores: one process with a thread a core against a process a core with one thread each."""

import subprocess
import sys
from typing import Any

from benchmarks import measure
from dfnas.profiles import RunSettings
from dfnas.runtime import machine, memory, processes


def rows() -> list[dict[str, Any]]:
    """One row: seconds for an iteration of one batch of 250 images, in fp32, on as many cores as a run would take."""
    cores = min(processes.MOST, machine.cores())
    one, many = [_start(cores)], [_start(1) for _ in range(cores)]
    try:
        pairs = [(measure.answer(one), measure.answer(many) / cores) for _ in range(1 + measure.PAIRS)]
    finally:
        for process in one + many:
            process.terminate()
    return [measure.from_pairs("processes", pairs[1:], "seconds")]  # the first pair pays for compiling


def _start(threads: int) -> subprocess.Popen:
    return measure.start("benchmarks.processes", environment={"OMP_NUM_THREADS": str(threads)})


if __name__ == "__main__":
    from benchmarks import synthesis_step
    from dfnas.profiles import RunSettings

    memory.keep()
    work = synthesis_step.ours(synthesis_step.BATCH, RunSettings("cpu", "fp32", compile=True))
    for _ in sys.stdin:
        print(measure.seconds(work) / synthesis_step.ITERATIONS, flush=True)
