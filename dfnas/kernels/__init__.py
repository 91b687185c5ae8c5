"""Fused operations, one file each: a plain reference, Triton kernels, a closed form for CPUs, and a byte count.

What a step does at every layer or pixel, and nothing else: `batch_norm`, `total_variation`, `soft_cross_entropy`,
`mixed_sum` and `image_update`; `networks.fused_batch_norm` puts the first into a network for a while. `dispatch` says
which implementation runs.
"""
