"""A training step of a small DARTS network as torch computes it, against one with convolutions for small networks.

And several students of one architecture, one after another against all as one network of grouped convolutions. That
one is not used: on a core it gives what the row says, and two processes keep two cores busy without it.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import measure
from dfnas import models
from dfnas.kernels import separable
from dfnas.models import darts

NETWORKS, BATCH, SIDES = 3, 32, (8, 16)
STUDENTS = {"digits": (64, 1), "cifar10": (128, 3)}  # images of a batch and their channels, as the calibration chapter


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
        ] + [_together(name, *facts) for name, facts in STUDENTS.items()]
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


def _together(name: str, batch: int, channels: int) -> dict[str, Any]:
    """Seconds a network and step, of forward and backward in fp32, at 16x16 pixels."""
    each = [
        models.build("resnet8", 10, channels, seed).to(memory_format=torch.channels_last) for seed in range(NETWORKS)
    ]
    one = _grouped(models.build("resnet8", 10, channels, 0), NETWORKS).to(memory_format=torch.channels_last)
    images = torch.randn(batch, channels * NETWORKS, 16, 16).contiguous(memory_format=torch.channels_last)
    parts, labels = images.chunk(NETWORKS, 1), torch.arange(batch) % 10

    def apart() -> None:
        for network, part in zip(each, parts, strict=True):
            network.zero_grad()
            F.cross_entropy(network(part), labels).backward()

    def together() -> None:
        one.zero_grad()
        F.cross_entropy(one(images).view(batch * NETWORKS, -1), labels.repeat_interleave(NETWORKS)).backward()

    return measure.row(f"students_as_one_{name}", apart, together, per=NETWORKS)


def _grouped(network: nn.Module, count: int) -> nn.Module:
    """A network that computes `count` of its kind, side by side in its channels."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                sizes = layer.in_channels * count, layer.out_channels * count, layer.kernel_size
                options = {"bias": layer.bias is not None, "groups": layer.groups * count}
                setattr(parent, name, nn.Conv2d(*sizes, layer.stride, layer.padding, layer.dilation, **options))
            elif isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(layer.num_features * count))
            elif isinstance(layer, nn.Linear):
                setattr(parent, name, _Classifiers(layer.in_features, layer.out_features, count))
    return network


class _Classifiers(nn.Module):
    """A linear layer for each of several networks."""

    def __init__(self, wide: int, classes: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(count, wide, classes) / wide**0.5)
        self.bias = nn.Parameter(torch.zeros(count, 1, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, networks, classes] of features [N, networks x features]."""
        features = x.view(len(x), len(self.weight), -1).transpose(0, 1)
        return torch.baddbmm(self.bias, features, self.weight).transpose(0, 1).contiguous()


if __name__ == "__main__":
    print(*rows(), sep="\n")
