"""A training step of a small DARTS network as torch computes it, against one with convolutions for small networks."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import measure
from dfnas.kernels import separable
from dfnas.models import darts

NETWORKS, BATCH, SIDES = 3, 32, (8, 16)


def rows() -> list[dict[str, Any]]:
    """Seconds a step (forward, backward), in fp32 with one thread, over random DARTS architectures."""
    networks = []
    for seed in range(NETWORKS):
        torch.manual_seed(seed)
        genotype = darts.random_genotype(torch.Generator().manual_seed(seed))
        networks.append(darts.Network(genotype, darts.Size(8, 3), 10).to(memory_format=torch.channels_last))
    quick = [separable.quicken(copy.deepcopy(network)) for network in networks]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as `dfnas.runtime.processes` trains them
    try:
        return [
            measure.row(f"small_network_{side}px", steps(networks, side), steps(quick, side), per=NETWORKS)
            for side in SIDES
        ]
    finally:
        torch.set_num_threads(threads)


def steps(networks: list[nn.Module], side: int) -> measure.Work:
    """A step of each network on images of a side."""
    images = torch.randn(BATCH, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % 10

    def work() -> None:
        for network in networks:
            network.zero_grad()
            F.cross_entropy(network(images), labels).backward()

    return work


if __name__ == "__main__":
    print(*rows(), sep="\n")
