"""Independent pieces of work at the same time in one process, each on one thread.

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

    As many run at a time as torch uses threads; with one thread, one after the other.
    """
    count = torch.get_num_threads()
    if count == 1 or len(calls) == 1:
        return [call() for call in calls]
    return list(_pool(count).map(_without_gradients, calls))


def _without_gradients(call: Callable[[], T]) -> T:
    with torch.no_grad():  # whether gradients are taken is a thread's own affair, and new threads take them
        return call()


@functools.cache
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads whose operations have one thread each; a thread's number is its own, and what later ones start with."""
    pool, all_there = ThreadPoolExecutor(count, "dfnas"), Barrier(count)

    def start(_: int) -> None:
        torch.get_num_threads()  # a thread asks for the common number once, and would forget what was set before
        torch.set_num_threads(1)
        all_there.wait()  # so that none of them starts twice

    list(pool.map(start, range(count)))
    torch.set_num_threads(count)
    return pool
