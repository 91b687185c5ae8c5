"""Ratios of speed, each measured pairwise and alternating in one run; never a timed test."""

import os

# Before torch: threads that wait for longer than half a millisecond must not take another's core.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")
