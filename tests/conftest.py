"""Where pytest runs in several processes, each computes on one thread, so that they do not wait for each other."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
