"""How the C library hands out memory: what tensors give back is kept for the next ones.

By default glibc returns large blocks to the system as soon as they are free. The next tensor of that size then costs a
page fault every 4 kB, and on a virtual machine these are dear: `benchmarks.kept_memory` measures how much of a step.
"""

import contextlib
import ctypes
import functools

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # mallopt's names for its options, in malloc.h
LARGEST = (2**30, 2**25)  # bytes; versions of glibc differ in what they accept


@functools.cache
def keep() -> bool:
    """Keep freed memory in this process from now on; whether the C library can (glibc can, others need not)."""
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    option(ARENA_MAX, 1)  # threads would have heaps of their own, which are given back when they are empty
    return any(option(MMAP_THRESHOLD, size) for size in LARGEST) and bool(option(TRIM_THRESHOLD, 2**31 - 1))


def give_back() -> None:
    """Give what is free now to the system, once: what comes next is not charged with what came before."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
