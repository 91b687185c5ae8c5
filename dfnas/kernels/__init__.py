"""Quicker ways to compute. Fused operations, one file each: a plain reference, Triton kernels and a byte count.

What a step does at every layer or pixel, and nothing else: `batch_norm`, `total_variation`, `soft_cross_entropy`,
`mixed_sum` and `image_update`. A caller calls an operation's public function, which asks `dispatch` in which form it is
to compute; on a CPU two of them have a closed form. `separable` and `threads` are for small networks on a CPU.
"""
