"""The DARTS supernet (Liu et al., 2019, section 2.2): on each edge all operations at once, weighted by a softmax."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.models.darts import EDGES, NODES, PRIMITIVES, Layer, Size, Stem, operation, preprocess
from dfnas.models.darts_fast import outgoing

# Always the batch's own statistics, and no scale that could stand in for an operation's weight (DARTS, section 3.1).
NORM = partial(nn.BatchNorm2d, affine=False, track_running_stats=False)
STEM_NORM = partial(nn.BatchNorm2d, track_running_stats=False)
SOURCES = [source for node in range(NODES) for source in range(2 + node)]  # of the 14 edges, node by node


class MixedOperation(nn.ModuleDict):
    """All operations of an edge, by name; "none" is zero and has no module."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        for name in PRIMITIVES[1:]:
            module = operation(name, channels, stride, NORM)
            self[name] = nn.Sequential(module, NORM(channels)) if "pool" in name else module

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(weight * module(x) for weight, module in zip(weights[1:], self.values(), strict=True))


class MixedCell(nn.Module):
    """A cell with an edge from each node to each later one."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.before = preprocess(layer.channels_before, layer.channels, layer.follows_reduction, NORM)
        self.last = preprocess(layer.channels_last, layer.channels, False, NORM)
        self.reduction = layer.reduction
        self.edges = nn.ModuleList(
            MixedOperation(layer.channels, 2 if layer.reduction and source < 2 else 1)
            for node in range(NODES)
            for source in range(2 + node)
        )

    def forward(self, before: Tensor, last: Tensor, weights: Tensor, fast: bool) -> Tensor:
        """`weights` [14, 8] sum to one over the operations of an edge."""
        if fast:
            return self.together(self.before(before), self.last(last), weights)
        states, edge = [self.before(before), self.last(last)], 0
        for _ in range(NODES):
            paths = [self.edges[edge + source](state, weights[edge + source]) for source, state in enumerate(states)]
            edge += len(states)
            states.append(sum(paths))
        return torch.cat(states[2:], 1)

    def together(self, before: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        states = [before, last]
        incoming = [[] for _ in range(2+NODES)]
        for source in range(1 + NODES):
            if source>=2:
                states.append(sum(incoming[source][1:],start=incoming[source][0]).contiguous(memory_format=torch.channels_last))
            leaving = [edge for edge, origin in enumerate(SOURCES) if origin == source]
            stride = 2 if self.reduction and source < 2 else 1
            given = outgoing([self.edges[edge] for edge in leaving], states[source], weights[leaving], stride)
            for node,part in zip(range(max(2,source+1),6),given,strict=True): incoming[node].append(part)
        states.append(sum(incoming[5][1:],start=incoming[5][0]))
        return torch.cat(states[2:], 1)


class Supernet(nn.Module):
    def __init__(self, size: Size, classes: int, image_channels: int = 3, fast: bool = True) -> None:
        super().__init__()
        layers = size.layers()
        self.fast = fast
        self.stem = Stem(size, image_channels, STEM_NORM)
        self.cells = nn.ModuleList(map(MixedCell, layers))
        self.linear = nn.Linear(NODES * layers[-1].channels, classes)
        self.alphas = [torch.zeros(EDGES, len(PRIMITIVES), requires_grad=True) for _ in range(2)]

    def forward(self, images: Tensor) -> Tensor:
        before, last = self.stem(images)
        weights = [alpha.softmax(1) for alpha in self.alphas]
        for cell in self.cells:
            before, last = last, cell(before, last, weights[cell.reduction], self.fast)
        return self.linear(last.mean((2, 3)))
