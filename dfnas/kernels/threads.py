"""Independent pieces of work at the same time in one process, each on threads of its own.

A small operation gains little from a second thread, which has to be woken for it and waited for. Two operations that do
not need each other keep two threads busy all along. PyTorch lets go of Python's lock while it computes.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

T = TypeVar("T")


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What the calls return, in order; without gradients. They are begun in order too, so the longest comes first.

    Torch's threads are divided between the calls; where there are fewer threads than calls, some calls wait. What
    watches operations of one thread, as counters of multiply-adds do, sees those of the others only if torch has one
    thread in all.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(calls))
    if workers == 1:
        return [_without_gradients(call) for call in calls]
    return list(_pool(workers, threads).map(_without_gradients, calls))


def _without_gradients(call: Callable[[], T]) -> T:
    with torch.no_grad():  # whether gradients are taken is a thread's own affair, and new threads take them
        return call()


@functools.cache
def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Workers that divide `threads` between their operations; afterwards the caller has as many as before."""
    pool, all_there = ThreadPoolExecutor(workers, "dfnas"), Barrier(workers)

    def start(_: int) -> None:
        torch.get_num_threads()  # a thread asks for the common number once, and would forget what was set before
        torch.set_num_threads(threads // workers)
        all_there.wait(60)  # so that none of them starts twice

    list(pool.map(start, range(workers)))
    torch.set_num_threads(threads)
    return pool
