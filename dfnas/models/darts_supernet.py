"""The DARTS supernet (Liu et al., 2019, section 2.2): on each edge all operations at once, weighted by a softmax."""

import functools
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.kernels.mixed_sum import mixed_sum
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
        """The sum of the operations' outputs, each times its weight: equation 2 of the DARTS paper; `weights` [8]."""
        return mixed_sum([module(x) for module in self.values()], weights[1:])


def _sum(tensors: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, tensors)


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
        states = [self.before(before), self.last(last)]
        # The fast form takes images apart into even and odd rows and columns, so each node's sides must be even.
        fast = fast and all(side % (4 if self.reduction else 2) == 0 for side in states[0].shape[2:])
        return torch.cat((self._node_by_node if fast else self._edge_by_edge)(states, weights), 1)

    def _edge_by_edge(self, states: list[Tensor], weights: Tensor) -> list[Tensor]:
        """The plain form: each edge and each operation by itself."""
        edge = 0
        for _ in range(NODES):
            paths = [self.edges[edge + source](state, weights[edge + source]) for source, state in enumerate(states)]
            edge += len(states)
            states.append(_sum(paths))
        return states[2:]

    def _node_by_node(self, states: list[Tensor], weights: Tensor) -> list[Tensor]:
        """The fast form: what a node gives to all later ones is computed together."""
        states = [state.contiguous(memory_format=torch.channels_last) for state in states]  # on which all else rests
        incoming: list[list[Tensor]] = [[] for _ in range(2 + NODES)]
        for source in range(1 + NODES):
            if source >= 2:
                states.append(_sum(incoming[source]).contiguous(memory_format=torch.channels_last))
            leaving = [edge for edge, origin in enumerate(SOURCES) if origin == source]
            stride = 2 if self.reduction and source < 2 else 1
            edges: list[Any] = [self.edges[edge] for edge in leaving]
            given = outgoing(edges, states[source], weights[leaving], stride)
            for node, part in zip(range(max(2, source + 1), 2 + NODES), given, strict=True):
                incoming[node].append(part)
        return [*states[2:], _sum(incoming[1 + NODES])]


class Supernet(nn.Module):
    """All cells of the DARTS space in one network; `alphas` say how much of each operation an edge takes.

    `alphas`, for normal and for reduction cells, are float32 logits [14, 8], zero at first (the paper's appendix, B.2).
    They are no parameters of the network: what trains, clips, decays or stores its weights does not see them. `fast`
    computes the edges of a node together; it may be switched at any time, parameters and results are the same.
    """

    def __init__(self, size: Size, classes: int, image_channels: int = 3, fast: bool = True) -> None:
        super().__init__()
        layers = size.layers()
        self.fast = fast
        self.stem = Stem(size, image_channels, STEM_NORM)
        self.cells = nn.ModuleList(map(MixedCell, layers))
        self.linear = nn.Linear(NODES * layers[-1].channels, classes)
        self.alphas = [torch.zeros(EDGES, len(PRIMITIVES), requires_grad=True) for _ in range(2)]

    def _apply(self, function: Any, recurse: bool = True) -> "Supernet":
        """Move the architecture parameters with the weights; the tensors stay the same, as an optimiser has them.

        Only between the meta device, which holds no values, and others they become new ones.
        """
        super()._apply(function, recurse)
        device = self.linear.weight.device
        for index, alpha in enumerate(self.alphas):
            if alpha.is_meta == (device.type == "meta"):
                alpha.data = alpha.data.to(device)
            else:
                self.alphas[index] = torch.empty_like(alpha, device=device, requires_grad=True)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S]."""
        before, last = self.stem(images)
        wide = torch.promote_types(before.dtype, torch.float32)  # a step of the parameters is less than bf16 resolves
        weights = [alpha.to(wide).softmax(1) for alpha in self.alphas]
        for cell in self.cells:
            before, last = last, cell(before, last, weights[int(cell.reduction)], self.fast)  # type: ignore[arg-type]
        return self.linear(last.mean((2, 3)))
