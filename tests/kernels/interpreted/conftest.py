"""Kernels on a CPU, and a count of what they load and store."""

from collections import defaultdict

import numpy as np
import pytest
from triton.runtime.interpreter import InterpreterBuilder

from dfnas.kernels import dispatch


@pytest.fixture(autouse=True)
def _by_triton(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")


class Count:
    """Addresses that launches load from and store to."""

    def __init__(self):
        self.launches = []

    def add(self, kind, pointers, mask):
        size = pointers.get_element_ty().primitive_bitwidth // 8
        kept = np.broadcast_to(mask.data.astype(bool), pointers.data.shape)
        self.launches[-1][1][kind].append((pointers.data[kept].ravel(), size))

    def bytes(self, kind, distinct):
        """Bytes in all; `distinct`: each address once a launch."""
        total = 0
        for _, accesses in self.launches:
            for size in {size for _, size in accesses[kind]}:
                addresses = np.concatenate([where for where, width in accesses[kind] if width == size])
                total += size * (len(np.unique(addresses)) if distinct else len(addresses))
        return total

    @property
    def traffic(self):
        return dispatch.Traffic(self.bytes("load", True), self.bytes("store", True))

    def times_read(self, x):
        """How often each value of a tensor was asked for, by launch."""
        first, last = x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()
        times = defaultdict(float)
        for name, accesses in self.launches:
            inside = sum(int(((where >= first) & (where < last)).sum()) for where, _ in accesses["load"])
            times[name] += inside / x.numel()
        return dict(times)


@pytest.fixture
def count(monkeypatch):
    """A Count of the launches of a test."""
    found = Count()
    load, store, execute = (
        InterpreterBuilder.create_masked_load,
        InterpreterBuilder.create_masked_store,
        dispatch.execute,
    )

    def counted_load(self, pointers, mask, *rest):
        found.add("load", pointers, mask)
        return load(self, pointers, mask, *rest)

    def counted_store(self, pointers, value, mask, *rest):
        found.add("store", pointers, mask)
        return store(self, pointers, value, mask, *rest)

    def counted_execute(kernel, *rest):
        found.launches.append((kernel.fn.__name__, {"load": [], "store": []}))
        execute(kernel, *rest)

    monkeypatch.setattr(InterpreterBuilder, "create_masked_load", counted_load)
    monkeypatch.setattr(InterpreterBuilder, "create_masked_store", counted_store)
    monkeypatch.setattr(dispatch, "execute", counted_execute)
    return found
