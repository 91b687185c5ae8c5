"""Randomness as a function of (seed, name, step): made again on another process or after a restart."""

import hashlib

import torch


def generator(seed: int, name: str, step: int = 0) -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments."""
    return torch.Generator().manual_seed(mixed(seed, name, step))


def mixed(seed: int, name: str, step: int = 0) -> int:
    """A seed of 63 bits that depends on nothing but its arguments."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {step}".encode()).digest()[:8], "little") >> 1
