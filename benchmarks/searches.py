"""A step of the single-path searches' weights: what a plain supernet would compute, against what ours does."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import measure
from dfnas import profiles
from dfnas.chapters import spos
from dfnas.chapters.proxylessnas import experiment
from dfnas.chapters.pruning import networks
from dfnas.models import chain, pruning_net, shufflenet
from dfnas.models.mbconv import Supernet
from dfnas.models.pruning import FULL
from dfnas.runtime import seeds

SETTINGS = profiles.load("laptop", 0, ["run.device=cpu"])
BATCH, SIDE, PATHS = 64, 16, 4


def rows() -> list[dict[str, Any]]:
    """Seconds a step (forward, backward), in fp32 and channels_last, over the same few random paths."""
    return [_spos(), _proxyless(), _pruning()]


def _spos() -> dict[str, Any]:
    """All choices of a block, weighted, as a differentiable supernet has it, against the drawn one alone."""
    space = spos.space_of(SETTINGS)
    supernet = spos.build_supernet(SETTINGS).to(memory_format=torch.channels_last)
    paths = [shufflenet.random_choices(space, seeds.generator(0, "benchmark", index)) for index in range(PATHS)]

    def mixture(x: Tensor) -> Tensor:
        x = supernet.stem(x)
        for choices in supernet.blocks:
            x = _mean([choice(x) for choice in choices])
        return supernet.classify(x)

    return _paths("spos_step", supernet, mixture, paths)


def _proxyless() -> dict[str, Any]:
    """The same for the ProxylessNAS chapter's supernet, whose blocks have a shortcut round their operations."""
    space = experiment.space_of(SETTINGS)
    supernet = Supernet(space, 10).to(memory_format=torch.channels_last)
    paths = [chain.random_choices(space.options, seeds.generator(0, "benchmark", index)) for index in range(PATHS)]

    def mixture(x: Tensor) -> Tensor:
        x = supernet.head(x)
        for shape, operations in zip(space.blocks, supernet.blocks, strict=True):
            total = _mean([operation(x) for operation in operations])
            x = x + total if shape.shortcut else total
        return supernet.tail(x)

    return _paths("proxylessnas_step", supernet, mixture, paths)


def _mean(outputs: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, [output / len(outputs) for output in outputs])


def _paths(name: str, supernet: Any, mixture: Any, paths: Sequence[Any]) -> dict[str, Any]:
    def plain() -> None:
        for _ in paths:
            _step(supernet, mixture)

    def ours() -> None:
        for path in paths:
            supernet.choose(path)
            _step(supernet, supernet)

    return measure.row(name, plain, ours, per=len(paths))


def _pruning() -> dict[str, Any]:
    """The whole weight generated and then cropped, against rows that are sliced before the product."""
    net = pruning_net.PruningNet(networks.space_of(SETTINGS), 10, 3, 0).to(memory_format=torch.channels_last)
    random = torch.Generator().manual_seed(0)
    genes = net.space.genes
    encodings = [tuple(torch.randint(FULL // 2, (genes,), generator=random).tolist()) for _ in range(PATHS)]

    def work() -> None:
        for encoding in encodings:
            net.choose(encoding)
            _step(net, net)

    def plain() -> None:
        sliced = pruning_net.Generator.forward
        pruning_net.Generator.forward = _whole
        work()
        pruning_net.Generator.forward = sliced

    return measure.row("pruning_net_step", plain, work, per=PATHS)


def _whole(generator: pruning_net.Generator, ratios: Tensor, channels_in: int, channels_out: int) -> Tensor:
    weight = generator.second(F.relu(generator.first(ratios))).view(generator.shape)
    return weight[:channels_out, :channels_in]


def _step(network: nn.Module, forward: Any) -> None:
    images, labels = next(DATA)
    network.zero_grad()
    F.cross_entropy(forward(images), labels).backward()


def _batches() -> Iterator[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=random).contiguous(memory_format=torch.channels_last)
    return itertools.repeat((images, torch.arange(BATCH) % 10))


DATA = _batches()

if __name__ == "__main__":
    print(*rows(), sep="\n")
