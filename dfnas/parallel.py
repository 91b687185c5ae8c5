"""Independent pieces of work on several cores, each in a process of its own with one thread.

Small networks leave a second thread idle most of the time; two processes are both busy. What a piece computes depends
neither on how many processes there are nor on which one takes it.
"""

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import torch

from dfnas import devices, distributed
from dfnas.profiles import RunSettings

T = TypeVar("T")
R = TypeVar("R")


def each(function: Callable[[T], R], items: Sequence[T], run: RunSettings) -> Iterator[R]:
    """`function(item)` for each item, in order; of several processes under torchrun, each takes a part of the items.

    With `run.processes` above 1 (0: a process a core) on a CPU, `function` and `item` must be picklable, and the
    processes start afresh: what was patched or cached here is unknown there. An error in one ends them all.
    """
    mine = items[distributed.rank() :: distributed.world()]
    count = min(_processes(run), len(mine))
    if count <= 1 and distributed.world() == 1:
        yield from map(function, mine)
    elif mine:
        # A process of torchrun has a child too: there, training does not average gradients with the others.
        pool = ProcessPoolExecutor(max(1, count), multiprocessing.get_context("spawn"), initializer=_start)
        with contextlib.ExitStack() as stack:
            stack.callback(pool.shutdown, cancel_futures=True)
            yield from pool.map(function, mine)
    distributed.barrier()


def _processes(run: RunSettings) -> int:
    if devices.device(run).type != "cpu":
        return 1
    return run.processes or len(os.sched_getaffinity(0)) // distributed.world()


def _start() -> None:
    torch.set_num_threads(1)
    os.environ["DFNAS_LOG"] = os.devnull  # the bar is the parent's
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
