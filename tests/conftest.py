"""Where pytest runs in several processes, each computes on one thread, so that they do not wait for each other."""

import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch on two threads, whatever the machine has."""
    import torch  # imported late: it reads the number of threads above

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
