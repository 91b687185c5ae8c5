"""Synthesis on all cores: one process with a thread a core against a process a core with one thread each."""

import os
import subprocess
import sys
from typing import Any

from benchmarks import measure
from dfnas import parallel, provenance


def rows() -> list[dict[str, Any]]:
    """One row: seconds for an iteration of one batch of 250 images, in fp32, on as many cores as a run would take."""
    cores = min(parallel.MOST, provenance.cores())
    one, many = [_start(cores)], [_start(1) for _ in range(cores)]
    try:
        pairs = [(_seconds(one), _seconds(many)) for _ in range(1 + measure.PAIRS)]
    finally:
        for process in one + many:
            process.terminate()
    return [measure.from_pairs("processes", pairs[1:], "seconds")]  # the first pair pays for compiling


def _start(threads: int) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.processes"]
    return subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _seconds(processes: list[subprocess.Popen]) -> float:
    """All work at the same time; the time of an iteration of the slowest, divided by the batches that were made."""
    for process in processes:
        assert process.stdin is not None
        print("go", file=process.stdin, flush=True)
    slowest = max(float(process.stdout.readline()) for process in processes if process.stdout is not None)
    return slowest / len(processes)


if __name__ == "__main__":
    from benchmarks import synthesis_step
    from dfnas.profiles import RunSettings

    work = synthesis_step.ours(synthesis_step.BATCH, RunSettings("cpu", "fp32", compile=True))
    for _ in sys.stdin:
        print(measure.seconds(work) / synthesis_step.ITERATIONS, flush=True)
