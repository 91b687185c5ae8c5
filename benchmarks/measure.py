"""Two ways of doing the same, timed in turn in one run: ratios hold where seconds differ from day to day."""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dfnas.runtime import memory

PAIRS = 5  # timings of each row

Work = Callable[[], Any]


def row(name: str, baseline: Work, ours: Work, per: int = 1) -> dict[str, Any]:
    """A row of the results: medians of `PAIRS` timings, one of each in turn, and the ratio's median and ends.

    Parameters
    ----------
    per : units of work in one call; seconds are of one of them.
    """
    memory.keep()  # for both
    for work in (baseline, ours):
        work()  # the first call pays for memory, for choosing algorithms and for compiling
    timed = [(seconds(baseline), seconds(ours)) for _ in range(PAIRS)]
    return from_pairs(name, [(first / per, second / per) for first, second in timed], "seconds")


def from_pairs(name: str, pairs: Sequence[tuple[float, float]], unit: str) -> dict[str, Any]:
    """A row from pairs of measurements (baseline, ours); the smaller the better."""
    ratios = sorted(baseline / ours for baseline, ours in pairs)
    return {
        "name": name,
        "baseline": statistics.median(baseline for baseline, _ in pairs),
        "ours": statistics.median(ours for _, ours in pairs),
        "unit": unit,
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
    }


def seconds(work: Work) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def growth(name: str, variable: str, sizes: Sequence[int], work_of: Callable[[int], Work]) -> dict[str, Any]:
    """How the time of a piece of work grows with a size: the slope of log seconds over log size, by least squares."""
    memory.keep()
    times = []
    for size in sizes:
        work = work_of(size)
        work()
        times.append(min(seconds(work) for _ in range(3)))
    slope = statistics.linear_regression([math.log(size) for size in sizes], [math.log(each) for each in times]).slope
    return {"name": name, "variable": variable, "sizes": list(sizes), "seconds": times, "slope": slope}


def start(module: str, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen:
    """A process of `python -m module words` that works once for each line it is sent, and answers with seconds."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        env=os.environ | (environment or {}),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def answer(processes: Sequence[subprocess.Popen]) -> float:
    """All work at the same time: what the slowest answers."""
    for process in processes:
        assert process.stdin is not None
        print("go", file=process.stdin, flush=True)
    return max(float(process.stdout.readline()) for process in processes if process.stdout is not None)
