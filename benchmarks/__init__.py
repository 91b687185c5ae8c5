"""Ratios of speed, each measured pairwise and alternating in one run; never a timed test."""
